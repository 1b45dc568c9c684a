"""Images that run in Docker: pulled as a role, and run by AWS's contract for containers."""

import base64
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from local.containers.container import CannotStart, Container, Mount, Spec, remove_left_over
from local.containers.engine import Engine, Unavailable
from local.containers.networks import Network, Networks
from local.containers.relay import Relay, Relays
from local.sagemaker.errors import invalid
from local.sagemaker.ports import Aws, Credentials
from local.sagemaker.roles import CALL_ERRORS, CallFailed, Role
from local.sagemaker.training import checkpoints
from local.sagemaker.training.cluster import Place

_BASE = "/opt/ml"
_PORT = 8080
_REMOVAL_SECONDS = 10
_LOOPBACK = IPv4Network("127.0.0.0/8")


class ImageMissing(CallFailed):
    """There is no such image, or it cannot be had; the message says which."""


class Containers:
    """The containers of one platform, from its start to its end."""

    def __init__(self, aws: Aws, engine: Engine, port: int) -> None:
        self._aws = aws
        self._engine = engine
        self._registry = f"127.0.0.1:{port}/"
        self._relays = Relays()
        self._networks = Networks(engine, self._relays, port)

    def check(self, image: str) -> None:
        """Check that an image can run here: of this account's ECR, or one that Docker has.

        Raises:
            ServiceError: when there is no Docker, or Docker does not have the image.
        """
        if refusal := self._engine.refusal():
            raise invalid(f"The image {image} runs in Docker. {refusal}")
        if self.reference(image) == image and not image.startswith(self._registry):
            try:
                self._engine.client().images.get(image)
            except Exception as error:
                raise invalid(
                    f"Requested image {image} not found: it is in no repository of this account's "
                    "ECR, and Docker on this machine does not have it. Build it, get it with "
                    f"docker pull {image}, or push it to an ECR repository of the platform. "
                    f"({error})"
                ) from error

    def reference(self, image: str) -> str:
        """Say how Docker names an image: one of this account's ECR lies in the local registry."""
        own = f"{self._aws.account}.dkr.ecr.{self._aws.region}.amazonaws.com/"
        return self._registry + image.removeprefix(own) if image.startswith(own) else image

    def pull(self, image: str, role: Role) -> str:
        """Have an image here, and give its id.

        Raises:
            CallFailed: when the role may not pull it.
            ImageMissing: when it is not there.
            CannotStart: when it is for another kind of machine.
        """
        client = self._client()
        reference = self.reference(image)
        if reference.startswith(self._registry):
            name = reference.removeprefix(self._registry)
            role.pull(f"{self._aws.account}.dkr.ecr.{self._aws.region}.amazonaws.com/{name}")
            self._fetch(client, reference, role)
        elif ".dkr.ecr." in image.partition("/")[0]:
            role.pull(image)
        try:
            attributes = client.images.get(reference).attrs
        except Exception as error:
            raise ImageMissing(f"Docker has no image {reference} ({error})") from error
        if not self._engine.runs(str(attributes.get("Architecture", ""))):
            raise CannotStart(
                f"the image is built for {attributes['Architecture']}, which this machine is not; "
                "build it with --platform for this one"
            )
        return str(attributes["Id"])

    def program(
        self,
        image: str,
        *,
        isolated: bool,
        hosts: int,
        entrypoint: Sequence[str],
        arguments: Sequence[str],
    ) -> "ContainerProgram":
        """Give the program of one job or variant."""
        return ContainerProgram(
            self, image, isolated=isolated, hosts=hosts, entrypoint=entrypoint, arguments=arguments
        )

    def network(self, *, isolated: bool, hosts: int, reached: bool) -> Network | None:
        """Give the network for containers; None when they need none."""
        if hosts > 1:
            return self._networks.own(isolated=isolated)
        if isolated and not reached:
            return None
        return self._networks.shared(isolated=isolated)

    def start(self, spec: Spec, on_line: Callable[[str], None]) -> Container:
        """Start a container."""
        return Container(self._engine, spec, on_line)

    def forward(self, port: int, container: Container) -> Relay:
        """Let a port of the loopback reach a container whose network publishes none."""
        return self._relays.open("127.0.0.1", _LOOPBACK, (container.address, _PORT), port)

    @property
    def region(self) -> str:
        """The region that containers are told."""
        return self._aws.region

    def remove_left_over(self) -> None:
        """Remove what a platform that was killed left in Docker."""
        if not self._engine.refusal():
            remove_left_over(self._engine)

    def close(self) -> None:
        """Remove networks, and containers that did not end in time."""
        self._networks.close()
        if self._engine.connected:
            self.remove_left_over()
        self._relays.close()
        self._engine.close()

    def _client(self) -> Any:  # noqa: ANN401
        try:
            return self._engine.client()
        except Unavailable as error:
            raise CallFailed(str(error)) from error

    def _fetch(self, client: Any, reference: str, role: Role) -> None:  # noqa: ANN401
        try:
            answer = role.client("ecr").get_authorization_token()
        except CALL_ERRORS as error:
            raise role.failure(error, "ecr:GetAuthorizationToken", "*") from error
        token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
        user, _, password = token.partition(":")
        try:
            client.images.pull(reference, auth_config={"username": user, "password": password})
        except Exception as error:
            # Whatever the engine says: the image is not here.
            raise ImageMissing(str(getattr(error, "explanation", "") or error)) from error


