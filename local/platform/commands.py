"""Running this project's tools so that an interrupted `smp up` ends them with itself."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from local.platform.errors import PlatformError
from local.platform.home import CHECKOUT
from local.platform.traces import condensed, says_full

KEPT_LINES = 25


class Cancelled(Exception):
    """The command was ended because something else failed or the user interrupted."""


class Commands:
    """The tools that one run of `smp` has started, each in a process group of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._cancelled = False

    def run(
        self,
        step: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        remedy: str,
        folder: Path = CHECKOUT,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> list[str]:
        """Run `command` to its end, in the checkout unless said, and return what it printed.

        A command that fails raises PlatformError with the last lines that it printed.
        """
        with self._lock:
            if self._cancelled:
                raise Cancelled(step)
            # A session of its own: Ctrl-C reaches smp alone, which then ends its tools in order.
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
        lines = []
        try:
            if process.stdout is None:
                raise RuntimeError("the pipe asked for above is missing")
            for line in process.stdout:
                lines.append(line.rstrip())
                on_line(lines[-1])
            code = process.wait()
        finally:
            _end_group(process)
            with self._lock:
                self._running.discard(process)
        if self._cancelled:
            raise Cancelled(step)
        if code != 0:
            full = says_full("\n".join(lines[-KEPT_LINES:]))
            # A trace is of use to who has changed the code, and none to who has a full disk.
            told = condensed(lines) if full else lines
            said = "\n".join(line for line in told if line)[-6000:].split("\n")[-KEPT_LINES:]
            raise PlatformError(
                step,
                f"{_words(command)} ended with exit code {code}:\n" + "\n".join(said),
                f"Free some space on that disk and run smp up again. {remedy}" if full else remedy,
            )
        return lines

    def cancel(self) -> None:
        """End everything that runs, and start nothing any more."""
        with self._lock:
            self._cancelled = True
            running = list(self._running)
        for process in running:
            _end_group(process)


def _end_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(3)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _words(command: Sequence[str]) -> str:
    """The command as one would type it, without the paths of the interpreter."""
    names = [os.path.relpath(word, CHECKOUT) if word.startswith("/") else word for word in command]
    return " ".join(names[1:] if len(names) > 1 else names)
