"""What a job request may get wrong, and what may be lost on the way, on the deployed workflow."""

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.local.support import DIGITS, ended, jobs, sweep, until
from tests.platform import LocalPlatform

REQUEST: dict[str, Any] = {
    "algorithm": "xgboost",
    "hyperparameters": {"num_round": 3, "objective": "multi:softmax", "num_class": 10},
    "instance_types": ["ml.m5.xlarge"],
    "max_runtime_seconds": 600,
}


@pytest.fixture(scope="module")
def data(platform: LocalPlatform) -> str:
    """Where the module's digits lie, as an S3 prefix."""
    bucket, prefix = platform.parameter("storage/data-bucket"), f"faults-{uuid4().hex[:8]}"
    s3 = platform.client("s3")
    s3.put_object(Bucket=bucket, Key=f"{prefix}/train/digits.csv", Body=DIGITS.train.encode())
    first, second, rest = DIGITS.train.split("\n", 2)
    label, _, pixels = second.split(",", 2)
    broken = "\n".join([first, f"{label},oops,{pixels}", rest]).encode()
    s3.put_object(Bucket=bucket, Key=f"{prefix}/text/digits.csv", Body=broken)
    s3.put_object(Bucket=bucket, Key=f"{prefix}/label/digits.csv", Body=b"12,1,2\n3,4,5\n")
    return f"s3://{bucket}/{prefix}"


def start(platform: LocalPlatform, **changes: object) -> str:
    """Start the workflow with the request and its changes."""
    execution: str = platform.client("stepfunctions").start_execution(
        stateMachineArn=platform.parameter("training/state-machine-arn"),
        name=f"faults-{uuid4().hex[:12]}",
        input=json.dumps(REQUEST | changes),
    )["executionArn"]
    return execution


def channel(uri: str) -> dict[str, Any]:
    return {"train": {"s3_uri": uri, "content_type": "text/csv"}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm": "xgbost"}, ["xgbost", "xgboost"]),
        (
            {"hyperparameters": {"num_round": 3, "max_dept": 4}},
            ["max_dept", "max_depth"],
        ),
        ({"hyperparameters": {"num_round": 3, "eta": 7}}, ["eta", "7"]),
        ({"channels": {}}, ["train"]),
    ],
    ids=["unknown algorithm", "unknown hyperparameter", "out of range", "missing channel"],
)
def test_a_wrong_request_ends_the_execution_and_says_what_is_allowed(
    platform: LocalPlatform, data: str, changes: dict[str, Any], words: list[str]
) -> None:
    execution = ended(
        platform, start(platform, **({"channels": channel(f"{data}/train/")} | changes))
    )
    assert execution["status"] == "FAILED"
    for word in words:
        assert word in execution["cause"]


def test_an_empty_prefix_is_refused_before_a_job_is_made(
    platform: LocalPlatform, data: str
) -> None:
    execution = ended(platform, start(platform, channels=channel(f"{data}/nothing/")))
    assert execution["status"] == "FAILED"
    assert "No S3 objects found" in execution["cause"]
    assert f"{data}/nothing/" in execution["cause"]


def test_a_bucket_that_may_not_be_read_is_named(platform: LocalPlatform) -> None:
    bucket = f"foreign-{uuid4().hex[:12]}"
    platform.client("s3").create_bucket(Bucket=bucket)
    execution = ended(platform, start(platform, channels=channel(f"s3://{bucket}/train/")))
    assert execution["status"] == "FAILED"
    assert bucket in execution["cause"]
    assert "s3:ListBucket" in execution["cause"]


@pytest.mark.parametrize(
    ("folder", "words"),
    [("text", ["digits.csv", "line 2", "column 2", "oops"]), ("label", ["label"])],
)
def test_a_job_that_refuses_its_data_ends_the_execution_with_its_own_reason(
    platform: LocalPlatform, data: str, folder: str, words: list[str]
) -> None:
    execution = ended(platform, start(platform, channels=channel(f"{data}/{folder}/")))
    assert execution["status"] == "FAILED"
    assert "ClientError" in execution["error"] + execution["cause"]
    for word in words:
        assert word in execution["cause"]


def test_an_event_that_is_doubled_ends_the_job_once(platform: LocalPlatform, data: str) -> None:
    platform.faults({"duplicate_events": 20})
    execution = ended(platform, start(platform, channels=channel(f"{data}/train/")))
    assert execution["status"] == "SUCCEEDED"


def test_a_job_whose_event_is_lost_is_found_by_the_sweep(
    platform: LocalPlatform, data: str
) -> None:
    sagemaker, states = platform.client("sagemaker"), platform.client("stepfunctions")
    # Only from here on no job is another worker's.
    platform.faults({"drop_events": 1, "event_status": "Completed"})
    before = jobs(platform)
    execution = start(platform, channels=channel(f"{data}/train/"))
    (job,) = until(lambda: jobs(platform) - before, "the job")
    until(
        lambda: (
            sagemaker.describe_training_job(TrainingJobName=job)["TrainingJobStatus"] == "Completed"
        ),
        "the end of the job",
    )
    assert states.describe_execution(executionArn=execution)["status"] == "RUNNING"
    sweep(platform)
    assert ended(platform, execution)["status"] == "SUCCEEDED"


def test_a_function_killed_after_it_made_the_job_loses_no_job(
    platform: LocalPlatform, data: str
) -> None:
    platform.faults({"drop_response": {"CreateTrainingJob": 1}})
    before = jobs(platform)
    execution = start(platform, channels=channel(f"{data}/train/"))
    until(lambda: jobs(platform) - before, "the job")
    result = ended(platform, execution)
    assert result["status"] == "SUCCEEDED"
    assert len(jobs(platform) - before) == 1
