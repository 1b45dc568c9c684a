"""The servers that stand behind an endpoint at one time: those of one endpoint configuration."""

import itertools
import logging
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local.containers.container import CannotStart
from local.sagemaker import s3
from local.sagemaker.containers import ImageMissing
from local.sagemaker.endpoints.archive import ArchiveError, extract
from local.sagemaker.endpoints.server import ModelServer
from local.sagemaker.logs import LogStream
from local.sagemaker.processes import Running
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.surroundings import Surroundings

LOG_GROUP = "/aws/sagemaker/Endpoints"
# A laptop has few cores, and every instance of every variant brings its own server.
_WORKERS = "1"


_Running = tuple[ModelServer, LogStream]
_log = logging.getLogger(__name__)


class DeployFailed(Exception):
    """The servers cannot be had; the message is the endpoint's FailureReason."""


class _LastLine:
    """Passes the lines of a server on, and keeps the last one that says something."""

    def __init__(self, add: Callable[[str], object]) -> None:
        self._add = add
        self._line = ""

    def add(self, line: str) -> None:
        """Take a line."""
        if line.strip():
            self._line = line.strip()
        self._add(line)

    def __call__(self) -> str:
        """The line, without the time and level with which the algorithms of the platform begin."""
        return re.sub(r"^\[[^\]]* (?:ERROR|WARNING|INFO) \d+\] ", "", self._line)


