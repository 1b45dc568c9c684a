"""The server process: found, started, waited for, ended with everything that it began."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from local.containers.container import remove_left_over
from local.containers.engine import Engine
from local.containers.engine import address as engine_address
from local.ending import alive, wait_for_ends
from local.platform.errors import PlatformError
from local.platform.home import CHECKOUT, Home, tool_environment

DEFAULT_PORT = 4566
READY_SECONDS = 90.0
STOP_SECONDS = 10.0
# Inherited by all that the server starts: by it, `down` finds what outlived its parent.
MARK = "SMP_SERVER_HOME"
# Waits and retries of state machines are made for a service that takes minutes; here nothing does.
WAIT_SCALE = 0.1
COMMAND = (sys.executable, "-m", "local.server", "--wait-scale", str(WAIT_SCALE))


@dataclass(frozen=True)
class Server:
    """A platform's server process, as its record tells."""

    pid: int
    # A pid is given out again after a while; with the time of its start it is unique.
    created: float
    port: int
    # The fingerprint of the assembly that was deployed last; empty before the first.
    deployed: str = ""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> psutil.Process | None:
        """The running process; None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            own = abs(process.create_time() - self.created) < 1
        except psutil.NoSuchProcess:
            return None
        return process if own and alive(process) else None

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/_smp/ready", timeout=2) as response:  # noqa: S310 - a fixed http address
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def save(self, home: Home) -> None:
        """Write the record, in one step, so that a reader never sees half of it."""
        draft = home.record.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(home.record)

    def with_deployed(self, fingerprint: str) -> "Server":
        """The same server, after a deployment."""
        return replace(self, deployed=fingerprint)


def recorded(home: Home) -> Server | None:
    """The server that the record names, running or not."""
    try:
        return Server(**json.loads(home.record.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def running(home: Home) -> Server | None:
    """The server of `home` when its process runs."""
    server = recorded(home)
    return server if server and server.process else None


def start(home: Home, port: int, command: Sequence[str] = COMMAND, deployed: str = "") -> Server:
    """Start the server's process and record it; it does not answer yet.

    `deployed` is what the state that it finds holds.
    """
    check_port(port)
    home.create()
    environment = tool_environment() | {
        MARK: str(home.path),
        "TMPDIR": str(home.temporary),
        "PYTHONUNBUFFERED": "1",
    }
    with home.log.open("ab") as log:
        process = subprocess.Popen(
            [
                *command,
                *("--port", str(port), "--state", str(home.state)),
                *("--credentials", str(home.credentials)),
            ],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process.pid, psutil.Process(process.pid).create_time(), port, deployed)
    server.save(home)
    return server


def wait_ready(server: Server, home: Home, seconds: float = READY_SECONDS) -> None:
    """Wait until the server answers; say so at once when it has died."""
    limit = time.monotonic() + seconds
    while not server.ready():
        if server.process is None:
            raise PlatformError(
                "start the server",
                "It ended before it answered. Its last lines:\n" + last_lines(home),
                f"The whole log is {home.log}.",
            )
        if time.monotonic() > limit:
            raise PlatformError(
                "start the server",
                f"It did not answer within {seconds:.0f} seconds. Its last lines:\n"
                + last_lines(home),
                f"The whole log is {home.log}. End it with: smp down",
            )
        time.sleep(0.05)


def last_lines(home: Home, count: int = 15) -> str:
    """The end of what the server printed."""
    try:
        lines = home.log.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return "(nothing)"
    return "\n".join(lines[-count:]) or "(nothing)"


def check_port(port: int) -> None:
    """Refuse a port that another process holds, and say which."""
    with socket.socket() as probe:
        # As the server itself binds: a connection that lingers from a platform just ended is no
        # hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise PlatformError(
                "choose a port",
                f"Port {port} may be used by the administrator alone.",
                "Take one above 1023: smp up --port 4566",
            ) from None
        except OSError:
            raise PlatformError(
                "choose a port",
                f"Port {port} is taken by {_holder(port)}.",
                f"End that process, or take another port: smp up --port {_free_port(port + 1)}",
            ) from None


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status != psutil.CONN_LISTEN or not address or not connection.pid:
                continue
            if address.port == port:
                process = psutil.Process(connection.pid)
                return f"{process.name()} (process {process.pid}: {' '.join(process.cmdline())})"
    except psutil.Error:
        pass
    return "a process of another user"


def _free_port(first: int) -> int:
    for port in range(first, first + 200):
        with socket.socket() as probe, suppress(OSError, OverflowError):
            probe.bind(("127.0.0.1", port))
            return port
    return 0


def stop(home: Home) -> int:
    """End the server and everything that it began; return how many processes that were."""
    server = running(home)
    # Named before the end of their parent: after it, nobody could tell whose they were.
    victims = {process.pid: process for process in members(home)}
    if server and (parent := server.process):
        victims |= {child.pid: child for child in parent.children(recursive=True)}
        victims[parent.pid] = parent
        with suppress(psutil.NoSuchProcess):
            parent.send_signal(signal.SIGTERM)
        wait_for_ends([parent], STOP_SECONDS)
        # The group, for a child that was born between the listing and the end.
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
    for process in members(home):
        victims[process.pid] = process
    left = [process for process in victims.values() if alive(process)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for_ends(left, STOP_SECONDS)
    return len(victims) + _remove_containers(home)


def _remove_containers(home: Home) -> int:
    """Remove what a server that was killed left in Docker; one that ended has done so itself."""
    docker = Engine(engine_address(), home.state)
    try:
        return 0 if docker.refusal() else remove_left_over(docker)
    finally:
        docker.close()


def members(home: Home) -> list[psutil.Process]:
    """Every process that belongs to the platform, whoever its parent is now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(home.path) or _works_in(process, home):
                found.append(process)
    return found


def _works_in(process: psutil.Process, home: Home) -> bool:
    """Whether it runs inside the platform's folders, as jobs with a clean environment do.

    A person's shell that stands there has a terminal, and what the server starts has none.
    """
    folder = Path(process.cwd())
    inside = folder.is_relative_to(home.state) or folder.is_relative_to(home.temporary)
    return inside and process.terminal() is None
