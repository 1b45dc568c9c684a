"""The ends of processes that are not this one's children."""

import time
from collections.abc import Iterable

import psutil

_LOOK_SECONDS = 0.01


def alive(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended, and that its parent has not asked about, does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_ends(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Wait until all have ended, for so long at most.

    psutil's own waits until they are reaped, too, which an orphan's new parent may take its time
    for, or never do.
    """
    left = list(processes)
    until = time.monotonic() + seconds
    while (left := [each for each in left if alive(each)]) and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