class Variant:
    """A production variant: its model, its servers, its share of the requests."""

    def __init__(
        self,
        around: Surroundings,
        endpoint: str,
        plan: Mapping[str, Any],
        folder: Path,
        on_given_up: Callable[[str], None],
    ) -> None:
        self.name: str = plan["name"]
        self.weight: float = plan["weight"]
        # What the variant is owed of the requests so far.
        self.credit = 0.0
        self._around = around
        self._endpoint = endpoint
        self._plan = plan
        self._folder = folder
        self._on_given_up = on_given_up
        self._role = Role(around.aws, around.arns, plan["role"])
        self._servers: list[_Running] = []
        # Those that come up or are ending serve nobody, yet `stop` must find them.
        self._others: list[_Running] = []
        self._turn = itertools.count()
        self._program = around.programs.serving(
            plan["image"], plan["environment"], isolated=plan["isolated"]
        )
        self._call_failure = ""
        self._stopped = False
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """How many instances the variant has."""
        return len(self._servers)

    def prepare(self) -> None:
        """Pull the image and unpack the model, in the name of the model's role.

        Raises:
            DeployFailed: when the role may not, or the model data is not there or not safe.
        """
        plan = self._plan
        try:
            self._program.pull(self._role)
            if plan.get("volume_key"):
                self._role.use_key("kms:CreateGrant", plan["volume_key"], "ec2")
        except ImageMissing as error:
            raise DeployFailed(f"Requested image {plan['image']} not found. {error}") from error
        except CannotStart as error:
            raise DeployFailed(self._cannot_start(error)) from error
        except CallFailed as error:
            raise DeployFailed(str(error)) from error
        for name in ("model", "tmp"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        url = plan.get("data_url")
        if not url:
            return
        archive = self._folder / "model.tar.gz"
        try:
            s3.Storage(self._role).download(*s3.parse(url), archive)
            extract(archive, self._folder / "model")
            archive.unlink()
        except (CallFailed, ValueError) as error:
            raise DeployFailed(
                f'Failed to download model data for container "container_1" from URL: "{url}". '
                "Please ensure that there is an object located at the URL and that the role "
                f"passed to CreateModel has permissions to download the object. {error}"
            ) from error
        except ArchiveError as error:
            raise DeployFailed(
                f'Failed to extract model data archive from URL "{url}" for container '
                f'"container_1": {error}.'
            ) from error

    def scale(self, count: int) -> None:
        """Have `count` servers, all of them serving.

        Raises:
            DeployFailed: when a new one does not come up.
        """
        while len(self._servers) > count:
            with self._lock:
                self._others.append(self._servers.pop())
                leaving = self._others[-1]
            self._retire([leaving], self._around.limits.invocation, self._around.limits.server_stop)
        fresh: list[_Running] = []
        try:
            for _ in range(count - len(self._servers)):
                fresh.append(self._start())
            for server, _ in fresh:
                self._check_ready(server)
            with self._lock:
                self._check_wanted()
                self._servers += fresh
                self._others = [one for one in self._others if one not in fresh]
        except BaseException:
            self._retire(fresh, 0, self._around.limits.server_stop)
            raise

    def _check_wanted(self) -> None:
        if self._stopped:
            raise DeployFailed(f"Production variant {self.name} was stopped meanwhile.")

    def _check_ready(self, server: ModelServer) -> None:
        problem = server.wait_ready()
        if self._call_failure:
            raise DeployFailed(self._call_failure)
        if problem:
            raise DeployFailed(
                f"The primary container for production variant {self.name} did not pass the ping "
                "health check. Please check CloudWatch logs for this endpoint. "
                f"(The model server: {problem}.)"
            )

    def server(self) -> ModelServer | None:
        """Choose a server in turn and count a request into it; None when none is ready."""
        servers = self._servers
        start = next(self._turn)
        for offset in range(len(servers)):
            server, _ = servers[(start + offset) % len(servers)]
            if server.enter():
                return server
        return None

    def note(self, line: str) -> None:
        """Write a line of the platform's own into the log of the first instance."""
        servers = self._servers[:1]
        for _, logs in servers:
            logs.add(line)
        if not servers:
            _log.warning("endpoint %s, variant %s: %s", self._endpoint, self.name, line)

    def kill(self) -> None:
        """End all processes as a crash would."""
        for server, _ in self._servers:
            server.kill()

    def stop(self, drain: float, grace: float) -> None:
        """End all servers once they have answered what they were asked."""
        with self._lock:
            self._stopped = True
            self._others += self._servers
            self._servers = []
            servers = [*self._others]
        self._retire(servers, drain, grace)

    def _retire(self, servers: Sequence[_Running], drain: float, grace: float) -> None:
        if not servers:
            return
        with ThreadPoolExecutor(max_workers=len(servers)) as pool:
            ends = [pool.submit(_end, server, logs, drain, grace) for server, logs in servers]
        with self._lock:
            self._others = [one for one in self._others if one not in servers]
        for end in ends:
            end.result()

    def _start(self) -> _Running:
        logs = LogStream(
            self._role,
            self._around.arns,
            group=f"{LOG_GROUP}/{self._endpoint}",
            stream=f"{self.name}/i-{secrets.token_hex(8)}0",
            on_failure=self._refused,
        )
        try:
            logs.open()
            return self._start_server(logs)
        except CallFailed as error:
            logs.close()
            raise DeployFailed(str(error)) from error
        except BaseException:
            logs.close()
            raise

    def _start_server(self, logs: LogStream) -> _Running:
        around = self._around
        credentials = None if self._plan["isolated"] else self._role.credentials()
        environment = {
            "MODEL_SERVER_WORKERS": _WORKERS,
            **self._plan["environment"],
        }

        last = _LastLine(logs.add)
        key = secrets.token_urlsafe(32) if self._program.keyed else ""

        def launch(port: int) -> Running:
            try:
                return self._program.serve(
                    self._folder, environment, port, credentials, last.add, key
                )
            except CannotStart as error:
                self._call_failure = self._cannot_start(error)
                raise

        server = ModelServer(
            launch,
            around.limits,
            startup=self._plan.get("startup") or around.limits.startup,
            log_stream_arn=logs.arn,
            last_line=last,
            key=key,
            on_given_up=lambda problem: self._on_given_up(
                f"The model server of production variant {self.name} failed again and again; "
                f"at last: {problem}. Please check CloudWatch logs for this endpoint."
            ),
        )
        with self._lock:
            self._check_wanted()
            server.start()
            self._others.append((server, logs))
        return server, logs

    def _cannot_start(self, error: CannotStart) -> str:
        return (
            f"CannotStartContainerError. Please ensure the model container for variant {self.name} "
            f"starts correctly when invoked with 'docker run <image> serve' ({error})"
        )

    def _refused(self, error: CallFailed) -> None:
        self._call_failure = str(error)


class Deployment:
    """All variants of one endpoint configuration."""

    def __init__(
        self,
        around: Surroundings,
        endpoint: str,
        plan: Mapping[str, Any],
        folder: Path,
        on_given_up: Callable[["Deployment", str], None],
    ) -> None:
        self.plan = plan
        self._choosing = threading.Lock()
        self._around = around
        self._folder = folder / secrets.token_hex(4)
        self.variants = [
            Variant(
                around,
                endpoint,
                variant,
                self._folder / variant["name"],
                lambda reason: on_given_up(self, reason),
            )
            for variant in plan["variants"]
        ]

    def start(self) -> None:
        """Bring up every server of every variant.

        Raises:
            DeployFailed: when one does not come up; none is left then.
        """

        def bring_up(pair: tuple[Variant, Mapping[str, Any]]) -> None:
            pair[0].prepare()
            pair[0].scale(pair[1]["instances"])

        try:
            with ThreadPoolExecutor(max_workers=len(self.variants)) as pool:
                pairs = zip(self.variants, self.plan["variants"], strict=True)
                for _ in pool.map(bring_up, pairs):
                    pass
        except Exception:
            self.stop(0, self._around.limits.server_stop)
            raise

    def variant(self, name: str) -> Variant | None:
        """Find a variant by its name."""
        return next((variant for variant in self.variants if variant.name == name), None)

    def choose(self) -> Variant | None:
        """Choose a variant by weight; None when no variant has any.

        Each gains its weight with a request, and who has most pays for all: of ten requests,
        weights of 0.7 and 0.3 get seven and three, and never three in a row.
        """
        if len(self.variants) == 1:
            return self.variants[0]
        with self._choosing:
            for variant in self.variants:
                variant.credit = variant.credit + variant.weight if variant.weight else 0.0
            weighted = [variant for variant in self.variants if variant.weight]
            if not weighted:
                return None
            chosen = max(weighted, key=lambda variant: variant.credit)
            chosen.credit -= sum(variant.weight for variant in weighted)
            return chosen

    def stop(self, drain: float, grace: float) -> None:
        """End every server and leave no file."""
        try:
            with ThreadPoolExecutor(max_workers=len(self.variants)) as pool:
                for _ in pool.map(lambda variant: variant.stop(drain, grace), self.variants):
                    pass
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def _end(server: ModelServer, logs: LogStream, drain: float, grace: float) -> None:
    try:
        if drain:
            server.drain(drain)
        server.stop(grace)
    finally:
        logs.close()
