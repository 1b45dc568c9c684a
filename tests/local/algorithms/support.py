"""An algorithm on the running platform: trained by CreateTrainingJob, asked by InvokeEndpoint."""

import io
import re
import signal
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from uuid import uuid4

import psutil
from botocore.exceptions import ClientError

from algorithms.catalog import algorithm
from tests.local.support import process_of, trained, until
from tests.platform import LocalPlatform, role_for_hosting

# The algorithms that train on GPU instances alone run on processors here all the same.
ACCELERATED = "ml.g4dn.xlarge"


@dataclass(frozen=True)
class Data:
    """One channel of a job: its objects by name, and how the job reads them."""

    files: Mapping[str, bytes]
    content_type: str | None = None
    mode: str = "File"
    distribution: str = "FullyReplicated"
    source: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    """More of S3DataSource, and of the channel itself, such as RecordWrapperType."""


def fit(
    platform: LocalPlatform,
    name: str,
    channels: Mapping[str, Data],
    hyperparameters: Mapping[str, Any],
    *,
    hosts: int = 1,
    seconds: float = 300,
    **changes: Any,
) -> dict[str, Any]:
    """Train in AWS's own image of an algorithm, and describe the job once it has ended."""
    job = begin(platform, name, channels, hyperparameters, hosts=hosts, **changes)
    return trained(platform, job, seconds)


def begin(
    platform: LocalPlatform,
    name: str,
    channels: Mapping[str, Data],
    hyperparameters: Mapping[str, Any],
    *,
    hosts: int = 1,
    **changes: Any,
) -> str:
    """Begin to train in AWS's own image of an algorithm; gives the name of the job."""
    entry, job = algorithm(name), f"{name}-{uuid4().hex[:8]}"
    bucket, models = (platform.parameter(f"storage/{which}-bucket") for which in ("data", "models"))
    inputs = []
    for channel, data in channels.items():
        for key, body in data.files.items():
            platform.client("s3").put_object(Bucket=bucket, Key=f"{job}/{channel}/{key}", Body=body)
        source = {
            "S3DataType": "S3Prefix",
            "S3Uri": f"s3://{bucket}/{job}/{channel}/",
            "S3DataDistributionType": data.distribution,
            **data.source,
        }
        inputs.append(
            {
                "ChannelName": channel,
                "InputMode": data.mode,
                "DataSource": {"S3DataSource": source},
                **({"ContentType": data.content_type} if data.content_type else {}),
                **data.options,
            }
        )
    instance_type = "ml.m5.xlarge" if entry.instances.training.cpu else accelerated(platform)
    request = {
        "TrainingJobName": job,
        "AlgorithmSpecification": {
            "TrainingImage": entry.image_uri("us-east-1"),
            "TrainingInputMode": "File",
        },
        "RoleArn": platform.parameter("training/execution-role-arn"),
        "HyperParameters": {key: str(value) for key, value in hyperparameters.items()},
        "InputDataConfig": inputs,
        "OutputDataConfig": {
            "S3OutputPath": f"s3://{models}/jobs",
            "KmsKeyId": platform.parameter("storage/key-arn"),
        },
        "ResourceConfig": {
            "InstanceType": instance_type,
            "InstanceCount": hosts,
            "VolumeSizeInGB": 10,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **changes,
    }
    platform.client("sagemaker").create_training_job(**request)
    return job


def interrupted(
    platform: LocalPlatform,
    name: str,
    channels: Mapping[str, Data],
    hyperparameters: Mapping[str, Any],
    seconds: float = 300,
) -> tuple[dict[str, Any], str]:
    """Train on images, on spot instances that are lost as soon as there is a checkpoint.

    The job is held still until the interruption has reached it, however short its epochs are: some
    are always left. Gives the description of the job once it has ended, and all that it has logged.
    """
    models = platform.parameter("storage/models-bucket")
    prefix = f"jobs/{uuid4().hex[:8]}/checkpoints"
    job = begin(
        platform,
        name,
        channels,
        hyperparameters,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
        CheckpointConfig={"S3Uri": f"s3://{models}/{prefix}"},
    )
    process = until(lambda: process_of(job), f"the process of {job}", seconds)
    folder = platform.home / "state" / "sagemaker" / "jobs" / job
    began = time.monotonic()
    # Told to end while it writes one, a busy machine's job might be killed before that is whole.
    while not [*folder.glob("*/checkpoints/checkpoint.safetensors")] and process.is_running():
        assert time.monotonic() - began < seconds, f"{job} has no checkpoint after {seconds} s"
        time.sleep(0.05)
    assert process.is_running(), f"{job} has ended: {trained(platform, job, seconds)}"
    process.suspend()
    try:
        platform.interrupt(job)
        until(lambda: _told_to_end(process), f"the interruption of {job}", seconds)
    finally:
        process.resume()
    described = trained(platform, job, seconds)
    statuses = [each["Status"] for each in described["SecondaryStatusTransitions"]]
    assert statuses.count("Interrupted") == 1
    events = platform.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{job}/"
    )["events"]
    return described, "\n".join(each["message"] for each in events)


