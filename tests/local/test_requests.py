"""Requests through the deployed workflow: how data come, spot, and code beside the model."""

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.local.support import DIGITS, ended
from tests.platform import LocalPlatform


@pytest.fixture
def data(platform: LocalPlatform) -> str:
    bucket, prefix = platform.parameter("storage/data-bucket"), f"requests-{uuid4().hex[:8]}"
    platform.client("s3").put_object(
        Bucket=bucket, Key=f"{prefix}/train.csv", Body=DIGITS.train.encode()
    )
    return f"s3://{bucket}/{prefix}/"


COMMIT = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty"]


def read(platform: LocalPlatform, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body: bytes = platform.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def test_a_model_from_a_pipe_is_registered_with_the_code_that_made_it(
    platform: LocalPlatform, data: str, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for command in (["init", "-q"], [*COMMIT, "-m", "nothing yet"]):
        subprocess.run(["git", "-C", str(code), *command], check=True)
    (code / "prepare.py").write_text("print('how the data were made')\n")
    request = {
        "algorithm": "kmeans",
        "name": "piped",
        "hyperparameters": {"k": 10, "feature_dim": 65},
        "channels": {
            "train": {
                "s3_uri": data,
                "content_type": "text/csv;label_size=0",
                "input_mode": "Pipe",
                "shuffle_seed": 7,
            }
        },
        "register": {"group": "digits"},
    }
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))
    done = platform.smp("train", str(path), "--source", str(code))
    assert done.returncode == 0, done.stderr
    arn = json.loads(done.stdout)["model_package_arn"]
    sagemaker = platform.client("sagemaker")
    package = sagemaker.describe_model_package(ModelPackageName=arn)
    kept = package["CustomerMetadataProperties"]
    assert len(kept["commit"]) == 40 and kept["modified"] == "true"
    assert kept["submitted_by"] == "arn:aws:iam::000000000000:user/smp-administrator"
    with tarfile.open(fileobj=io.BytesIO(read(platform, kept["source"]))) as tar:
        assert tar.getnames() == ["prepare.py"]
    model = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    prefix = f"{model.partition(kept['job'])[0]}{kept['job']}/"
    assert kept["source"].startswith(prefix) and kept["request"].startswith(prefix)
    assert json.loads(read(platform, kept["request"]))["channels"]["train"]["input_mode"] == "Pipe"
    job = sagemaker.describe_training_job(TrainingJobName=kept["job"])
    assert job["InputDataConfig"][0]["InputMode"] == "Pipe"


def test_an_interrupted_spot_job_goes_on_from_its_checkpoints(
    platform: LocalPlatform, data: str
) -> None:
    request: dict[str, Any] = {
        "algorithm": "xgboost",
        "name": "spot",
        "hyperparameters": {"num_round": 60, "objective": "multi:softmax", "num_class": 10},
        "channels": {"train": {"s3_uri": data, "content_type": "text/csv"}},
        "spot": True,
        "max_runtime_seconds": 600,
    }
    platform.faults({"interrupt_spot": 1})
    states = platform.client("stepfunctions")
    execution = states.start_execution(
        stateMachineArn=platform.parameter("training/state-machine-arn"), input=json.dumps(request)
    )["executionArn"]
    described = ended(platform, execution)
    assert described["status"] == "SUCCEEDED", described
    name = json.loads(described["output"])["job"]
    job = platform.client("sagemaker").describe_training_job(TrainingJobName=name)
    passed = [one["Status"] for one in job["SecondaryStatusTransitions"]]
    assert "Interrupted" in passed and passed[-1] == "Completed"
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]
    models = platform.parameter("storage/models-bucket")
    listed = platform.client("s3").list_objects_v2(
        Bucket=models, Prefix=f"jobs/{name}/checkpoints/"
    )
    assert listed["KeyCount"] > 0
