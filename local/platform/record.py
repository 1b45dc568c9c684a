"""The record of a platform's server: which process, on which port, and how it proves itself."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from local.platform.errors import PlatformError
from local.platform.home import Home
from local.platform.ownership import write_private
from local.process_identity import ProcessIdentity

# Inherited by all that the server starts: by it, `down` finds what outlived its parent.
MARK = "SMP_SERVER_HOME"
_STEP = "find the platform"
_PORTS = range(1, 65536)
# When no process ever started.
NEVER = -1.0


@dataclass(frozen=True)
class Server:
    """A platform's server process, as its record tells."""

    pid: int
    # With `boot`, what tells it from another process that was given its number.
    started: float
    port: int
    # The fingerprint of the assembly that was deployed last; empty before the first.
    deployed: str = ""
    boot: str = ""
    # By it the process proves that it is this one; without it none can.
    secret: str = ""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def process(self) -> psutil.Process | None:
        """The running process; None when it has ended."""
        return ProcessIdentity(self.pid, self.started, self.boot).process()

    def save(self, home: Home) -> None:
        """Write the record, in one step, for its owner alone to read."""
        write_private(home.record, json.dumps({**asdict(self), "home": str(home.path)}))

    def with_deployed(self, fingerprint: str) -> "Server":
        """The same server, after a deployment."""
        return replace(self, deployed=fingerprint)


def recorded(home: Home) -> Server | None:
    """The server that the record names, running or not; None without a record.

    Raises:
        PlatformError: The record is not as smp writes it, or as an older smp wrote it while the
            server that it names still runs.
    """
    document = read_object(home.record)
    if document is None:
        return None
    if "created" in document:
        return _older(home, document)
    types: dict[str, type | tuple[type, ...]] = {
        "pid": int,
        "started": (int, float),
        "port": int,
        "deployed": str,
        "boot": str,
        "secret": str,
        "home": str,
    }
    for name, kind in types.items():
        if not isinstance(document.get(name), kind) or isinstance(document.get(name), bool):
            raise broken(home.record, f"{name} is {document.get(name)!r}")
    for name in document.keys() - types.keys():
        raise broken(home.record, f"it has {name}")
    owner = document.pop("home")
    server = Server(**document)
    if server.pid < 1:
        raise broken(home.record, f"pid is {server.pid}")
    if server.port not in _PORTS:
        raise broken(home.record, f"port is {server.port}")
    # In a copy of a home, the process that is named is the original's: here, none runs.
    return server if owner == str(home.path) else replace(server, started=NEVER)


def _older(home: Home, document: Mapping[str, Any]) -> Server:
    """The record of a version that told processes apart by the clock."""
    pid, port, deployed = document.get("pid"), document.get("port"), document.get("deployed")
    if not isinstance(pid, int) or not isinstance(port, int) or not isinstance(deployed, str):
        raise broken(home.record, "its values are of other kinds")
    if port not in _PORTS:
        raise broken(home.record, f"port is {port}")
    with suppress(psutil.Error, OverflowError, ValueError):
        if psutil.Process(pid).environ().get(MARK) == str(home.path):
            raise PlatformError(
                _STEP,
                f"The platform that runs here (process {pid}) is of an older version of smp, and"
                " cannot prove to this one what it is.",
                f"End it with: kill {pid}. Then smp up takes its state up.",
            )
    return Server(pid, NEVER, port, deployed)


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file of the platform; None when there is no such file.

    Raises:
        PlatformError: It holds something else.
    """
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise broken(path, f"it is no JSON ({error})") from None
    if not isinstance(document, dict):
        raise broken(path, f"it holds a {type(document).__name__}")
    return document


def broken(path: Path, what: str) -> PlatformError:
    """What to say of a file that something else has written, or that was cut off."""
    return PlatformError(
        _STEP,
        f"{path} is not as smp writes it: {what}.",
        "Put back what was there. Where that is lost, give the platform and its state up with:"
        " smp down",
    )
