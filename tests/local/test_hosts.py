"""Jobs on several hosts, with checkpoints and on spot instances, on the running platform."""

import io
import tarfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from algorithms.xgboost.artifact import read
from tests.local.support import ALGORITHMS, checkpointed, job_request, train, trained
from tests.platform import LocalPlatform

TWO = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 10}


def _metric(job: dict[str, Any], name: str) -> float:
    return float(next(m["Value"] for m in job["FinalMetricDataList"] if m["MetricName"] == name))


def _halves(platform: LocalPlatform, algorithm: str, prefix: str) -> list[dict[str, Any]]:
    """The channel of an algorithm's data in two objects, of which each of two hosts gets one."""
    bucket, case = platform.parameter("storage/data-bucket"), ALGORITHMS[algorithm]
    lines = case["body"].splitlines(keepends=True)
    for number in (0, 1):
        body = b"".join(lines[number::2])
        platform.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{number}.csv", Body=body)
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"s3://{bucket}/{prefix}/",
        "S3DataDistributionType": "ShardedByS3Key",
    }
    return [
        {
            "ChannelName": "train",
            "ContentType": case["content_type"],
            "DataSource": {"S3DataSource": source},
        }
    ]


@pytest.mark.parametrize(("algorithm", "noise"), [("kmeans", 0.05), ("xgboost", 0.25)])
def test_two_hosts_train_one_model_as_good_as_that_of_one(
    platform: LocalPlatform, algorithm: str, noise: float
) -> None:
    suffix = uuid4().hex[:8]
    channels = _halves(platform, algorithm, f"halves-{suffix}")
    one = train(platform, f"one-{algorithm}-{suffix}", algorithm, InputDataConfig=channels)
    two = train(
        platform,
        f"two-{algorithm}-{suffix}",
        algorithm,
        InputDataConfig=channels,
        ResourceConfig=TWO,
    )
    assert two["TrainingJobStatus"] == "Completed", two
    metric = ALGORITHMS[algorithm]["metric"]
    assert _metric(two, metric) == pytest.approx(_metric(one, metric), rel=noise)
    streams = platform.client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs",
        logStreamNamePrefix=f"{two['TrainingJobName']}/",
    )["logStreams"]
    assert [stream["logStreamName"].split("/")[1][:6] for stream in streams] == ["algo-1", "algo-2"]


def test_spot_training_that_is_interrupted_ends_with_all_its_rounds(
    platform: LocalPlatform, training_role: str, tmp_path: Path
) -> None:
    name, rounds = f"spot-{uuid4().hex[:8]}", 300
    models, s3 = platform.parameter("storage/models-bucket"), platform.client("s3")
    prefix = f"checkpoints/{name}"
    request = job_request(
        platform,
        name,
        "xgboost",
        training_role,
        HyperParameters={
            **ALGORITHMS["xgboost"]["hyperparameters"],
            "num_round": str(rounds),
            "nthread": "1",
        },
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200},
        CheckpointConfig={"S3Uri": f"s3://{models}/{prefix}"},
    )
    platform.client("sagemaker").create_training_job(**request)
    checkpointed(platform, name)
    platform.interrupt(name)
    job = trained(platform, name, 120)
    assert job["TrainingJobStatus"] == "Completed", job
    statuses = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert statuses.count("Interrupted") == 1
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"][5:].partition("/")
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        member = tar.extractfile("xgboost-model")
        assert member
        (tmp_path / "xgboost-model").write_bytes(member.read())
    assert read(tmp_path / "xgboost-model").num_boosted_rounds() == rounds
    events = platform.client("logs").filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs",
        logStreamNamePrefix=f"{name}/",
        filterPattern="resuming",
    )["events"]
    assert "Checkpoint loaded; resuming from iteration" in events[0]["message"]


def test_checkpoints_in_a_bucket_that_the_role_may_not_use_fail_the_job(
    platform: LocalPlatform, training_role: str
) -> None:
    bucket = f"denied-{uuid4().hex[:12]}"
    platform.client("s3").create_bucket(Bucket=bucket)
    job = train(
        platform,
        f"denied-{uuid4().hex[:8]}",
        "xgboost",
        training_role,
        CheckpointConfig={"S3Uri": f"s3://{bucket}/checkpoints"},
    )
    assert job["TrainingJobStatus"] == "Failed"
    assert "s3:ListBucket" in job["FailureReason"] and bucket in job["FailureReason"]


def test_a_vpc_that_is_not_there_is_refused(platform: LocalPlatform, training_role: str) -> None:
    network = {
        "Subnets": ["subnet-0123456789abcdef0"],
        "SecurityGroupIds": ["sg-1234567890abcdef0"],
    }
    with pytest.raises(ClientError, match="'subnet-0123456789abcdef0' does not exist") as caught:
        train(platform, f"vpc-{uuid4().hex[:8]}", "xgboost", training_role, VpcConfig=network)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
