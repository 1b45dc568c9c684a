"""The Docker engine of this machine, found as the `docker` command finds it."""

import os
import platform
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Everything that the platform makes in Docker carries this label; its value is the state folder.
LABEL = "sagemaker-platform.home"
_SECONDS = 60
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
# Where Linux lists the foreign architectures that it has an interpreter for.
_INTERPRETERS = Path("/proc/sys/fs/binfmt_misc")


class Unavailable(Exception):
    """No container can run on this machine; the message says why and what to do."""


class Engine:
    """Docker on this machine, connected to when it is first needed and again when it was away."""

    def __init__(self, address: str, owner: Path) -> None:
        self.owner = str(owner)
        self._address = address
        self._client: Any = None
        self._lock = threading.Lock()

    @property
    def labels(self) -> Mapping[str, str]:
        """The label by which what belongs to this platform is found again."""
        return {LABEL: self.owner}

    @property
    def connected(self) -> bool:
        """Whether Docker was used."""
        return self._client is not None

    def client(self) -> Any:  # noqa: ANN401 (the library has no types)
        """Give a client of the running engine.

        Raises:
            Unavailable: when there is none that can run the platform's containers.
        """
        with self._lock:
            if self._client is None:
                self._client = self._connected()
            return self._client

    def stream_client(self) -> Any:  # noqa: ANN401
        """Give a client of its own for a call that lasts as long as a container; close it."""
        import docker

        self.client()
        return docker.DockerClient(base_url=self._address, timeout=None)

    def refusal(self) -> str:
        """Say why no container can run here now; empty when one can."""
        try:
            self.client().ping()
        except Unavailable as error:
            return str(error)
        except Exception as error:
            with self._lock:
                self._client = None
            return _away(self._address, error)
        return ""

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def runs(self, architecture: str) -> bool:
        """Whether images of an architecture (amd64, arm64, ...) run here, natively or emulated."""
        machine = platform.machine()
        if architecture in ("", _MACHINES.get(machine, machine)):
            return True
        names = [*_INTERPRETERS.iterdir()] if _INTERPRETERS.is_dir() else []
        aliases = {"arm64": "aarch64", "amd64": "x86_64"}
        return any(aliases.get(architecture, architecture) in path.name for path in names)

    def _connected(self) -> Any:  # noqa: ANN401
        import docker

        if not self._address.startswith("unix://"):
            raise Unavailable(
                f"Docker is reached at {self._address}, which may be another machine. Containers "
                "of the local platform share folders with it: let DOCKER_HOST or the Docker "
                "context name a unix:// socket of this machine."
            )
        client = None
        try:
            client = docker.DockerClient(base_url=self._address, timeout=_SECONDS)
            system = str(client.info().get("OperatingSystem", ""))
        except Exception as error:
            if client is not None:
                client.close()
            raise Unavailable(_away(self._address, error)) from error
        if platform.system() != "Linux" or system == "Docker Desktop":
            client.close()
            raise Unavailable(
                f"Docker here runs in a virtual machine ({system}), where the platform's "
                "addresses are out of reach. Containers of the local platform need Docker Engine "
                "on Linux: install it there (https://docs.docker.com/engine/install/)."
            )
        return client


def address() -> str:
    """Where the user's Docker is: DOCKER_HOST, else the current context, as for `docker`."""
    named = os.environ.get("DOCKER_HOST")
    if named:
        return named
    try:
        from docker.context import ContextAPI

        host = ContextAPI.get_current_context().Host
    except Exception:
        # Whatever is wrong with a configuration that is not this project's, the default stands.
        host = ""
    return str(host or "unix:///var/run/docker.sock").replace("http+unix://", "unix://")


def _away(address: str, error: Exception) -> str:
    reason = str(error)
    if "FileNotFoundError" in reason or "ConnectionRefusedError" in reason:
        reason = "nothing answers there"
    elif "PermissionError" in reason:
        reason = "this user may not use it: add the user to the group docker and log in again"
    return (
        f"There is no Docker at {address} ({reason}). Install Docker Engine and start it "
        "(Debian, Ubuntu: apt-get install docker.io), then try again; nothing else needs a restart."
    )
