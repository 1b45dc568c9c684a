"""The one place where failures of `smp` become a sentence and an exit code.

It surrounds the whole command line, its imports and the last flush of its output included. What
can be explained is in failures.py; all else is told as unexpected, with a file of its trace.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

FAILED = 1
INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run() -> int:
    """Run `smp` to its end; the exit code."""
    try:
        with guarded():
            _prepare()
            from local import shell
            from local.cli.main import app

            # The platform is on this machine, and has a key of its own.
            with shell.set_aside():
                app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else FAILED if end.code else 0
    else:
        code = 0
    return _flush() or code


@contextmanager
def guarded() -> Iterator[None]:
    """Explain whatever ends the block, and exit.

    Raises:
        SystemExit: In place of any other failure.
    """
    try:
        yield
    except BaseException as error:
        # Exits and wrong arguments, of which the command line itself tells.
        ends = isinstance(error, SystemExit | GeneratorExit)
        if ends or type(error).__module__.startswith(("click.", "typer.")):
            raise
        raise SystemExit(report(error)) from None


def report(error: BaseException) -> int:
    """Tell of a failure; the exit code that belongs to it."""
    if _wants_trace():
        import traceback

        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt):
        _say("Interrupted.")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError) and _reader_left():
        # Whoever read the output has seen enough, as in `smp logs | head`.
        _silence(sys.stdout)
        return 0
    said = f"Failed: smp\nWhy:    {error}\nDo:     Mend that, and run it again."
    try:
        from local.cli import failures

        explained = failures.explain(error) or failures.unexpected(error)
        said = f"Failed: {explained.step}\nWhy:    {explained.why}\nDo:     {explained.remedy}"
        from local.cli.console import show

        show(explained)
    except Exception:
        # Whatever hindered the command hinders what makes its sentence and its colors, too.
        _say(said)
    return FAILED


@contextmanager
def interruptible() -> Iterator[None]:
    """Make the first SIGINT, SIGTERM or SIGHUP a KeyboardInterrupt, and ignore later ones.

    The first one starts the cleaning up, which must not be cut short by an impatient second.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in _SIGNALS:
        # Under nohup it goes on without its terminal.
        if number != signal.SIGHUP or before[number] is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _prepare() -> None:
    """Make standard streams such that no command need think of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened would be taken for it, a connection for example.
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no ✓ is shown a question mark.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="replace")


def _flush() -> int:
    """Write what is left of the output: an exit code when that cannot be done."""
    try:
        sys.stdout.flush()
    except BaseException as error:
        code = report(error)
        _silence(sys.stdout)
        return code
    with suppress(OSError):
        sys.stderr.flush()
    return 0


def _silence(stream: TextIO) -> None:
    """Let what is left in a stream go nowhere, so that the interpreter does not fail on it."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _reader_left() -> bool:
    """Whether the output is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), select.POLLOUT)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _wants_trace() -> bool:
    return os.environ.get("SMP_DEBUG", "") not in ("", "0")
