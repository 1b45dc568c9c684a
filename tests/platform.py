"""One local platform for all tests of a run that ask for it, shared by the workers."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psutil
import pytest
from botocore.config import Config

from local.platform import control, server
from local.platform.home import Home
from local.platform.lifecycle import attach
from local.process_identity import ProcessIdentity

SMP = Path(sys.executable).parent / "smp"
UP_SECONDS = 300
# Who may assume the roles of jobs, endpoints and notebooks.
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
# The platform of this worker, from when its fixture is set up until its end.
RUNNING: list["LocalPlatform"] = []


def run_smp(
    home: Path, arguments: Sequence[str], seconds: float = UP_SECONDS
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(SMP), *arguments],
        env={**os.environ, "SMP_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@contextmanager
def locked(path: Path, kind: int) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, kind)
        yield


class LocalPlatform:
    """The running platform as tests see it: clients as its administrator, names, faults."""

    def __init__(self, home: Path, together: Path) -> None:
        running = attach(Home(home))
        self.home = home
        self.endpoint_url = running.url
        self.credentials = running.credentials
        self.session: boto3.Session = running.credentials.session()
        self._clients: dict[str, Any] = {}
        self._parameters: dict[str, str] = {}
        self._together = together.open("a")
        self._faulty = False
        self._logged_before = 0

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client for `service`, the same one unless something is asked of it."""
        if not options:
            if service not in self._clients:
                self._clients[service] = self._client(service)
            return self._clients[service]
        return self._client(service, **options)

    def _client(self, service: str, **options: Any) -> Any:
        # Injected throttling and lost answers are to be seen, and not retried away.
        config = Config(retries={"max_attempts": 0}, read_timeout=90)
        options = {"endpoint_url": self.endpoint_url, "config": config, **options}
        make: Any = self.session.client
        return make(service, **options)

    def parameter(self, name: str) -> str:
        """What a stack published under /sagemaker-platform/local/NAME."""
        if name not in self._parameters:
            path = f"/sagemaker-platform/local/{name}"
            found = self.client("ssm").get_parameter(Name=path)["Parameter"]["Value"]
            self._parameters[name] = str(found)
        return self._parameters[name]

    def smp(
        self, *arguments: str, seconds: float = UP_SECONDS
    ) -> "subprocess.CompletedProcess[str]":
        """Run `smp` on this platform."""
        return run_smp(self.home, arguments, seconds)

    def faults(self, document: Mapping[str, Any]) -> None:
        """Let things go wrong until the test ends; no other test runs meanwhile."""
        if not self._faulty:
            fcntl.flock(self._together, fcntl.LOCK_UN)
            fcntl.flock(self._together, fcntl.LOCK_EX)
            self._faulty = True
        self.control("faults", document)

    def interrupt(self, job: str) -> None:
        """Let one job of managed spot training lose its instances; other tests go on."""
        self.control(f"interrupt?job={job}", {})

    def begin_test(self) -> None:
        """Take part with other workers' tests."""
        fcntl.flock(self._together, fcntl.LOCK_SH)
        self._logged_before = Home(self.home).log.stat().st_size

    def logged(self) -> str:
        """What the server has logged since the test began: nothing, when all is well."""
        with Home(self.home).log.open("rb") as log:
            log.seek(self._logged_before)
            return log.read().decode(errors="replace")

    def end_test(self) -> None:
        """Take all faults away and let the others go on."""
        try:
            if self._faulty:
                self.control("faults", {})
        finally:
            self._faulty = False
            fcntl.flock(self._together, fcntl.LOCK_UN)

    def control(self, what: str, document: Mapping[str, Any] | None = None) -> Any:
        """What the platform says of itself, or is told to do, as its administrator."""
        return control.call(self.endpoint_url, self.credentials, what, document)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Deployed:
    """The platform that all workers share, and what its state was when it had been deployed."""

    home: Path
    snapshot: Path
    together: Path


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The shared platform, which runs while any worker may use it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "platform"
    found = Deployed(shared / "home", shared / "snapshot", shared / "together")
    lock, holders = shared / "lock", shared / "holders.json"
    with locked(lock, fcntl.LOCK_EX):
        living = _living(holders)
        if not living:
            result = run_smp(found.home, ["up", "--port", str(free_port())])
            assert result.returncode == 0, result.stderr
            _keep(Home(found.home), found.snapshot)
        own = ProcessIdentity.of(os.getpid())
        holders.write_text(json.dumps([asdict(each) for each in [*living, own]]))
    try:
        yield found
    finally:
        with locked(lock, fcntl.LOCK_EX):
            living = [each for each in _living(holders) if each.pid != os.getpid()]
            holders.write_text(json.dumps([asdict(each) for each in living]))
            if not living:
                run_smp(found.home, ["down", "--yes"], 60)


