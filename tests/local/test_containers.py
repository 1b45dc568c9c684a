"""Own images on the whole platform: pushed, trained as a role, served, and refused to others."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests import images
from tests.images import script_mode
from tests.local import registry
from tests.local.support import train, until
from tests.platform import LocalPlatform

SCRIPT = """
import argparse, json, os
import boto3
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
rate = parser.parse_args().rate
caller = boto3.client("sts").get_caller_identity()["Arn"]
lines = sum(1 for _ in open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "a.csv")))
with open(os.path.join(os.environ["SM_MODEL_DIR"], "result.json"), "w") as file:
    json.dump({"rate": rate, "lines": lines, "caller": caller}, file)
print("script done")
"""


@pytest.fixture(scope="module")
def repository(platform: LocalPlatform) -> Iterator[str]:
    """A repository of the environment, to which Docker is logged in."""
    ecr, name = platform.client("ecr"), f"sagemaker-platform-local/own-{uuid4().hex[:8]}"
    with registry.logged_in(platform):
        made = ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
        yield made["repository"]["repositoryUri"]
        ecr.delete_repository(repositoryName=name, force=True)


def _on_aws(uri: str) -> str:
    """The URI by which AWS names what Docker finds at a port of the loopback."""
    return "000000000000.dkr.ecr.us-east-1.amazonaws.com/" + uri.partition("/")[2]


def _model(platform: LocalPlatform, job: dict[str, Any]) -> dict[str, Any]:
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"][5:].partition("/")
    body = platform.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        return {name: json.loads(file.read()) for name, file in files.items() if file}


def _own(image: str, **more: Any) -> dict[str, Any]:
    return {"AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"}} | more


def test_an_image_is_pushed_trained_and_served_and_leaves_no_container(
    platform: LocalPlatform, repository: str, hosting_role: str
) -> None:
    uri, name = f"{repository}:1", f"own-{uuid4().hex[:8]}"
    registry.push(images.program(), uri)
    job = train(platform, name, "kmeans", **_own(_on_aws(uri), HyperParameters={}))
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    report = _model(platform, job)["algo-1.json"]
    assert report["platform"] is True
    assert report["environment"]["TRAINING_JOB_NAME"] == name
    assert report["environment"]["AWS_ACCESS_KEY_ID"].startswith("ASIA")

    sagemaker = platform.client("sagemaker")
    container = {"Image": uri, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(
        ModelName=name, PrimaryContainer=container, ExecutionRoleArn=hosting_role
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    answer = platform.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name, ContentType="text/csv", Body=b"1,2"
    )
    assert json.loads(answer["Body"].read())["body"] == "1,2"
    state = platform.home / "state"
    assert len(images.containers(state, f"endpoints/{name}")) == 1
    sagemaker.delete_endpoint(EndpointName=name)
    until(lambda: not images.containers(state, name), "the end of both containers")


def test_a_script_runs_in_an_image_with_the_training_toolkit(
    platform: LocalPlatform,
) -> None:
    image, name = script_mode.built(), f"script-{uuid4().hex[:8]}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("fit.py")
        member.size = len(SCRIPT.encode())
        tar.addfile(member, io.BytesIO(SCRIPT.encode()))
    bucket, key = platform.parameter("storage/data-bucket"), f"{name}/source/sourcedir.tar.gz"
    platform.client("s3").put_object(Bucket=bucket, Key=key, Body=buffer.getvalue())
    parameters = {
        "rate": "0.5",
        "sagemaker_program": json.dumps("fit.py"),
        "sagemaker_submit_directory": json.dumps(f"s3://{bucket}/{key}"),
        "sagemaker_region": json.dumps("us-east-1"),
    }
    job = train(platform, name, "kmeans", **_own(image, HyperParameters=parameters))
    assert job["TrainingJobStatus"] == "Completed", job["FailureReason"]
    until(lambda: not images.containers(platform.home / "state", name), "the end of its container")
    result = _model(platform, job)["result.json"]
    assert (result["rate"], result["lines"] > 1) == (0.5, True)
    role = platform.parameter("training/execution-role-arn").rpartition("/")[2]
    assert f":assumed-role/{role}/" in result["caller"]


def test_an_image_that_is_not_in_the_repository_fails_the_job_as_on_aws(
    platform: LocalPlatform, repository: str
) -> None:
    missing = _own(_on_aws(f"{repository}:missing"), HyperParameters={})
    job = train(platform, f"missing-{uuid4().hex[:8]}", "kmeans", **missing)
    assert job["FailureReason"].startswith(
        "ClientError: Cannot pull algorithm container. Either the image does not exist or its "
        "permissions are incorrect."
    )


def test_an_image_that_the_role_may_not_pull_fails_the_job(
    platform: LocalPlatform, repository: str
) -> None:
    ecr, name = platform.client("ecr"), f"elsewhere/{uuid4().hex[:8]}"
    uri = ecr.create_repository(repositoryName=name)["repository"]["repositoryUri"] + ":1"
    registry.push(images.program(), uri)
    job = train(platform, f"denied-{uuid4().hex[:8]}", "kmeans", **_own(uri, HyperParameters={}))
    assert job["TrainingJobStatus"] == "Failed"
    assert "is not authorized to perform: ecr:" in job["FailureReason"]
    ecr.delete_repository(repositoryName=name, force=True)
