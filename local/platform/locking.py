"""One `smp` at a time on what two would spoil for each other; the second says what it awaits."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def exclusive(
    path: Path, purpose: str, note: Callable[[str], None]
) -> Iterator[Callable[[], bool]]:
    """Hold the lock file `path`; `note` is told at once when another process holds it.

    `purpose` is what a process that waits for this one is told. Whoever holds the lock may remove
    the file: those that wait take the lock of the new one. The block is given a function that tells
    whether the file is still the one that is held.
    """
    descriptor = _acquire(path, note)
    try:
        # Only for those who wait: a full disk is no reason not to go on.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()}: {purpose}".encode(), 0)
        yield lambda: _is_at(descriptor, path)
    finally:
        os.close(descriptor)


def _acquire(path: Path, note: Callable[[str], None]) -> int:
    noted = False
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            # The holder removed the folder in this very moment.
            continue
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not noted:
                    holder = os.pread(descriptor, 200, 0).decode(errors="replace")
                    note(f"Waiting for another smp ({holder or 'just started'}) to finish ...")
                    noted = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))