class ContainerProgram:
    """An image that runs in one container, or in one for each host of its job."""

    interface = "eth0"
    # By AWS's contract, a container is asked by nothing but its port.
    keyed = False

    def __init__(
        self,
        containers: Containers,
        image: str,
        *,
        isolated: bool,
        hosts: int,
        entrypoint: Sequence[str],
        arguments: Sequence[str],
    ) -> None:
        self._containers = containers
        self._image = image
        self._isolated = isolated
        self._hosts = hosts
        self._entrypoint = entrypoint
        self._arguments = arguments
        self._id = ""
        self._network: Network | None = None
        self._started: list[Container] = []

    def pull(self, role: Role) -> None:
        """Pull the image as the role, or find it in Docker."""
        self._id = self._containers.pull(self._image, role)

    def train(
        self,
        folder: Path,
        job: Mapping[str, Any],
        place: Place,
        credentials: Credentials | None,
        on_line: Callable[[str], None],
    ) -> Container:
        """Run the image on one host, with the host's folder in place of /opt/ml."""
        if self._network is None:
            self._network = self._containers.network(
                isolated=self._isolated, hosts=self._hosts, reached=False
            )
        environment = {
            **job.get("Environment", {}),
            "TRAINING_JOB_NAME": job["TrainingJobName"],
            "TRAINING_JOB_ARN": job["TrainingJobArn"],
            **self._environment(credentials, self._network),
        }
        # Each by itself: a container cannot put a link in the place of a folder that is mounted.
        mounts = [
            Mount(folder / name, f"{_BASE}/{name}")
            for name in ("input", "model", "output", "output/data")
        ]
        if config := job.get("CheckpointConfig"):
            kept = folder / checkpoints.inside(config)
            kept.mkdir(parents=True, exist_ok=True)
            mounts.append(Mount(kept, config.get("LocalPath") or checkpoints.DEFAULT_PATH))
        spec = Spec(
            self._id,
            self._arguments or (() if self._entrypoint else ("train",)),
            environment,
            self._network.name if self._network else "none",
            mounts,
            self._entrypoint,
            hostname=place.host,
            named=self._hosts > 1,
        )
        container = self._containers.start(spec, on_line)
        self._started.append(container)
        return container

    def serve(
        self,
        folder: Path,
        environment: Mapping[str, str],
        port: int,
        credentials: Credentials | None,
        on_line: Callable[[str], None],
        key: str,
    ) -> "Container":
        """Run the image as a model server; the model is read-only."""
        network = self._containers.network(isolated=self._isolated, hosts=1, reached=True)
        spec = Spec(
            self._id,
            ("serve",),
            {**environment, **self._environment(credentials, network)},
            network.name if network else "none",
            [Mount(folder / "model", f"{_BASE}/model", read_only=True)],
            ports={} if self._isolated else {_PORT: port},
        )
        running = self._containers.start(spec, on_line)
        if self._isolated:
            try:
                relay = self._containers.forward(port, running)
            except BaseException:
                running.kill()
                raise
            running.when_exited(relay.close)
        return running

    def close(self) -> None:
        """Remove the job's own network."""
        if self._network is not None and self._hosts > 1:
            for container in self._started:
                # A network that has containers cannot be removed; they have been killed already.
                container.exited.wait(_REMOVAL_SECONDS)
            self._network.close()

    def _environment(
        self, credentials: Credentials | None, network: Network | None
    ) -> dict[str, str]:
        found = {
            "AWS_REGION": self._containers.region,
            "AWS_DEFAULT_REGION": self._containers.region,
        }
        if credentials is not None and network is not None and network.endpoint_url:
            found |= {
                "AWS_ACCESS_KEY_ID": credentials.access_key,
                "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
                "AWS_SESSION_TOKEN": credentials.token,
                "AWS_ENDPOINT_URL": network.endpoint_url,
            }
        return found
