"""Python functions are forked from a process that has boto3 already.

Of what a function's process holds most is boto3, and of the time it takes to start, too. A function
that brings a package of that process or of the standard library itself gets a process of its own.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

_SCRIPT = Path(__file__).with_name("function_parent.py")
_INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
# Forking a process that has loaded macOS's frameworks is not safe.
POSSIBLE = sys.platform == "linux"


class Forked:
    """A process that another one forked, with as much of Popen as ministack uses."""

    def __init__(self, stdin: TextIO, stdout: TextIO, stderr: TextIO, status: Any) -> None:
        """Wait for the process; EOFError tells that there will be none."""
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()
        first = status.readline()
        if not first:
            raise EOFError("the process that forks functions has ended")
        self.pid = int(first)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(["function"], timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Signal the process, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float | None) -> int | None:
        poll = select.poll()
        poll.register(self._status, select.POLLIN | select.POLLHUP)
        if self.returncode is None and poll.poll(None if seconds is None else seconds * 1000):
            with self._lock:
                if self.returncode is None:
                    self._settle()
        return self.returncode

    def _settle(self) -> None:
        told = self._status.readline()
        if told:
            self.returncode = os.waitstatus_to_exitcode(int(told))
            return
        # Nobody is left to tell how it ends.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.returncode = -signal.SIGKILL


class Parent:
    """The process that functions are forked from, started anew when it has ended."""

    def __init__(self, packages: Path) -> None:
        self._packages = packages
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Let it import what it imports, before it is asked."""
        with self._lock:
            self._running()

    def fork(
        self,
        script: str,
        cwd: str,
        environment: Mapping[str, str],
        confinement: Mapping[str, Any],
    ) -> Forked:
        """Run a script in a process of its own, confined where there is something for it.

        Raises:
            OSError: when there is no process to fork from.
            EOFError: when it ended before it forked.
        """
        request = {
            "script": script,
            "cwd": cwd,
            "env": dict(environment),
            "confinement": dict(confinement),
        }
        # The process that forks does not read it: what is in its memory, every function could find.
        told_to_child = os.memfd_create("function")
        with os.fdopen(os.dup(told_to_child), "wb") as file:
            file.write(json.dumps(request).encode())
        (stdin, to), (out, stdout), (err, stderr), (told, status) = (os.pipe() for _ in range(4))
        theirs = [stdin, stdout, stderr, status, told_to_child]
        ours = (
            os.fdopen(to, "w", buffering=1),
            os.fdopen(out),
            # Whatever a function prints must not end its reader.
            os.fdopen(err, errors="replace"),
            os.fdopen(told, "rb", buffering=0),
        )
        try:
            with self._lock:
                socket.send_fds(self._running(), [b"fork"], theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return Forked(*ours)

    def _running(self) -> socket.socket:
        if self._control is None or self._process is None or self._process.poll() is not None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-u", _SCRIPT, str(number), self._packages],
                stdin=subprocess.DEVNULL,
                pass_fds=[number],
                # As AWS Lambda has it.
                umask=0o022,
                # In /proc a forked process has the environment with which its parent began.
                env={name: os.environ[name] for name in _INHERITED if name in os.environ},
            )
            theirs.close()
            self._control = ours
        return self._control


def shares(folder: Path, environment: Mapping[str, str], packages: tuple[str, ...]) -> bool:
    """Whether a function's code imports the same boto3 and standard library as all others."""
    if environment.get("_LAMBDA_LAYERS_DIRS"):
        return False
    taken = {*packages, *sys.stdlib_module_names}
    return not any(path.name.partition(".")[0] in taken for path in folder.iterdir())
