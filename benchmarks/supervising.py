"""A server that a benchmark measures ends with the benchmark, and so does all that it has begun.

`supervised` runs a server below a small process, which this file is as a program. That process
waits until the server has ended, it is told to end it, or the benchmark is gone, also by a signal
that nobody can handle. Then it ends every process below it, in whichever session they are.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

# How often the supervisor looks after the benchmark and its server.
_PAUSE = 0.2
# How long servers may take to end by themselves.
_GRACE_SECONDS = 5.0
_BEGUN = b"begun\n"
_PR_SET_CHILD_SUBREAPER = 36


@contextlib.contextmanager
def supervised(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a server that has just been started; it ends with the context or the process.

    The process is the supervisor's: it ends as its server does, and that and all others are below.
    """
    process = subprocess.Popen(
        [sys.executable, __file__, *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.stdout
        process.stdout.readline()
        yield process
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """Run the command of the arguments, and end all that came of it."""
    benchmark = os.getppid()
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    if sys.platform == "linux":
        # What outlives its parent becomes a child of this process, and is found.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sys.stdout.buffer.write(_BEGUN)
    sys.stdout.buffer.flush()
    server = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    while not told and os.getppid() == benchmark and server.poll() is None:
        time.sleep(_PAUSE)
    _end_all()
    return server.wait()


def _end_all() -> None:
    """End every process below this one, gently at first."""
    me, until = psutil.Process(), time.monotonic() + _GRACE_SECONDS
    for child in me.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.terminate()
    while children := [child for child in me.children(recursive=True) if _runs(child)]:
        if time.monotonic() > until:
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        time.sleep(_PAUSE / 10)


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


if __name__ == "__main__":
    sys.exit(main())
