"""What one call of smp came to."""

from collections.abc import Callable
from dataclasses import dataclass

from local.cli import guard


@dataclass
class Said:
    """What one call of smp came to."""

    code: int
    out: str
    err: str

    def is_a_sentence(self) -> None:
        assert self.code == guard.FAILED, self
        for label in ("Failed:", "Why:", "Do:"):
            assert self.err.count(label) == 1, self
        assert "Traceback" not in self.err + self.out


Smp = Callable[..., Said]
