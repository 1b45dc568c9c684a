"""What an image does when SageMaker runs it: as a process of this machine, or in a container."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from local.confinement import Rules
from local.sagemaker import scripts
from local.sagemaker.containers import Containers
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.images import Runtime, is_own, runnable
from local.sagemaker.ports import Aws, Credentials
from local.sagemaker.processes import Process, Processes, Running
from local.sagemaker.roles import Role
from local.sagemaker.training import container, variables
from local.sagemaker.training.cluster import Place

# Where the first host of a job waits for the others: algorithms.toolkit.peers.PORT.
_MEETING = 9909
_CONTAINER = "/opt/ml"
# Where folders can be shown, each process has a /tmp of its own.
_OWN_TEMPORARY = {"HOME": "/tmp", "TMPDIR": "/tmp"}  # noqa: S108
_FREE_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Program(Protocol):
    """An image for one job or one variant of an endpoint."""

    # The network interface by which its hosts reach one another.
    interface: str
    # Whether its model server answers only who shows the key that it was started with.
    keyed: bool

    def pull(self, role: Role) -> None:
        """Have the image here, in the name of a role.

        Raises:
            CallFailed: when the role may not.
            ImageMissing: when there is no such image.
            CannotStart: when it is for another kind of machine.
        """

    def train(
        self,
        folder: Path,
        job: Mapping[str, Any],
        place: Place,
        credentials: Credentials | None,
        on_line: Callable[[str], None],
    ) -> Running:
        """Run `train` on one host; without credentials, isolated.

        Raises:
            CannotStart: when the image cannot be started.
        """

    def serve(
        self,
        folder: Path,
        environment: Mapping[str, str],
        port: int,
        credentials: Credentials | None,
        on_line: Callable[[str], None],
        key: str,
    ) -> Running:
        """Run `serve`, reached at a port of this machine's loopback; without credentials, isolated.

        Where the program is `keyed`, it answers only who shows the key.

        Raises:
            CannotStart: when the image cannot be started.
        """

    def close(self) -> None:
        """Give back what all hosts had together, once they have ended."""


class Programs:
    """Finds out how an image runs here."""

    def __init__(
        self, aws: Aws, runtime: Runtime, processes: Processes, containers: Containers | None
    ) -> None:
        self._aws = aws
        self._runtime = runtime
        self._processes = processes
        self._containers = containers

    def check_training(self, params: Mapping[str, Any]) -> str:
        """Name the algorithm that a training job runs; empty for a script or a container.

        Raises:
            ServiceError: when the image cannot run here, saying what can.
        """
        image = params["AlgorithmSpecification"]["TrainingImage"]
        if self._script(image, lambda: scripts.of_training(image, params)):
            return ""
        algorithm = self._algorithm(image)
        if algorithm:
            settings, environment = params.get("HyperParameters", {}), params.get("Environment", {})
            scripts.refuse_ignored(image, algorithm, settings, environment)
        return algorithm

    def check_serving(self, image: str, environment: Mapping[str, str]) -> None:
        """Check that a model's image can run here.

        Raises:
            ServiceError: when it cannot, saying what can.
        """
        if self._script(image, lambda: scripts.of_serving(image, environment)):
            return
        if algorithm := self._algorithm(image):
            scripts.refuse_ignored(image, algorithm, {}, environment)

    def runs_script(self, params: Mapping[str, Any]) -> bool:
        """Whether a training job runs a script as a process."""
        image = params["AlgorithmSpecification"]["TrainingImage"]
        return self._script(image, lambda: scripts.of_training(image, params)) is not None

    def _script(
        self, image: str, script: Callable[[], scripts.Script | None]
    ) -> scripts.Script | None:
        """The script that runs as a process; Docker goes first where it has the very image."""
        if self._runtime.resolve(image) is None and self._in_docker(image):
            return None
        return script()

    def _in_docker(self, image: str) -> bool:
        if self._containers is None:
            return False
        try:
            self._containers.check(image)
        except ServiceError:
            return False
        return True

    def _algorithm(self, image: str) -> str:
        """Name the algorithm that runs in place of an image; empty when its container runs."""
        found = self._runtime.resolve(image)
        if self._containers is None or found in self._runtime.available():
            return runnable(self._runtime, image)
        try:
            self._containers.check(image)
        except ServiceError as error:
            if refusal := scripts.refusal(image):
                raise invalid(f"The image {image} cannot run here: {refusal}. {error}") from error
            raise
        return ""

    def is_own(self, image: str) -> bool:
        """Whether an image is the user's own, and none of AWS's."""
        return is_own(image, self._aws.account) or self._runtime.resolve(image) is None

    def keeps_checkpoints(self, algorithm: str) -> bool:
        """Whether AWS's own image of the algorithm goes on from checkpoints."""
        return self._runtime.keeps_checkpoints(algorithm)

    def metric_definitions(self, image: str) -> list[dict[str, str]]:
        """List the metrics that AWS's own image reports."""
        return self._runtime.metric_definitions(self._runtime.resolve(image) or "")

    def training(self, job: Mapping[str, Any], hosts: int) -> Program:
        """Give the program of a training job."""
        specification = job["AlgorithmSpecification"]
        image = specification["TrainingImage"]
        return self._program(
            image,
            self._script(image, lambda: scripts.of_training(image, job)),
            isolated=job.get("EnableNetworkIsolation", False),
            hosts=hosts,
            entrypoint=specification.get("ContainerEntrypoint", ()),
            arguments=specification.get("ContainerArguments", ()),
        )

    def serving(self, image: str, environment: Mapping[str, str], *, isolated: bool) -> Program:
        """Give the program of an endpoint's variant."""
        script = self._script(image, lambda: scripts.of_serving(image, environment))
        return self._program(image, script, isolated=isolated)

    def _program(
        self,
        image: str,
        script: scripts.Script | None,
        *,
        isolated: bool,
        hosts: int = 1,
        entrypoint: Sequence[str] = (),
        arguments: Sequence[str] = (),
    ) -> Program:
        algorithm = "" if script else self._algorithm(image)
        if script or algorithm or self._containers is None:
            return ProcessProgram(
                self._aws, self._runtime, self._processes, image, algorithm, script
            )
        return self._containers.program(
            image, isolated=isolated, hosts=hosts, entrypoint=entrypoint, arguments=arguments
        )


