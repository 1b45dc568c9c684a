"""One container: started, read line by line, ended, and its files handed over."""

import contextlib
import os
import signal
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.containers.engine import Engine

# What cannot be told otherwise: the engine went away while the container ran.
LOST = 255
_LONGEST_LINE = 256_000
# A fork bomb ends in its container.
_PROCESSES = 4096
# Data loaders with several workers share memory; Docker's own default of 64 MB breaks them.
_SHARED_MEMORY = "1g"
# The machine keeps a part of its memory, whatever a container asks for.
_MEMORY_SHARE = 0.8
# Of this machine, so that files are handed over whatever the image holds.
_TOOLS = ("/usr", "/bin", "/lib", "/lib64")


class CannotStart(Exception):
    """The engine made no running container; the message is its own."""


@dataclass(frozen=True)
class Mount:
    """A folder of this machine at a path of the container."""

    folder: Path
    path: str
    read_only: bool = False


@dataclass(frozen=True)
class Spec:
    """What a container is started with."""

    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    network: str
    mounts: Sequence[Mount] = ()
    entrypoint: Sequence[str] = ()
    hostname: str = ""
    # Whether the others of its network find it by its hostname.
    named: bool = False
    # A port of the container -> a port of this machine's loopback.
    ports: Mapping[int, int] = field(default_factory=dict)


class Container:
    """A running container, with the same handle as a process of this machine."""

    def __init__(self, engine: Engine, spec: Spec, on_line: Callable[[str], None]) -> None:
        self.exited = threading.Event()
        self.exit_code = 0
        self.out_of_memory = False
        self._engine = engine
        self._spec = spec
        self._on_line = on_line
        # For attaching and waiting, which last as long as the container.
        self._watching = engine.stream_client()
        try:
            for mount in spec.mounts:
                open_to_all(mount.folder)
            self.id = _create(engine.client(), spec, engine.labels)
        except BaseException:
            self._watching.close()
            raise
        try:
            # Before the start, so that no line is missed.
            lines = self._watching.api.attach(self.id, stream=True, logs=False)
            self._reader = threading.Thread(target=self._read, args=(lines,), daemon=True)
            self._reader.start()
            engine.client().api.start(self.id)
        except BaseException as error:
            self._remove()
            self._watching.close()
            if isinstance(error, _api_error()):
                raise CannotStart(_explained(error)) from error
            raise
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def address(self) -> str:
        """Its address in its network, while it runs."""
        networks = self._engine.client().api.inspect_container(self.id)["NetworkSettings"]
        return str(networks["Networks"][self._spec.network]["IPAddress"])

    def wait(self) -> int:
        """Wait for the end, and for the last line; a signal's number comes as 128 + n."""
        self.exited.wait()
        return self.exit_code

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process; SIGKILL ends all."""
        # It may have ended meanwhile, and may be removed already.
        with contextlib.suppress(Exception):
            self._engine.client().api.kill(self.id, int(number))

    def stop(self, grace: float) -> None:
        """Ask the container to end, and kill it when that takes too long; returns at once."""
        self.signal(signal.SIGTERM)
        timer = threading.Timer(grace, self.kill)
        timer.daemon = True
        timer.start()

        def cancel() -> None:
            self.exited.wait()
            timer.cancel()

        threading.Thread(target=cancel, daemon=True).start()

    def kill(self) -> None:
        """End the container now."""
        self.signal(signal.SIGKILL)

    def when_exited(self, action: Callable[[], object]) -> None:
        """Do something once the container has ended."""

        def wait() -> None:
            self.exited.wait()
            with contextlib.suppress(OSError, TimeoutError):
                action()

        threading.Thread(target=wait, daemon=True).start()

    def _watch(self) -> None:
        try:
            self.exit_code = int(self._watching.api.wait(self.id)["StatusCode"])
            state = self._engine.client().api.inspect_container(self.id)["State"]
            self.out_of_memory = bool(state.get("OOMKilled"))
        except Exception as error:
            self.exit_code = LOST
            self._say(f"The connection to Docker was lost: {error}")
        try:
            self._reader.join()
            self._hand_over()
        finally:
            self._remove()
            self._watching.close()
            self.exited.set()

    def _read(self, chunks: Any) -> None:  # noqa: ANN401
        rest = b""
        with contextlib.suppress(Exception):
            # An engine that goes away ends the stream with an error; the watcher tells of it.
            for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._say(line.decode("utf-8", "replace").rstrip("\r"))
                if len(rest) > _LONGEST_LINE:
                    self._say(rest.decode("utf-8", "replace"))
                    rest = b""
        if rest:
            self._say(rest.decode("utf-8", "replace"))

    def _say(self, line: str) -> None:
        # A reader that ended here would block the container once its output is full.
        with contextlib.suppress(Exception):
            self._on_line(line)

    def _hand_over(self) -> None:
        """Make the platform's user the owner of what root wrote in the container."""
        folders = [mount.folder for mount in self._spec.mounts if not mount.read_only]
        if folders and os.geteuid() != 0:
            hand_over(self._engine, self._spec.image, folders, os.geteuid(), os.getegid())

    def _remove(self) -> None:
        # What cannot be removed now is found by its label.
        with contextlib.suppress(Exception):
            self._engine.client().api.remove_container(self.id, v=True, force=True)


