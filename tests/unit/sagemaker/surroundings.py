"""An AWS for the SageMaker service under test: moto in this process, and a role's denials."""

import io
import json
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.exceptions import ClientError
from botocore.model import OperationModel
from types_boto3_s3 import S3Client

from local.confinement import Confinement, offered
from local.sagemaker.limits import Limits
from local.sagemaker.ports import AccessDenied, Credentials
from local.sagemaker.service import SageMakerService

ACCOUNT = "000000000000"
REGION = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/job"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/test-image:1"
OWN_IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/team/test-image:1"
BUCKET = "data"
LIMITS = Limits(
    job_stop=0.5,
    job_watch=0.02,
    checkpoint_interval=0.05,
    server_stop=1,
    startup=10,
    ping=1,
    ping_interval=0.2,
    invocation=1,
    restart_delay=0.02,
    restarts=2,
    restart_memory=30,
    capture_interval=0.1,
    metrics_interval=0.1,
    notebook_stop=1,
)


class TestAws:
    """Calls reach moto unless the role is denied them; events and metrics are kept."""

    __test__ = False

    def __init__(self) -> None:
        self.account, self.region = ACCOUNT, REGION
        self.endpoint_url = "http://127.0.0.1:1"
        self.denied: set[str] = set()
        self.unassumable: set[str] = set()
        self.authorized: list[tuple[str, str, dict[str, str]]] = []
        self.events: list[tuple[str, dict[str, Any], list[str]]] = []
        self.metrics: list[tuple[str, list[dict[str, Any]]]] = []
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str, role_arn: str) -> Any:
        self.credentials(role_arn)
        with self._lock:
            if service not in self._clients:
                make: Any = boto3.client
                client = make(
                    service,
                    region_name=REGION,
                    aws_access_key_id="test",
                    aws_secret_access_key="test",
                )
                client.meta.events.register("before-call", self._refuse)
                self._clients[service] = client
            return self._clients[service]

    def own_client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(service, region_name=REGION)

    def _refuse(self, model: OperationModel, **_: object) -> None:
        name = {"ListObjectsV2": "ListBucket"}.get(model.name, model.name)
        prefix = model.service_model.endpoint_prefix.replace("monitoring", "cloudwatch")
        if f"{prefix}:{name}" in self.denied:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, model.name)

    def credentials(self, role_arn: str) -> Credentials:
        if role_arn in self.unassumable:
            raise AccessDenied(f"SageMaker may not perform: sts:AssumeRole on {role_arn}")
        return Credentials("key-of-role", "secret", "token")

    def authorize(
        self, role_arn: str, action: str, resource: str, context: Mapping[str, str] | None = None
    ) -> None:
        self.authorized.append((action, resource, dict(context or {})))
        if action in self.denied:
            raise AccessDenied(
                f"User: {role_arn} is not authorized to perform: {action} on resource: {resource}"
            )

    def put_event(
        self, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str]
    ) -> None:
        # What a bus takes is JSON; this fails on what is none.
        self.events.append((detail_type, json.loads(json.dumps(detail)), [*resources]))

    def put_metrics(self, namespace: str, data: Sequence[Mapping[str, Any]]) -> None:
        self.metrics.append((namespace, [dict(datum) for datum in data]))


class TestRuntime:
    """Runs the test image."""

    __test__ = False

    def available(self) -> Sequence[str]:
        return ("test",)

    def resolve(self, image: str) -> str | None:
        name = image.rpartition("/")[2].partition(":")[0]
        return {"test-image": "test", "unwritten": "unwritten"}.get(name)

    def metric_definitions(self, algorithm: str) -> list[dict[str, str]]:
        return [{"Name": "train:loss", "Regex": r"loss=(\S+)"}]

    def keeps_checkpoints(self, algorithm: str) -> bool:
        return False

    def command(self, action: str) -> Sequence[str]:
        return [sys.executable, str(Path(__file__).with_name("image.py")), action]

    def environment(self, algorithm: str) -> Mapping[str, str]:
        return {"ALGORITHM_NAME": algorithm}

    def reads(self) -> Sequence[Path]:
        return [Path(__file__).with_name("image.py")]


def service(aws: TestAws, state: Path) -> SageMakerService:
    return SageMakerService(
        aws, state, runtime=TestRuntime(), limits=LIMITS, confinement=confinement(state)
    )


def confinement(state: Path) -> Confinement:
    """As the platform's own, but that tests and what they start meet in the folder of the state."""
    return Confinement(offered(), state, writes=[state.parent])


def job_request(name: str, **changes: object) -> dict[str, Any]:
    request = {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "InputDataConfig": [channel("train", f"s3://{BUCKET}/train/")],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/jobs"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }
    return {key: value for key, value in request.items() if value is not None}


def channel(name: str, uri: str, data_type: str = "S3Prefix", **more: object) -> dict[str, Any]:
    source = {"S3DataType": data_type, "S3Uri": uri}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


def finished(sagemaker: SageMakerService, name: str, timeout: float = 60) -> dict[str, Any]:
    sagemaker.jobs.wait(name, timeout)
    job = sagemaker.call("DescribeTrainingJob", {"TrainingJobName": name})
    assert job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"), job["SecondaryStatus"]
    return job


def train(sagemaker: SageMakerService, name: str, **changes: object) -> dict[str, Any]:
    sagemaker.call("CreateTrainingJob", job_request(name, **changes))
    return finished(sagemaker, name)


_T = TypeVar("_T")


def until(condition: Callable[[], _T], timeout: float = 60) -> _T:
    """Wait for something to become true, and return it."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout} s")


def told(aws: TestAws, member: str, status: str) -> dict[str, Any]:
    """Give the detail of the last event, once it tells of a status, which shows before it."""
    return until(lambda: next((d for _, d, _ in aws.events[-1:] if d.get(member) == status), {}))


def content(bucket: S3Client, job: dict[str, Any], name: str = "model.tar.gz") -> dict[str, str]:
    """What an artifact of a job holds, by name."""
    key = f"jobs/{job['TrainingJobName']}/output/{name}"
    body = bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return {m.name: (tar.extractfile(m) or io.BytesIO()).read().decode() for m in tar}


def archive(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()