class ProcessProgram:
    """An algorithm of this project, or a script, in the place of an image of AWS's."""

    def __init__(
        self,
        aws: Aws,
        runtime: Runtime,
        processes: Processes,
        image: str,
        algorithm: str,
        script: scripts.Script | None = None,
    ) -> None:
        self.interface = container.loopback()
        self.keyed = True
        self._aws = aws
        self._runtime = runtime
        self._processes = processes
        self._image = image
        self._told = script.variables() if script else runtime.environment(algorithm)
        self._script = script is not None
        self._shown = self._script and processes.shows(_CONTAINER)

    def pull(self, role: Role) -> None:
        """Ask whether the role may pull the image that the process stands for."""
        role.pull(self._image)

    def train(
        self,
        folder: Path,
        job: Mapping[str, Any],
        place: Place,
        credentials: Credentials | None,
        on_line: Callable[[str], None],
    ) -> Process:
        """Run it in the host's folder."""
        environment = container.environment(
            self._base(folder),
            job,
            place,
            region=self._aws.region,
            endpoint_url=self._aws.endpoint_url,
            credentials=credentials,
            asked=self._passed(job.get("Environment", {})),
        )
        return self._start(
            "train",
            folder,
            environment,
            on_line,
            asked=job.get("Environment", {}),
            connects=_peers(place, self._platform(credentials)),
            binds=_listeners(place),
        )

    def serve(
        self,
        folder: Path,
        environment: Mapping[str, str],
        port: int,
        credentials: Credentials | None,
        on_line: Callable[[str], None],
        key: str,
    ) -> Process:
        """Run its model server."""
        own = container.common_environment(
            self._base(folder), self._aws.region, self._aws.endpoint_url, credentials
        )
        place = {
            "SAGEMAKER_BASE_DIR": str(self._base(folder)),
            # Nothing on this machine but the platform is to reach it.
            "SAGEMAKER_BIND_ADDRESS": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "SAGEMAKER_CALLER_KEY": key,
        }
        return self._start(
            "serve",
            folder,
            {**self._passed(environment), **own, **place},
            on_line,
            asked=environment,
            connects=self._platform(credentials),
            binds=[port],
        )

    def close(self) -> None:
        """Nothing is shared by the processes of several hosts."""

    def _base(self, folder: Path) -> Path:
        """Where the process sees its folder: a script expects to find it where containers do."""
        return Path(_CONTAINER) if self._shown else folder

    def _passed(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """Give what the process is told of an Environment.

        A script gets all, as in a container: it could set each by itself. All that starts it is
        confined before it reads one, and the platform's own go before them.
        """
        return environment if self._script else variables.passed(environment)

    def _start(
        self,
        action: str,
        folder: Path,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
        *,
        asked: Mapping[str, str],
        connects: Sequence[int | tuple[int, int]],
        binds: Sequence[int],
    ) -> Process:
        if not self._script and (told := variables.note(asked)):
            on_line(told)
        temporary = folder / "tmp"
        return self._processes.start(
            self._runtime.command(action),
            environment={**environment, **self._told, **(_OWN_TEMPORARY if self._shown else {})},
            # Relative names must not mean what came out of S3.
            folder=temporary,
            rules=Rules(
                temporary,
                reads=[folder, *self._runtime.reads()],
                # Of a model server's folder nothing is its own but what it makes while it runs.
                writes=[folder] if action == "train" else [],
                connects=connects,
                binds=binds,
                only_tcp=True,
                show={_CONTAINER: folder} if self._shown else {},
            ),
            on_line=on_line,
        )

    def _platform(self, credentials: Credentials | None) -> list[int]:
        """The port of the platform, for who may call it."""
        port = urlsplit(self._aws.endpoint_url).port
        return [] if credentials is None or port is None else [port]


def _listeners(place: Place) -> list[int]:
    """The ports on which a host listens for the others of its job; 0 is any that is free."""
    return [_MEETING, 0] if len(place.cluster.hosts) > 1 else []


def _peers(place: Place, others: Sequence[int]) -> list[int | tuple[int, int]]:
    """The ports to which a host connects: its peers choose theirs among those that are free."""
    if len(place.cluster.hosts) == 1:
        return [*others]
    free = _FREE_PORTS.read_text(encoding="ascii") if _FREE_PORTS.exists() else "1024 65535"
    first, last = map(int, free.split())
    return [*others, _MEETING, (first, last)]
