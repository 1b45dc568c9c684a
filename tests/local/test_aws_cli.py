"""The AWS CLI, version 1 and where it is installed version 2, and its waiters, unchanged."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.local import clients
from tests.local.support import ALGORITHMS, train, until
from tests.platform import LocalPlatform


class Cli:
    """`aws` with what `smp env` prints."""

    def __init__(self, platform: LocalPlatform, folder: Path, *command: str) -> None:
        self._platform = platform
        self._folder = folder
        self._command = command or ("aws",)

    def __call__(self, *arguments: str) -> Any:
        result = self.tried(*arguments)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout or "null")

    def tried(self, *arguments: str) -> Any:
        command = [*self._command, *arguments]
        return clients.run(self._platform, "aws_cli", command, self._folder)


def version_2() -> str:
    """Where version 2 is installed; empty for nowhere."""
    places = [*os.environ["PATH"].split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    found = dict.fromkeys(filter(None, (shutil.which("aws", path=place) for place in places)))
    for path in found:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if said.stdout.startswith("aws-cli/2."):
            return path
    return ""


@pytest.fixture
def aws(platform: LocalPlatform, tmp_path: Path) -> Cli:
    return Cli(platform, tmp_path)


def test_waits_for_a_job_and_for_an_endpoint_to_come_and_go(
    platform: LocalPlatform, hosting_role: str, aws: Cli
) -> None:
    name = f"cli-{uuid4().hex[:8]}"
    job = train(platform, name, "kmeans")
    aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", name)
    container = {
        "Image": ALGORITHMS["kmeans"]["image"],
        "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
    }
    model = ["--primary-container", json.dumps(container)]
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    variants = ["--production-variants", json.dumps([variant])]
    for command in (
        ["create-model", "--model-name", name, "--execution-role-arn", hosting_role, *model],
        ["create-endpoint-config", "--endpoint-config-name", name, *variants],
        ["create-endpoint", "--endpoint-name", name, "--endpoint-config-name", name],
        ["wait", "endpoint-in-service", "--endpoint-name", name],
    ):
        aws("sagemaker", *command)
    described = aws("sagemaker", "describe-endpoint", "--endpoint-name", name)
    assert described["EndpointStatus"] == "InService"
    aws("sagemaker", "delete-endpoint", "--endpoint-name", name)
    aws("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", name)
    gone = aws.tried("sagemaker", "describe-endpoint", "--endpoint-name", name)
    assert gone.returncode != 0
    assert f'Could not find endpoint "{endpoint_arn(name)}"' in gone.stderr
    aws("sagemaker", "delete-endpoint-config", "--endpoint-config-name", name)
    aws("sagemaker", "delete-model", "--model-name", name)


def test_a_waiter_tells_that_a_job_failed(platform: LocalPlatform, aws: Cli) -> None:
    name = f"cli-{uuid4().hex[:8]}"
    job = train(platform, name, "kmeans", HyperParameters={"k": "10", "feature_dim": "3"})
    assert job["TrainingJobStatus"] == "Failed"
    waiter = ("sagemaker", "wait", "training-job-completed-or-stopped")
    waited = aws.tried(*waiter, "--training-job-name", name)
    assert waited.returncode == 255
    assert "terminal failure state" in waited.stderr


def test_waits_for_a_notebook_to_come_stop_and_go(
    platform: LocalPlatform, hosting_role: str, aws: Cli
) -> None:
    name, sagemaker = f"cli-{uuid4().hex[:8]}", platform.client("sagemaker")
    which = ("--notebook-instance-name", name)
    aws(
        *("sagemaker", "create-notebook-instance", *which),
        *("--instance-type", "ml.t3.medium", "--role-arn", hosting_role),
    )

    def reach(wanted: str) -> None:
        def reached() -> bool:
            found = sagemaker.describe_notebook_instance(NotebookInstanceName=name)
            return bool(found["NotebookInstanceStatus"] == wanted)

        until(reached, f"status {wanted}", 60)

    # Each waiter looks every 30 s: it finds what it waits for at its first look.
    for wanted, waiter, command in (
        ("InService", "notebook-instance-in-service", "stop-notebook-instance"),
        ("Stopped", "notebook-instance-stopped", "delete-notebook-instance"),
    ):
        reach(wanted)
        aws("sagemaker", "wait", waiter, *which)
        aws("sagemaker", command, *which)
    listed = sagemaker.list_notebook_instances
    until(lambda: not listed(NameContains=name)["NotebookInstances"], "its deletion", 60)
    aws("sagemaker", "wait", "notebook-instance-deleted", *which)


def test_version_2_waits_for_a_job_and_copies_its_model(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    path = version_2()
    if not path:
        pytest.skip("Version 2 of the AWS CLI is not installed: apt-get install awscli")
    # Before 2.13 it does not know the variable AWS_ENDPOINT_URL.
    aws = Cli(platform, tmp_path, path, "--endpoint-url", platform.endpoint_url)
    name = f"cli-{uuid4().hex[:8]}"
    train(platform, name, "kmeans")
    which = ("--training-job-name", name)
    aws("sagemaker", "wait", "training-job-completed-or-stopped", *which)
    described = aws("sagemaker", "describe-training-job", *which)
    assert described["TrainingJobStatus"] == "Completed"
    artifact = described["ModelArtifacts"]["S3ModelArtifacts"]
    copied = aws.tried("s3", "cp", artifact, "model.tar.gz")
    assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "model.tar.gz").stat().st_size > 0


def endpoint_arn(name: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:000000000000:endpoint/{name}"
