"""A record of what every principal asked for and whether its policies allowed it."""

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass

_KEPT = 50_000


@dataclass(frozen=True)
class Call:
    """One decision of the evaluator."""

    time: float
    principal: str
    action: str
    resource: str
    allowed: bool


class Calls:
    """The last decisions, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def add(self, principal: str, action: str, resource: str, *, allowed: bool) -> None:
        """Keep one decision."""
        with self._lock:
            self._calls.append(Call(time.time(), principal, action, resource, allowed))

    def found(self, principal: str = "", since: float = 0.0) -> list[dict[str, object]]:
        """The decisions whose principal contains `principal`, made after `since`."""
        with self._lock:
            calls = [*self._calls]
        return [asdict(c) for c in calls if principal in c.principal and c.time > since]


CALLS = Calls()
