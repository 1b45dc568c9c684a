"""What Jupyter knows of its kernels and terminals, by its API on this machine."""

from __future__ import annotations

import json
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

# Where AWS's Jupyter answers on an instance, should it not have said so in a file.
ON_AWS = "https://localhost:8443/"
_TIMEOUT_SECONDS = 20


class Unanswered(Exception):
    """Jupyter did not tell: nothing is known of what happens in it."""


@dataclass(frozen=True)
class Server:
    """A running Jupyter server of this machine."""

    url: str
    token: str = ""
    pid: int | None = None


@dataclass(frozen=True)
class Kernels:
    """Kernels and terminals of all servers at one moment."""

    busy: int
    last_kernel_activity: float
    """Seconds since the epoch; 0 without a kernel."""
    terminal_activity: tuple[float, ...]
    """When each terminal last wrote or read something."""


def servers(home: Path) -> list[Server]:
    """The servers that have said in Jupyter's runtime folder that they run.

    Only the port is taken from such a file, never a host: nobody else's server is ever asked.
    """
    folders = [
        home / ".local" / "share" / "jupyter" / "runtime",
        home / "Library" / "Jupyter" / "runtime",
    ]
    if "JUPYTER_RUNTIME_DIR" in os.environ:
        folders.insert(0, Path(os.environ["JUPYTER_RUNTIME_DIR"]))
    found = []
    for path in sorted(path for each in folders for path in each.glob("jpserver-*.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            scheme = "https" if said.get("secure") else "http"
            base = "/" + str(said.get("base_url", "/")).strip("/")
            server = Server(
                url=f"{scheme}://localhost:{int(said['port'])}{base.rstrip('/')}/",
                token=str(said.get("token") or ""),
                pid=int(said["pid"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Half written, or by another program: it says nothing of a server.
            continue
        if server.pid and psutil.pid_exists(server.pid):
            found.append(server)
    return found or [Server(ON_AWS)]


def look(found: list[Server]) -> Kernels:
    """Ask every server.

    Raises:
        Unanswered: If only one of them does not answer, or answers something else.
    """
    kernels: list[dict[str, Any]] = []
    terminals: list[dict[str, Any]] = []
    for server in found:
        kernels += _get(server, "api/kernels")
        terminals += _get(server, "api/terminals", absent=[])
    try:
        activity = [_seconds(kernel["last_activity"]) for kernel in kernels]
        return Kernels(
            # Starting and restarting count as busy, too: somebody has just asked for it.
            busy=sum(kernel["execution_state"] not in ("idle", "dead") for kernel in kernels),
            last_kernel_activity=max(activity, default=0.0),
            terminal_activity=tuple(_seconds(one["last_activity"]) for one in terminals),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unanswered(f"Jupyter answered something else: {error!r}") from error


def _get(server: Server, path: str, absent: Any = None) -> Any:  # noqa: ANN401 - JSON
    request = urllib.request.Request(  # noqa: S310 - http or https of this machine
        server.url + path, headers={"Authorization": f"token {server.token}"}
    )
    context = None
    if server.url.startswith("https://localhost:"):
        # AWS's certificate is signed by nobody; the connection never leaves the machine.
        context = ssl._create_unverified_context()  # noqa: S323
    try:
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=_TIMEOUT_SECONDS, context=context
        ) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404 and absent is not None:
            # A server without terminals has no such path.
            return absent
        raise Unanswered(f"{server.url}{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise Unanswered(f"{server.url}{path}: {error}") from error
    if not isinstance(found, list):
        raise Unanswered(f"{server.url}{path}: a list was expected")
    return found


def _seconds(text: str) -> float:
    # Python before 3.11 does not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
