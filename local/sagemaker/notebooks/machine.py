"""The processes of one notebook instance: what is begun in it, and all that this begins."""

import contextlib
import logging
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import psutil

from local.confinement import Confinement, Rules
from local.ending import wait_for_ends
from local.sagemaker.notebooks.home import HOME

_LINE = 256_000
_ROUNDS = 5

_log = logging.getLogger(__name__)


class Machine:
    """Runs commands as an instance does: what they leave behind lives on until the machine ends.

    All processes are known by the home in their environment, which they hand on: a daemon that has
    left the session and the group of the script that started it is one of them.
    """

    def __init__(
        self, environment: Mapping[str, str], confinement: Confinement, rules: Rules
    ) -> None:
        self._environment = environment
        self._confinement = confinement
        self._rules = rules
        self._lock = threading.Lock()
        self._ended = False
        self._begun: list[tuple[subprocess.Popen[bytes], threading.Thread]] = []

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        on_line: Callable[[str], None],
        variables: Mapping[str, str] | None = None,
        reads: Sequence[Path] = (),
    ) -> "subprocess.Popen[bytes] | None":
        """Start a command, kept to the instance's own folders and to what it alone reads.

        None when the machine has ended. `on_line` gets what it prints.
        """
        environment = {**self._environment, **(variables or {})}
        rules = replace(self._rules, reads=[*self._rules.reads, *reads])
        with self._lock, self._confinement.launch(command, environment, rules) as launch:
            if self._ended:
                return None
            popen = subprocess.Popen(
                launch.command,
                env=launch.environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # As on an instance: what it writes is to be carried elsewhere, by git for example.
                umask=0o022,
                pass_fds=launch.descriptors,
            )
            reader = threading.Thread(target=_read, args=[popen.stdout, on_line], daemon=True)
            self._begun.append((popen, reader))
            reader.start()
        return popen

    @property
    def ended(self) -> bool:
        """Whether nothing can be started any more."""
        return self._ended

    def end(self, grace: float) -> None:
        """End every process of the machine: asked first, killed after the grace.

        What they printed has been handed on when this returns.
        """
        with self._lock:
            self._ended = True
        end_all(Path(self._environment[HOME]), grace)
        for popen, reader in self._begun:
            with contextlib.suppress(subprocess.TimeoutExpired):
                popen.wait(timeout=1)
            reader.join(timeout=1)


def end_all(home: Path, grace: float) -> None:
    """End every process of the instance with this home, whoever started it."""
    victims = _members(home)
    if grace > 0:
        for process in victims:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGTERM)
        wait_for_ends(victims, grace)
    # Again until there is none: one may have started another while it was ended.
    for _ in range(_ROUNDS):
        victims = _members(home)
        if not victims:
            return
        for process in victims:
            with contextlib.suppress(psutil.Error):
                process.kill()
        wait_for_ends(victims, 1)


def _members(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(HOME) == str(home):
                found.append(process)
    return found


def _read(stream: IO[bytes] | None, on_line: Callable[[str], None]) -> None:
    """Hand on every line, also of what lives on in the background of a script that has ended."""
    if stream is None:
        return
    with stream:
        while line := stream.readline(_LINE):
            try:
                on_line(line.decode("utf-8", "replace").rstrip("\r\n"))
            except Exception:
                # A reader that ended here would end the process too, by a broken pipe.
                _log.exception("a line of a notebook was lost")
