"""Processes of jobs and endpoints: each in a group of its own, watched, and ended as a whole."""

import contextlib
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Protocol

from local.confinement import Confinement, Rules
from local.process_identity import ProcessIdentity
from local.sagemaker.store import Store

KIND = "process"
_IDENTITY = {field.name for field in fields(ProcessIdentity)}
_LINE = 256_000
# What a process needs of the platform's own environment; credentials are never among it. Whoever
# starts the platform may limit the cores that one process takes.
_INHERITED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
)
_SEARCHED = ("PATH", "LD_LIBRARY_PATH")

_log = logging.getLogger(__name__)


class Running(Protocol):
    """What runs an image: a process of this machine or a container."""

    exited: threading.Event
    exit_code: int
    # Whether it was killed for taking more memory than there is.
    out_of_memory: bool

    def wait(self) -> int:
        """Wait for the end, and for the last line; what was killed ends with 128 + n."""

    def signal(self, number: int) -> None:
        """Send a signal."""

    def stop(self, grace: float) -> None:
        """Ask it to end, and kill it when that takes too long; returns at once."""

    def kill(self) -> None:
        """End it now."""


class Processes:
    """Starts processes and remembers them, so that none outlives the platform for good."""

    def __init__(self, store: Store, confinement: Confinement) -> None:
        self._store = store
        self._confinement = confinement

    def shows(self, place: str) -> bool:
        """Whether a process can see a folder of its rules at another path, too."""
        return self._confinement.shows(place)

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        rules: Rules,
        on_line: Callable[[str], None],
    ) -> "Process":
        """Start a process in a group of its own, kept to its rules.

        `on_line` gets each line that it prints.
        """
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        for name in _SEARCHED:
            # An empty or relative place would be one in the folder of the process: of its data.
            places = filter(os.path.isabs, inherited.get(name, "").split(os.pathsep))
            inherited[name] = os.pathsep.join(places)
        inherited = {name: value for name, value in inherited.items() if value}
        with self._confinement.launch(command, {**inherited, **environment}, rules) as launch:
            popen = subprocess.Popen(
                launch.command,
                env=launch.environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=launch.descriptors,
                # What a job writes is carried elsewhere, where its own user must read it.
                umask=0o022,
            )
        name = str(popen.pid)
        try:
            self._store.put(KIND, name, asdict(ProcessIdentity.of(popen.pid)))
            return Process(popen, on_line, lambda: self._store.delete(KIND, name))
        except BaseException:
            # Nobody will hear of this process, so nobody could end it.
            _signal_group(popen.pid, signal.SIGKILL)
            with popen:
                raise

    def end_left_over(self) -> None:
        """End what a platform that was killed left running."""
        for document in self._store.all(KIND):
            pid = document["pid"]
            # What an older version recorded says nothing for sure: `smp up` has looked for it by
            # its folder, and ended it.
            if document.keys() == _IDENTITY and ProcessIdentity(**document).process():
                _signal_group(pid, signal.SIGKILL)
            self._store.delete(KIND, str(pid))


class Process:
    """A running process and all that it started."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        on_line: Callable[[str], None],
        on_gone: Callable[[], object],
    ) -> None:
        self._popen = popen
        self._on_line = on_line
        self._on_gone = on_gone
        # A process that was reaped may have left its id to another: signals go only to one that
        # was not, and what is sent first must not reap it behind the back of the watcher.
        self._reaping = threading.Lock()
        self._reaped = False
        self.exited = threading.Event()
        self.exit_code = 0
        self.out_of_memory = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def wait(self) -> int:
        """Wait for the end, and for the last line; a process that was killed ends with 128 + n."""
        self.exited.wait()
        return self.exit_code

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""
        with self._reaping:
            if not self._reaped:
                _signal_group(self._popen.pid, number)

    def stop(self, grace: float) -> None:
        """Ask the process to end, and kill its group when that takes too long; returns at once."""
        # As with `docker stop`, the first process is asked, and takes care of those it started.
        with self._reaping:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._popen.pid, signal.SIGTERM)
        timer = threading.Timer(grace, self.signal, [signal.SIGKILL])
        timer.daemon = True
        timer.start()

        def cancel() -> None:
            self.exited.wait()
            timer.cancel()

        threading.Thread(target=cancel, daemon=True).start()

    def kill(self) -> None:
        """End the group now."""
        self.signal(signal.SIGKILL)

    def _watch(self) -> None:
        if hasattr(os, "waitid"):
            # Without reaping: the group's id cannot be given to another before it is signalled.
            os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
            with self._reaping:
                # What the process left behind in its group would hold its output open for ever.
                _signal_group(self._popen.pid, signal.SIGKILL)
                code = self._popen.wait()
                self._reaped = True
        else:
            code = self._popen.wait()
            with self._reaping:
                _signal_group(self._popen.pid, signal.SIGKILL)
                self._reaped = True
        self._reader.join()
        self.exit_code = code if code >= 0 else 128 - code
        try:
            # Before anybody hears of the end, and with that may close what remembers processes.
            self._on_gone()
        finally:
            self.exited.set()

    def _read(self) -> None:
        stream: IO[bytes] | None = self._popen.stdout
        if stream is None:
            return
        with stream:
            while line := stream.readline(_LINE):
                try:
                    self._on_line(line.decode("utf-8", "replace").rstrip("\r\n"))
                except Exception:
                    # A reader that ended here would end the process too, by a broken pipe.
                    _log.exception("a line of process %d was lost", self._popen.pid)


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return
