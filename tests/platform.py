"""One local platform for all tests of a run that ask for it, shared by the workers."""

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from local.platform import control
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
        self._together = together.open("a")
        self._faulty = False
        self._logged_before = 0

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client for `service`."""
        # Injected throttling and lost answers are to be seen, and not retried away.
        config = Config(retries={"max_attempts": 0}, read_timeout=90)
        options = {"endpoint_url": self.endpoint_url, "config": config, **options}
        make: Any = self.session.client
        return make(service, **options)

    def parameter(self, name: str) -> str:
        """What a stack published under /sagemaker-platform/local/NAME."""
        ssm = self.client("ssm")
        value = ssm.get_parameter(Name=f"/sagemaker-platform/local/{name}")["Parameter"]["Value"]
        return str(value)

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


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "platform"
    home, lock = shared / "home", shared / "lock"
    holders = shared / "holders.json"
    with locked(lock, fcntl.LOCK_EX):
        living = _living(holders)
        if not living:
            result = run_smp(home, ["up", "--port", str(free_port())])
            assert result.returncode == 0, result.stderr
        own = ProcessIdentity.of(os.getpid())
        holders.write_text(json.dumps([asdict(each) for each in [*living, own]]))
    running = LocalPlatform(home, shared / "together")
    running.begin_test()
    RUNNING.append(running)
    try:
        yield running
    finally:
        # Here and not in the hook: this is the last test's teardown, and the platform may end now.
        running.end_test()
        RUNNING.clear()
        with locked(lock, fcntl.LOCK_EX):
            living = [each for each in _living(holders) if each.pid != os.getpid()]
            holders.write_text(json.dumps([asdict(each) for each in living]))
            if not living:
                run_smp(home, ["down", "--yes"], 60)


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