def _told_to_end(process: psutil.Process) -> bool:
    """Whether SIGTERM waits for a process that is held."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        # Another system than Linux does not tell: the signal comes soon.
        time.sleep(1)
        return True
    (waiting,) = re.findall(r"^ShdPnd:\s*([0-9a-f]+)", status.read_text(), re.MULTILINE)
    return bool(int(waiting, 16) >> (signal.SIGTERM - 1) & 1)


@cache
def accelerated(platform: LocalPlatform) -> str:
    """An instance type with a GPU, of which the account is allowed some from now on."""
    for use in ("training", "spot training"):
        done = platform.smp("quota", "set", f"{ACCELERATED} for {use} job usage", "8")
        assert done.returncode == 0, done.stderr
    return ACCELERATED


def completed(job: Mapping[str, Any]) -> dict[str, float]:
    """The final metrics of a job that must have completed."""
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return {one["MetricName"]: one["Value"] for one in job.get("FinalMetricDataList", [])}


def artifact(platform: LocalPlatform, job: Mapping[str, Any], folder: Path) -> Path:
    """The folder into which the model of a job that must have completed is unpacked."""
    completed(job)
    place = urlparse(job["ModelArtifacts"]["S3ModelArtifacts"])
    answer = platform.client("s3").get_object(Bucket=place.netloc, Key=place.path[1:])
    with tarfile.open(fileobj=io.BytesIO(answer["Body"].read())) as archive:
        for member in archive:
            # `filter` of extractall is younger than the oldest Python of this project.
            if body := archive.extractfile(member):
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body.read())
    return folder


class Endpoint:
    """An endpoint in service."""

    def __init__(self, platform: LocalPlatform, name: str) -> None:
        self._runtime = platform.client("sagemaker-runtime")
        self._name = name

    def ask(self, body: bytes | str, content_type: str, accept: str | None = None) -> bytes:
        """What InvokeEndpoint answers."""
        answer = self._runtime.invoke_endpoint(
            EndpointName=self._name,
            Body=body,
            ContentType=content_type,
            **({"Accept": accept} if accept else {}),
        )
        return bytes(answer["Body"].read())

    def refused(self, body: bytes | str, content_type: str, accept: str | None = None) -> str:
        """With what status and sentence the container refuses, as ModelError tells it."""
        try:
            answer = self.ask(body, content_type, accept)
        except ClientError as error:
            told: Any = error.response
            return f"{told['OriginalStatusCode']} {told['OriginalMessage']}"
        raise AssertionError(f"it was answered: {answer[:200]!r}")


@contextmanager
def served(
    platform: LocalPlatform,
    name: str,
    job: Mapping[str, Any],
    seconds: float = 120,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Endpoint]:
    """An endpoint of the model that a job made, deleted afterwards."""
    completed(job)
    with contextmanager(role_for_hosting)(platform) as role:
        yield from _served(platform, name, job, role, seconds, environment or {})


def _served(
    platform: LocalPlatform,
    name: str,
    job: Mapping[str, Any],
    role: str,
    seconds: float,
    environment: Mapping[str, str],
) -> Iterator[Endpoint]:
    sagemaker, suffix = platform.client("sagemaker"), uuid4().hex[:8]
    one = f"{name}-{suffix}"
    sagemaker.create_model(
        ModelName=one,
        ExecutionRoleArn=role,
        PrimaryContainer={
            "Image": algorithm(name).image_uri("us-east-1"),
            "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
            "Environment": environment,
        },
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=one,
        ProductionVariants=[
            {
                "VariantName": "all",
                "ModelName": one,
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
    )
    sagemaker.create_endpoint(EndpointName=one, EndpointConfigName=one)

    def settled() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=one)
        return found if found["EndpointStatus"] != "Creating" else None

    try:
        found = until(settled, f"endpoint {one}", seconds)
        assert found
        assert found["EndpointStatus"] == "InService", found.get("FailureReason")
        yield Endpoint(platform, one)
    finally:
        sagemaker.delete_endpoint(EndpointName=one)
        sagemaker.delete_endpoint_config(EndpointConfigName=one)
        sagemaker.delete_model(ModelName=one)
