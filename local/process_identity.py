"""Which process a record means, also when its number was given out again or the clock was set."""

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.ending import alive

_PROC = Path("/proc")
# Where the system tells no ticks, the time of the start is compared, which is kept in microseconds.
_TOLERANCE = 1.0


@dataclass(frozen=True)
class ProcessIdentity:
    """A process of this machine, told from every other that has or had its number.

    On Linux `started` counts clock ticks since the boot that `boot` names. The time of day of a
    start is of no use there: it is computed from the clock, and moves whenever that is set.
    Elsewhere the kernel keeps the time of the start itself, and `boot` is empty.
    """

    pid: int
    started: float
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity":
        """The process that has this number now.

        Raises:
            psutil.NoSuchProcess: None has.
        """
        if not sys.platform.startswith("linux"):
            return cls(pid, psutil.Process(pid).create_time(), "")
        try:
            text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            raise psutil.NoSuchProcess(pid) from None
        # The name, in brackets, may hold blanks and brackets itself; field 22 is the start.
        ticks = int(text.rpartition(")")[2].split()[19])
        return cls(pid, ticks, _boot())

    def process(self) -> psutil.Process | None:
        """The process while it runs; None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            now = ProcessIdentity.of(self.pid)
        except (psutil.NoSuchProcess, OverflowError, ValueError):
            return None
        near = abs(now.started - self.started)
        same = now.boot == self.boot and (near == 0 if self.boot else near < _TOLERANCE)
        return process if same and alive(process) else None


def _boot() -> str:
    """What the kernel calls this boot: numbers and ticks of an earlier one mean nothing."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