@pytest.fixture(scope="session")
def platform(deployed: Deployed) -> Iterator[LocalPlatform]:
    running = LocalPlatform(deployed.home, deployed.together)
    running.begin_test()
    RUNNING.append(running)
    try:
        yield running
    finally:
        # Here and not in the hook: this is the last test's teardown, and the platform may end now.
        running.end_test()
        RUNNING.clear()


@contextmanager
def another(deployed: Deployed, folder: Path) -> Iterator[LocalPlatform]:
    """A platform of one's own, which `smp up` takes up from where the shared one was deployed.

    It has a port of its own. All that the state says of the first one's is where the endpoint's
    stack was once signalled to; `smp up` refuses another port for the sake of queues' URLs.
    """
    home = Home(folder / "home")
    shutil.copytree(deployed.snapshot, home.path, symlinks=True)
    record = json.loads(home.record.read_text())
    home.record.write_text(json.dumps(record | {"port": free_port()}))
    started = run_smp(home.path, ["up"])
    assert started.returncode == 0, started.stderr
    try:
        yield LocalPlatform(home.path, folder / "together")
    finally:
        run_smp(home.path, ["down", "--yes"], 60)


def _keep(home: Home, snapshot: Path) -> None:
    """Copy the home of a platform that runs as a kill of its server would leave it."""
    running = server.running(home)
    assert running and running.process
    # A platform before it may have ended with the workers that used it.
    shutil.rmtree(snapshot, ignore_errors=True)
    passing = {str(home.path): {home.temporary.name, home.log.name}, str(home.state): {"tmp"}}
    running.process.suspend()
    try:
        while not _still(running.process):
            time.sleep(0.01)
        shutil.copytree(
            home.path,
            snapshot,
            symlinks=True,
            ignore=lambda folder, names: passing.get(folder, set()) & {*names},
        )
    finally:
        running.process.resume()


def _still(process: psutil.Process) -> bool:
    """Whether every thread has stopped: one may be writing when its process is told to."""
    try:
        states = [one.read_text() for one in Path(f"/proc/{process.pid}/task").glob("*/stat")]
    except OSError:
        # A thread has just ended.
        return False
    return all(state.rpartition(")")[2].split()[0] in "Tt" for state in states)


@pytest.fixture(scope="module")
def training_role(platform: LocalPlatform) -> Iterator[str]:
    """A role that a user would write for jobs with checkpoints in the bucket of the models."""
    data, models = (platform.parameter(f"storage/{name}-bucket") for name in ("data", "models"))
    yield from _role(
        platform,
        "training",
        [
            {"Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{data}/*"},
            {
                "Action": ["s3:GetObject", "s3:PutObject"],
                "Resource": f"arn:aws:s3:::{models}/*",
            },
            {
                "Action": ["s3:ListBucket"],
                "Resource": [f"arn:aws:s3:::{data}", f"arn:aws:s3:::{models}"],
            },
            {
                "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                "Resource": platform.parameter("storage/key-arn"),
            },
            {"Action": ["ec2:DescribeSubnets", "ec2:DescribeSecurityGroups"], "Resource": "*"},
        ],
    )