def hand_over(engine: Engine, image: str, folders: Sequence[Path], user: int, group: int) -> None:
    """Give all files below the folders to a user, by a container that is root.

    It runs this machine's own `chown`, so that the image may hold whatever it does; links are
    changed themselves and never followed.
    """
    tools = {path: {"bind": path, "mode": "ro"} for path in _TOOLS if Path(path).exists()}
    places = {str(folder): {"bind": f"/mnt/{n}", "mode": "z"} for n, folder in enumerate(folders)}
    engine.client().containers.run(
        image,
        entrypoint=["/usr/bin/chown", "-hR", f"{user}:{group}"],
        command=[place["bind"] for place in places.values()],
        user="0:0",
        network_mode="none",
        volumes=tools | places,
        labels={**engine.labels},
        remove=True,
    )


def open_to_all(folder: Path) -> None:
    """Let every user of a container read what is mounted into it.

    The platform writes its files for its own user alone; in a container, another user may run, or
    root may be one of another namespace. On this machine nobody else comes as far as the folder.
    """
    for place, _, names in os.walk(folder):
        for path in (Path(place), *(Path(place, name) for name in names)):
            # Links are left alone: what they lead to may be none of the container's.
            with contextlib.suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if not stat.S_ISLNK(mode):
                    path.chmod(stat.S_IMODE(mode) | 0o044 | (0o011 if mode & 0o100 else 0))


def remove_left_over(engine: Engine) -> int:
    """Remove every container and network of a platform that ended; returns how many."""
    client = engine.client()
    ours = {"label": [f"{name}={value}" for name, value in engine.labels.items()]}
    removed = 0
    for container in client.containers.list(all=True, filters=ours, ignore_removed=True):
        with contextlib.suppress(Exception):
            container.remove(v=True, force=True)
            removed += 1
    for network in client.networks.list(filters=ours):
        with contextlib.suppress(Exception):
            network.remove()
            removed += 1
    return removed


def _create(client: Any, spec: Spec, labels: Mapping[str, str]) -> str:  # noqa: ANN401
    api = client.api
    none = spec.network == "none"
    host = api.create_host_config(
        network_mode=spec.network,
        binds={
            str(mount.folder): {"bind": mount.path, "mode": "ro,z" if mount.read_only else "z"}
            for mount in spec.mounts
        },
        port_bindings={port: ("127.0.0.1", outer) for port, outer in spec.ports.items()},
        # SageMaker's training toolkit looks its own name up, which means nothing without a network.
        extra_hosts={spec.hostname: "127.0.0.1"} if none and spec.hostname else None,
        security_opt=["no-new-privileges"],
        pids_limit=_PROCESSES,
        mem_limit=int(client.info()["MemTotal"] * _MEMORY_SHARE),
        shm_size=_SHARED_MEMORY,
        # The lines are read as they come; on the disk they would only grow.
        log_config={"Type": "none", "Config": {}},
    )
    networking = None
    if spec.named and not none:
        endpoint = api.create_endpoint_config(aliases=[spec.hostname])
        networking = api.create_networking_config({spec.network: endpoint})
    try:
        created = api.create_container(
            spec.image,
            command=[*spec.command],
            entrypoint=[*spec.entrypoint] or None,
            environment={**spec.environment},
            hostname=spec.hostname or None,
            labels={**labels},
            ports=[*spec.ports],
            host_config=host,
            networking_config=networking,
        )
    except _api_error() as error:
        raise CannotStart(_explained(error)) from error
    return str(created["Id"])


def _api_error() -> type[Exception]:
    from docker.errors import APIError

    error: type[Exception] = APIError
    return error


def _explained(error: BaseException) -> str:
    return str(getattr(error, "explanation", "") or error)
