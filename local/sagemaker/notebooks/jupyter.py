"""The JupyterLab of a notebook instance: started, waited for, started again when it dies."""

import contextlib
import json
import logging
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from local.sagemaker.limits import Limits
from local.sagemaker.notebooks import sessions
from local.sagemaker.notebooks.home import NotebookHome
from local.sagemaker.notebooks.machine import Machine

# Named and not imported: it needs jupyter_server, which is for this process's child alone.
_SECRET = "SMP_NOTEBOOK_SESSION_SECRET"  # noqa: S105 (the name of the variable that holds it)
_IDENTITY = "local.sagemaker.notebooks.identity.SessionIdentityProvider"
_LAB = Path(__file__).with_name("lab.py")
_HOST = "127.0.0.1"
_POLL = 0.05

_log = logging.getLogger(__name__)


class LabFailed(Exception):
    """JupyterLab did not come up; the message says how it went."""


class JupyterLab:
    """One JupyterLab on the loopback interface, whose root is the notebook's volume."""

    def __init__(
        self,
        machine: Machine,
        home: NotebookHome,
        limits: Limits,
        on_line: Callable[[str], None],
    ) -> None:
        self._machine = machine
        self._home = home
        self._limits = limits
        self._on_line = on_line
        self._secret = ""
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Start it and wait until it answers.

        From then on it is started again whenever it dies, as AWS's instances do.

        Raises:
            LabFailed: when it does not come up.
        """
        self._up()
        threading.Thread(target=self._watch, daemon=True).start()

    def url(self, path: str, *, opens_for: float, session_seconds: int) -> str:
        """An address that opens it for so long, for a session of so many seconds."""
        token = sessions.token(
            self._secret,
            opens_until=time.time() + opens_for,
            session_seconds=session_seconds,
        )
        return f"http://{_HOST}:{self.port}{path}?authToken={token}"

    def _up(self) -> None:
        self.port = self.port or _free_port()
        # With each start, since with it goes the memory of which tokens have been used.
        self._secret = secrets.token_urlsafe(32)
        for old in self._runtime_files():
            old.unlink(missing_ok=True)
        self._process = self._machine.run(
            _command(self._home, self.port),
            folder=self._home.volume,
            on_line=self._on_line,
            variables={_SECRET: self._secret},
        )
        until = time.monotonic() + self._limits.notebook_startup
        while self._process is not None and time.monotonic() < until:
            code = self._process.poll()
            if code is not None:
                raise LabFailed(f"JupyterLab ended with exit code {code} before it answered.")
            if self._answers():
                return
            time.sleep(_POLL)
        raise LabFailed(
            f"JupyterLab did not answer within {self._limits.notebook_startup:g} seconds."
        )

    def _answers(self) -> bool:
        """Whether it says where it listens, and listens there."""
        for file in self._runtime_files():
            with contextlib.suppress(ValueError, KeyError, OSError, urllib.error.URLError):
                self.port = int(json.loads(file.read_text(encoding="utf-8"))["port"])
                with urllib.request.urlopen(f"http://{_HOST}:{self.port}/api", timeout=2) as answer:
                    return bool(answer.status == 200)
        return False

    def _runtime_files(self) -> list[Path]:
        folder = self._home.path / ".local" / "share" / "jupyter" / "runtime"
        return [*folder.glob("jpserver-*.json")]

    def _watch(self) -> None:
        delay = self._limits.restart_delay
        while self._process is not None:
            began = time.monotonic()
            code = self._process.wait()
            if self._machine.ended:
                return
            _log.warning("JupyterLab in %s ended with %d", self._home.folder.name, code)
            if time.monotonic() - began > self._limits.restart_memory:
                delay = self._limits.restart_delay
            time.sleep(delay)
            delay = min(delay * 2, self._limits.restart_memory)
            try:
                self._up()
            except LabFailed as error:
                _log.warning("%s: %s", self._home.folder.name, error)


def _command(home: NotebookHome, port: int) -> list[str]:
    return [
        sys.executable,
        # Without the folder it runs in: a notebook's own json.py must not become the server's.
        "-I",
        str(_LAB),
        "--no-browser",
        f"--ServerApp.ip={_HOST}",
        f"--ServerApp.port={port}",
        # When somebody took the port meanwhile it takes another, and its runtime file tells.
        "--ServerApp.port_retries=50",
        f"--ServerApp.root_dir={home.volume}",
        f"--ServerApp.identity_provider_class={_IDENTITY}",
        "--ServerApp.allow_remote_access=False",
        # Administrators of a machine run the platform as root, in a container for example.
        "--ServerApp.allow_root=True",
        "--ServerApp.answer_yes=True",
        # Language servers are searched for with npm; extensions would go into the platform's own
        # environment.
        "--ServerApp.jpserver_extensions={'jupyter_lsp': False}",
        "--LabApp.extension_manager=readonly",
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
