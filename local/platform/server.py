"""The server process: found, started, waited for, ended with everything that it began."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from local.containers.container import remove_left_over
from local.containers.engine import Engine
from local.containers.engine import address as engine_address
from local.ending import alive, wait_for_ends
from local.handover import Handover, listen, new_secret
from local.platform import ready
from local.platform.errors import PlatformError
from local.platform.home import CHECKOUT, Home, tool_environment
from local.platform.record import MARK, Server, recorded
from local.platform.traces import condensed, says_full
from local.process_identity import ProcessIdentity

DEFAULT_PORT = 4566
READY_SECONDS = 90.0
STOP_SECONDS = 10.0
# How much of the log may hold the lines that are shown.
_LOG_END = 256 * 1024
# Waits and retries of state machines are made for a service that takes minutes; here nothing does.
WAIT_SCALE = 0.1
COMMAND = (sys.executable, "-m", "local.server", "--wait-scale", str(WAIT_SCALE))


def running(home: Home) -> Server | None:
    """The server of `home` when its process runs.

    Raises:
        PlatformError: Its record is not as smp writes it.
    """
    server = recorded(home)
    return server if server and server.process else None


def start(
    home: Home,
    port: int,
    command: Sequence[str] = COMMAND,
    deployed: str = "",
    listener: socket.socket | None = None,
) -> Server:
    """Start the server's process and record it; it does not answer yet.

    `deployed` is what the state that it finds holds; `listener` has claimed the port already.

    Raises:
        PlatformError: Another process holds the port; nothing has been touched then.
    """
    with listener or claim(port) as claimed:
        home.create()
        handover = Handover(claimed, new_secret())
        environment = tool_environment() | {
            MARK: str(home.path),
            "TMPDIR": str(home.temporary),
            "PYTHONUNBUFFERED": "1",
        }
        with _closed(handover.pipe()) as pipe, _closed(home.open_log()) as log:
            process = subprocess.Popen(
                [
                    *command,
                    *("--port", str(port), "--state", str(home.state)),
                    *("--credentials", str(home.credentials)),
                    *handover.arguments(pipe),
                ],
                cwd=CHECKOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(claimed.fileno(), pipe),
                # What it keeps is its user's alone.
                umask=0o077,
            )
    try:
        identity = ProcessIdentity.of(process.pid)
        server = Server(
            identity.pid, identity.started, port, deployed, identity.boot, handover.secret
        )
        server.save(home)
    except BaseException:
        # Nobody could find it again.
        process.kill()
        process.wait()
        raise
    return server


@contextmanager
def _closed(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def wait_ready(server: Server, home: Home, seconds: float = READY_SECONDS) -> None:
    """Wait until the server answers; say so at once when it has died or another answers.

    Raises:
        PlatformError: It ended, it does not answer, or its port is another's.
    """
    limit = time.monotonic() + seconds
    while (answer := ready.ask(server)) is not ready.Answer.READY:
        if server.process is None:
            said = last_lines(home)
            full = "Free some space on that disk and run smp up again. " if says_full(said) else ""
            raise PlatformError(
                "start the server",
                f"It ended before it answered. Its last lines:\n{said}",
                f"{full}The whole log is {home.log}.",
            )
        if answer is ready.Answer.ANOTHER:
            raise _taken(server.port)
        if time.monotonic() > limit:
            raise PlatformError(
                "start the server",
                f"It did not answer within {seconds:.0f} seconds. Its last lines:\n"
                + last_lines(home),
                f"The whole log is {home.log}. End it with: smp down",
            )
        time.sleep(0.05)


def last_lines(home: Home, count: int = 15) -> str:
    """The end of what the server printed, without the frames of its traces."""
    try:
        with home.log.open("rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - _LOG_END, 0))
            lines = log.read().decode(errors="replace").removesuffix("\n").split("\n")
    except FileNotFoundError:
        return "(nothing)"
    return "\n".join(condensed(lines)[-count:]) or "(nothing)"


def claim(port: int) -> socket.socket:
    """A socket that listens on a port of the loopback, so that nobody else can have it.

    Raises:
        PlatformError: It is taken, with its holder, or may not be used.
    """
    try:
        return listen("127.0.0.1", port)
    except PermissionError:
        raise PlatformError(
            "choose a port",
            f"Port {port} may be used by the administrator alone.",
            "Take one above 1023: smp up --port 4566",
        ) from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise _taken(port) from None


def _taken(port: int) -> PlatformError:
    return PlatformError(
        "choose a port",
        f"Port {port} is taken by {_holder(port)}.",
        f"End that process, or take another port: smp up --port {_free_port(port + 1)}",
    )


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
    for port in range(min(first, 65000), min(first + 200, 65536)):
        with socket.socket() as probe, suppress(OSError, OverflowError):
            probe.bind(("127.0.0.1", port))
            return port
    return 0


def stop(home: Home) -> int:
    """End the server and everything that it began; return how many processes that were."""
    try:
        server = running(home)
    except PlatformError:
        # Its processes are found without a record, too.
        server = None
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
