"""Faults that tests and people put into the service, to see what stands up to them."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Faults:
    """What goes wrong next; nothing by default.

    `configure` takes any of these keys; an empty document takes all faults away:

    - `drop_events`, `duplicate_events`: how many of the next events are lost or sent twice.
    - `event_status`: these two hold only for events of this status, such as Completed.
    - `delay_seconds`: every control plane answer comes this much later.
    - `capacity`: how many of the next training jobs fail with AWS's capacity error; managed spot
      training waits instead.
    - `interrupt_spot`: how many times managed spot training that runs now, or next, is interrupted.
    - `spot_wait_seconds`: for so long managed spot training waits for instances, each time.
    - `lose_host`: how many of the training jobs that run now, or next, lose a host.
    - `throttle`: operation -> how many of its next calls are throttled.
    - `drop_response`: operation -> how many of its next calls take effect and are not answered.
    - `kill_caller`: operation -> how many of its next calls take effect and cost the function that
      made them its life.
    """

    drop_events: int = 0
    duplicate_events: int = 0
    event_status: str = ""
    delay_seconds: float = 0.0
    capacity: int = 0
    interrupt_spot: int = 0
    spot_wait_seconds: float = 0.0
    lose_host: int = 0
    throttle: dict[str, int] = field(default_factory=dict)
    drop_response: dict[str, int] = field(default_factory=dict)
    kill_caller: dict[str, int] = field(default_factory=dict)
    _reclaimed: set[str] = field(default_factory=set, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def configure(self, document: Mapping[str, Any]) -> None:
        """Replace all faults by those of the document.

        Raises:
            ValueError: for a name that is no fault.
            TypeError: for a value of the wrong kind.
        """
        fresh = Faults()
        known = [name for name in vars(fresh) if not name.startswith("_")]
        for name, value in document.items():
            if name not in known:
                raise ValueError(f"{name} is no fault. Faults are: {', '.join(known)}.")
            expected = type(getattr(fresh, name))
            if expected is float and isinstance(value, int):
                value = float(value)
            if not isinstance(value, expected):
                raise TypeError(f"{name} is {value!r}, but must be of type {expected.__name__}.")
            setattr(fresh, name, value)
        with self._lock:
            for name in known:
                setattr(self, name, getattr(fresh, name))

    def copies_of_event(self, status: str) -> int:
        """How often the next event is sent: 0, 1 or 2 times."""
        with self._lock:
            if self.event_status and self.event_status != status:
                return 1
            if self.drop_events > 0:
                self.drop_events -= 1
                return 0
            if self.duplicate_events > 0:
                self.duplicate_events -= 1
                return 2
            return 1

    def wait(self) -> None:
        """Hold an answer back."""
        if self.delay_seconds:
            time.sleep(self.delay_seconds)

    def out_of_capacity(self) -> bool:
        """Whether the next training job finds no instance."""
        return self._take("capacity")

    def interrupt(self, job: str) -> None:
        """Take the instances of one job of managed spot training away, as soon as it trains."""
        with self._lock:
            self._reclaimed.add(job)

    def interrupts_spot(self, job: str) -> bool:
        """Whether managed spot training that runs loses its instances now."""
        with self._lock:
            if job in self._reclaimed:
                self._reclaimed.remove(job)
                return True
        return self._take("interrupt_spot")

    def loses_host(self) -> bool:
        """Whether training that runs loses a host now."""
        return self._take("lose_host")

    def throttles(self, operation: str) -> bool:
        """Whether this call is one too many."""
        return self._count_down(self.throttle, operation)

    def drops_response(self, operation: str) -> bool:
        """Whether this call's caller never hears of its effect."""
        return self._count_down(self.drop_response, operation)

    def kills_caller(self, operation: str) -> bool:
        """Whether this call's caller dies before it is answered."""
        return self._count_down(self.kill_caller, operation)

    def _take(self, name: str) -> bool:
        with self._lock:
            left: int = getattr(self, name)
            if left > 0:
                setattr(self, name, left - 1)
            return left > 0

    def _count_down(self, counts: dict[str, int], operation: str) -> bool:
        with self._lock:
            left = counts.get(operation, 0)
            if left > 0:
                counts[operation] = left - 1
            return left > 0
