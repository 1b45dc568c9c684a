"""`up` and `down`: from nothing to a deployed platform, and back to nothing."""

import re
import socket
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local.platform import assembly, control, credentials, deployment, server
from local.platform.commands import Cancelled, Commands
from local.platform.credentials import Credentials
from local.platform.errors import PlatformError
from local.platform.home import ACCOUNT, Home
from local.platform.progress import Progress, step
from local.platform.record import Server, recorded


@dataclass(frozen=True)
class Platform:
    """A running platform and the key to it."""

    home: Home
    server: Server
    credentials: Credentials
    # Whether the call that returned this found it running.
    found: bool = False

    @property
    def url(self) -> str:
        """Its AWS endpoint."""
        return self.server.url


def attach(home: Home) -> Platform:
    """The running platform of `home`; nothing is written.

    Raises:
        PlatformError: None runs, or the folder is not its user's alone.
    """
    home.check()
    process = server.running(home)
    key = credentials.load(home)
    if process is None or key is None:
        kept = home.marker.exists() and home.holds_state
        raise PlatformError(
            "find the platform",
            "No platform runs here.",
            f"Take up what is kept in {home.path} with: smp up"
            if kept
            else "Start one with: smp up",
        )
    return Platform(home, process, key, found=True)


def up(home: Home, port: int | None, progress: Progress) -> Platform:
    """Start the platform of `home`, or find it, and deploy what has changed.

    A platform whose server died is taken up with all that it held. Whatever ends this early, an
    error or an interruption, ends the server that it started, and removes what it began.
    """
    with home.locked("smp up", progress.note):
        before = recorded(home)
        found = before if before and before.process else None
        if found and port not in (None, found.port):
            raise PlatformError(
                "find the platform",
                f"It runs already, on port {found.port} and not on {port}.",
                "Use it as it is with smp up, or end it first with: smp down",
            )
        if before and port not in (None, before.port):
            raise PlatformError(
                "find the platform",
                f"Its state names port {before.port}, in queues' URLs for example, and not {port}.",
                "Take it up as it is with smp up, or give it up first with: smp down",
            )
        listener = None
        if found is None:
            wanted = before.port if before else port or server.DEFAULT_PORT
            listener = _claim(home, wanted)
        # A record may be lost; what was kept is nothing that an error may remove.
        kept = before is not None or home.holds_state
        commands = Commands()
        try:
            if found is None and home.marker.exists():
                # The server died: what it began and nobody ended would work against the next one.
                server.stop(home)
            return _up(home, listener, before, commands, progress)
        except BaseException as error:
            commands.cancel()
            if listener is not None:
                listener.close()
            if not kept:
                _take_down(home, keep_log=isinstance(error, Exception))
            elif found is None:
                server.stop(home)
            raise


def _claim(home: Home, port: int) -> socket.socket:
    """Take the port before anything is touched: another home may want it at this moment."""
    try:
        return server.claim(port)
    except PlatformError:
        # A server of this home that was never recorded may be who has it.
        server.stop(home)
        return server.claim(port)


def _up(
    home: Home,
    listener: socket.socket | None,
    before: Server | None,
    commands: Commands,
    progress: Progress,
) -> Platform:
    """Serve and synthesize at the same time, then deploy."""
    found = listener is None
    with ThreadPoolExecutor(2, thread_name_prefix="up") as pool:
        serving = pool.submit(_serve, home, listener, before, commands, progress)
        synthesis = pool.submit(_synthesize, commands, progress)
        try:
            _first_failure(serving, synthesis)
        except BaseException:
            commands.cancel()
            if not found:
                # The thread that waits for the server ends only when the server does.
                server.stop(home)
            raise
    platform = serving.result()
    made = synthesis.result()
    if platform.server.deployed != made.name:
        deployment.deploy(commands, home, platform.credentials, platform.url, made, progress)
        deployed = platform.server.with_deployed(made.name)
        deployed.save(home)
        platform = Platform(home, deployed, platform.credentials, platform.found)
    return platform


def _first_failure(*futures: "Future[Any]") -> None:
    """Wait for all, and raise the first real failure as soon as there is one."""
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    failures = [error for future in done if (error := future.exception())]
    # What was cancelled because of another's failure is not the reason of anything.
    failures.sort(key=lambda error: isinstance(error, Cancelled))
    if failures:
        raise failures[0]


def _serve(
    home: Home,
    listener: socket.socket | None,
    before: Server | None,
    commands: Commands,
    progress: Progress,
) -> Platform:
    """Find the server or start it, with an administrator and an account that is bootstrapped.

    `before` is the server that was recorded, running or not; `listener` is for one to be started.
    """
    found = before if before and before.process else None
    if found and credentials.load(home):
        with step(progress, "find the server"):
            server.wait_ready(found, home)
        return Platform(home, found, credentials.load_made(home), found=True)
    deployed = before.deployed if before else ""
    with step(progress, "start the server"):
        process = found or _start(home, listener, deployed)
        server.wait_ready(process, home)
        # The server made the administrator before it answered.
        key = credentials.load_made(home)
    # A deployment has been through what bootstrapping makes.
    if not deployed:
        deployment.bootstrap(commands, home, key, process.url, progress)
    return Platform(home, process, key)


def _start(home: Home, listener: socket.socket | None, deployed: str) -> Server:
    if listener is None:
        raise RuntimeError("no port was claimed for a server that does not run")
    return server.start(home, listener.getsockname()[1], deployed=deployed, listener=listener)


def _synthesize(commands: Commands, progress: Progress) -> Path:
    with step(progress, "synthesize"):
        return assembly.make(commands, progress.note)


def further_account(platform: Platform, account: str) -> Credentials:
    """The administrator of a further account, made when it is first asked for.

    Raises:
        PlatformError: It is no account's number, or the platform refuses it.
    """
    if not re.fullmatch(r"\d{12}", account, re.ASCII):
        raise PlatformError(
            "find the account",
            f"{account!r} is no account.",
            "Name one of twelve digits: smp env --account 111122223333",
        )
    if account == ACCOUNT:
        return platform.credentials
    known = credentials.of_account(platform.home, account)
    wish = {"account": account, "key": asdict(known) if known else None}
    found = Credentials(
        **control.asked("find the account", platform.url, platform.credentials, "accounts", wish)
    )
    if found != known:
        credentials.keep(platform.home, account, found)
    return found


def stop(home: Home, note: Callable[[str], None]) -> int:
    """End the platform of `home` and keep its state for the next `up`; how many processes ended.

    Raises:
        PlatformError: The folder is not its user's alone, or holds what no platform put there.
    """
    with home.locked("smp stop", note):
        return server.stop(home)


def down(home: Home, note: Callable[[str], None]) -> int:
    """End the platform of `home` and remove its folder; return how many processes ended.

    `note` is told when another `smp` is at work on it.

    Raises:
        PlatformError: The folder is not its user's alone, or holds what no platform put there.
    """
    with home.locked("smp down", note):
        return _take_down(home)


def _take_down(home: Home, *, keep_log: bool = False) -> int:
    ended = server.stop(home)
    home.remove(keep_log=keep_log and home.log.is_file() and home.log.stat().st_size > 0)
    return ended