@pytest.fixture(scope="module")
def hosting_role(platform: LocalPlatform) -> Iterator[str]:
    """A role that a user would write for an endpoint of their own."""
    yield from role_for_hosting(platform)


def role_for_hosting(platform: LocalPlatform) -> Iterator[str]:
    """Make such a role, and delete it when it is asked for the next."""
    models = platform.parameter("storage/models-bucket")
    yield from _role(
        platform,
        "hosting",
        [
            {"Action": ["s3:GetObject"], "Resource": f"arn:aws:s3:::{models}/*"},
            {"Action": ["s3:ListBucket"], "Resource": f"arn:aws:s3:::{models}"},
            {"Action": ["kms:Decrypt"], "Resource": platform.parameter("storage/key-arn")},
        ],
    )


@pytest.fixture(scope="module")
def scientist_role(platform: LocalPlatform) -> Iterator[str]:
    """A role for jobs and endpoints on the bucket that AWS's SDKs make for themselves."""
    bucket = "arn:aws:s3:::sagemaker-us-east-1-000000000000"
    yield from _role(
        platform,
        "scientist",
        [
            {"Action": ["s3:GetObject", "s3:PutObject"], "Resource": f"{bucket}/*"},
            {"Action": ["s3:ListBucket"], "Resource": bucket},
        ],
    )


def _role(platform: LocalPlatform, kind: str, allowed: list[dict[str, Any]]) -> Iterator[str]:
    """A role of SageMaker, beside `allowed` with what every job and model server needs."""
    iam, name = platform.client("iam"), f"{kind}-{uuid4().hex[:8]}"
    statements = [
        *allowed,
        {
            "Action": [
                "ecr:GetAuthorizationToken",
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:BatchGetImage",
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:PutLogEvents",
                "logs:DescribeLogStreams",
                "cloudwatch:PutMetricData",
            ],
            "Resource": "*",
        },
    ]
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    iam.put_role_policy(
        RoleName=name,
        PolicyName=kind,
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", **each} for each in statements],
            }
        ),
    )
    yield role["Arn"]
    iam.delete_role_policy(RoleName=name, PolicyName=kind)
    iam.delete_role(RoleName=name)


@pytest.fixture(scope="module")
def alerts(platform: LocalPlatform) -> Iterator[str]:
    """The URL of a queue that hears what is told to people."""
    sqs, sns = platform.client("sqs"), platform.client("sns")
    url = sqs.create_queue(QueueName=f"alerts-{uuid4().hex[:8]}")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    topic = platform.parameter("governance/topic-arn")
    may_send = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": found["QueueArn"],
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may_send]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    subscription = sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=found["QueueArn"],
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]
    yield url
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=url)


def _living(holders: Path) -> list[ProcessIdentity]:
    """The workers that use the platform; one that was killed uses it no more."""
    found = json.loads(holders.read_text()) if holders.exists() else []
    return [each for each in (ProcessIdentity(**one) for one in found) if each.process()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Faults end with the test that made them, and trouble no test of another worker.

    A hook and no fixture: what module fixtures do on the platform must be covered, too.
    """
    if _uses_platform(item) and RUNNING:
        RUNNING[0].begin_test()
    try:
        return (yield)
    finally:
        if _uses_platform(item) and RUNNING:
            RUNNING[0].end_test()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A client is told no more than 500 Internal Server Error; the platform's log says why."""
    report = yield
    if report.failed and _uses_platform(item) and RUNNING:
        report.sections.append(
            ("Log of the platform, with other workers' tests", RUNNING[0].logged())
        )
    return report


def _uses_platform(item: pytest.Item) -> bool:
    return "platform" in getattr(item, "fixturenames", ())
