import io
import json
import threading
from pathlib import Path, PurePosixPath
from typing import Any

import boto3
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker import s3
from local.sagemaker.arns import Arns
from local.sagemaker.errors import ServiceError
from local.sagemaker.faults import Faults
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.service import SageMakerService
from local.sagemaker.training.checkpoints import Checkpoints
from tests.unit.sagemaker.surroundings import (
    ACCOUNT,
    BUCKET,
    IMAGE,
    OWN_IMAGE,
    REGION,
    ROLE,
    TestAws,
    content,
    finished,
    job_request,
    train,
    until,
)

SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
}
KEPT = {"CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints/one"}}
COUNTING = {"HyperParameters": {"count": "6"}}


def _checkpoints(bucket: S3Client) -> dict[str, str]:
    found = bucket.list_objects_v2(Bucket=BUCKET, Prefix="checkpoints/").get("Contents", [])
    return {
        item["Key"].rpartition("/")[2]: bucket.get_object(Bucket=BUCKET, Key=item["Key"])["Body"]
        .read()
        .decode()
        for item in found
    }


def _secondary(job: dict[str, Any]) -> list[str]:
    return [transition["Status"] for transition in job["SecondaryStatusTransitions"]]


def _training(sagemaker: SageMakerService, name: str, **changes: Any) -> None:
    """Start a job, and wait until its image runs."""
    sagemaker.call("CreateTrainingJob", job_request(name, **changes))
    logs = boto3.client("logs", region_name=REGION)

    def said() -> bool:
        try:
            events = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return False
        return any(event["message"].startswith(("paused", "sleeping")) for event in events)

    until(said)


def test_checkpoints_reach_s3_while_the_job_runs(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    _training(sagemaker, "kept", **KEPT, **COUNTING)
    until(lambda: set(_checkpoints(bucket)) == {"1", "2", "3"})
    job = sagemaker.call("DescribeTrainingJob", {"TrainingJobName": "kept"})
    assert job["SecondaryStatus"] == "Training"
    assert job["CheckpointConfig"] == KEPT["CheckpointConfig"]
    sagemaker.call("StopTrainingJob", {"TrainingJobName": "kept"})
    finished(sagemaker, "kept")


def test_a_new_job_goes_on_from_the_checkpoints_of_another(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="checkpoints/one/4", Body=b"state 4")
    job = train(sagemaker, "goes-on", **KEPT, **COUNTING)
    assert job["TrainingJobStatus"] == "Completed", job
    assert content(bucket, job)["first"] == "5"
    assert _checkpoints(bucket) == {"4": "state 4", "5": "state 5", "6": "state 6"}
    seen = json.loads(content(bucket, job)["seen-algo-1.json"])
    assert seen["configs"]["checkpointconfig.json"] == {
        "S3Uri": f"s3://{BUCKET}/checkpoints/one",
        "LocalPath": "/opt/ml/checkpoints",
    }


@pytest.mark.parametrize("action", ["s3:ListBucket", "s3:GetObject", "s3:PutObject"])
def test_checkpoints_in_a_bucket_that_the_role_may_not_use_fail_the_job(
    sagemaker: SageMakerService, aws: TestAws, bucket: S3Client, action: str
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="checkpoints/one/1", Body=b"state 1")
    aws.denied.add(action)
    sagemaker.call(
        "CreateTrainingJob", job_request("denied", InputDataConfig=None, **KEPT, **COUNTING)
    )
    job = finished(sagemaker, "denied")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert f"not authorized to perform: {action} on resource: " in job["FailureReason"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"S3Uri": "s3://data/c", "LocalPath": "/etc"}, "a folder below /opt/ml"),
        ({"S3Uri": "s3://data/c", "LocalPath": "/opt/ml/input/data"}, "other than code, input"),
        ({"S3Uri": "s3://data/c", "LocalPath": "/opt/ml/a/../../../x"}, "a folder below"),
        ({"S3Uri": "s3://data/c", "LocalPath": "/opt/ml/a\0b"}, "a folder below"),
        ({"S3Uri": "s3://data/c", "LocalPath": "/opt/ml/" + "x" * 256}, "a folder below"),
    ],
)
def test_a_place_for_checkpoints_that_is_none_is_refused(
    sagemaker: SageMakerService, config: dict[str, str], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        sagemaker.call("CreateTrainingJob", job_request("nowhere", CheckpointConfig=config))


def test_only_files_of_the_job_itself_become_checkpoints(
    aws: TestAws, bucket: S3Client, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    here = tmp_path / "here"
    storage = s3.Storage(Role(aws, Arns(REGION, ACCOUNT), ROLE))
    failures: list[CallFailed] = []
    kept = Checkpoints(
        f"s3://{BUCKET}/checkpoints",
        storage,
        tmp_path,
        PurePosixPath("here"),
        tmp_path / "spare",
        interval=60,
        on_failure=failures.append,
    )
    kept.restore()
    (here / "link").symlink_to(outside / "secret")
    (here / "folder").symlink_to(outside)
    (here / "state").write_text("mine")
    kept.begin()
    kept.close()
    assert _checkpoints(bucket) == {"state": "mine"}
    assert not failures


def test_an_interrupted_spot_job_begins_again_and_goes_on_from_its_checkpoints(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    _training(sagemaker, "spot", **SPOT, **KEPT, **COUNTING)
    sagemaker.faults.configure({"interrupt_spot": 1})
    job = finished(sagemaker, "spot")
    assert job["TrainingJobStatus"] == "Completed", job
    assert _secondary(job) == [
        "Starting",
        "Downloading",
        "Training",
        "Interrupted",
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert content(bucket, job)["first"] == "4"
    assert _checkpoints(bucket) == {str(n): f"state {n}" for n in range(1, 7)}
    # The attempt that ended the job said nothing of it.
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [
        ("train:loss", 3)
    ]


def test_spot_training_is_billed_for_less_than_it_took(sagemaker: SageMakerService) -> None:
    job = train(sagemaker, "cheap", **SPOT, HyperParameters={"sleep": "1.6"})
    assert 0 < job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_time_that_spot_training_waits_is_none_of_its_training(
    sagemaker: SageMakerService,
) -> None:
    sagemaker.faults.configure({"spot_wait_seconds": 2.0})
    job = train(sagemaker, "waits", **SPOT)
    waited = job["SecondaryStatusTransitions"][0]
    assert waited["EndTime"] - waited["StartTime"] >= 2
    assert job["TrainingTimeInSeconds"] <= job["TrainingEndTime"] - waited["EndTime"] + 1


def test_one_job_is_interrupted_once_and_no_other() -> None:
    faults = Faults()
    faults.interrupt("one")
    assert [faults.interrupts_spot(job) for job in ("other", "one", "one")] == [False, True, False]


@pytest.mark.parametrize("waits", [30, 0])
def test_spot_training_that_takes_too_long_with_its_waiting_is_stopped(
    sagemaker: SageMakerService, waits: int
) -> None:
    sagemaker.faults.configure({"spot_wait_seconds": waits})
    job = train(
        sagemaker,
        "too-long",
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1},
        HyperParameters={"sleep": "60"},
    )
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert "FailureReason" not in job


def test_spot_training_waits_for_capacity_that_other_training_fails_without(
    sagemaker: SageMakerService,
) -> None:
    sagemaker.faults.configure({"capacity": 1})
    assert train(sagemaker, "spot", **SPOT)["TrainingJobStatus"] == "Completed"
    assert "CapacityError" in train(sagemaker, "on-demand")["FailureReason"]


@pytest.mark.parametrize(
    ("image", "changes", "words"),
    [
        (IMAGE, {"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds"),
        (
            IMAGE,
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 59},
            },
            "greater than or equal to MaxRuntimeInSeconds",
        ),
        (
            IMAGE,
            {"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}},
            "for managed spot training only",
        ),
        (
            IMAGE,
            {
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 3601},
            },
            "at most 3600",
        ),
        (IMAGE, {"StoppingCondition": {"MaxRuntimeInSeconds": 2_419_201}}, "28 days"),
        (
            OWN_IMAGE,
            {
                **SPOT,
                "ResourceConfig": {
                    "InstanceType": "ml.m5.xlarge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 5,
                    "KeepAlivePeriodInSeconds": 60,
                },
            },
            "cannot be used with managed spot training",
        ),
    ],
)
def test_times_that_aws_does_not_take_are_refused(
    sagemaker: SageMakerService, image: str, changes: dict[str, Any], words: str
) -> None:
    asked = {"TrainingImage": image, "TrainingInputMode": "File"}
    request = job_request("refused", AlgorithmSpecification=asked, **changes)
    with pytest.raises(ServiceError, match=words):
        sagemaker.call("CreateTrainingJob", request)


def test_an_own_image_may_wait_longer_for_spot_instances(sagemaker: SageMakerService) -> None:
    asked = {"TrainingImage": OWN_IMAGE, "TrainingInputMode": "File"}
    times = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 7200}
    job = train(
        sagemaker,
        "patient",
        AlgorithmSpecification=asked,
        EnableManagedSpotTraining=True,
        StoppingCondition=times,
    )
    assert job["TrainingJobStatus"] == "Completed"


def test_a_lost_host_is_retried_as_often_as_asked(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    sagemaker.faults.configure({"lose_host": 2})
    job = train(sagemaker, "retried", RetryStrategy={"MaximumRetryAttempts": 2})
    assert job["TrainingJobStatus"] == "Completed", job
    assert _secondary(job).count("Starting") == 3
    assert content(bucket, job)["weights"] == "1"
    sagemaker.faults.configure({"lose_host": 2})
    job = train(sagemaker, "given-up", RetryStrategy={"MaximumRetryAttempts": 1})
    assert job["FailureReason"].startswith("InternalServerError: We encountered an internal error")
    assert _secondary(job).count("Starting") == 2


def test_what_an_algorithm_fails_of_is_not_retried(sagemaker: SageMakerService) -> None:
    job = train(
        sagemaker,
        "no-retry",
        RetryStrategy={"MaximumRetryAttempts": 3},
        HyperParameters={"exit": "1"},
    )
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert _secondary(job).count("Starting") == 1


def test_a_stopped_job_is_not_tried_again(sagemaker: SageMakerService) -> None:
    _training(
        sagemaker,
        "stopped",
        **SPOT,
        RetryStrategy={"MaximumRetryAttempts": 3},
        HyperParameters={"sleep": "60"},
    )
    sagemaker.call("StopTrainingJob", {"TrainingJobName": "stopped"})
    job = finished(sagemaker, "stopped")
    assert job["TrainingJobStatus"] == "Stopped"
    assert _secondary(job).count("Starting") == 1


def test_a_runtime_counts_over_all_attempts(sagemaker: SageMakerService) -> None:
    sagemaker.call(
        "CreateTrainingJob",
        job_request(
            "late",
            EnableManagedSpotTraining=True,
            StoppingCondition={"MaxRuntimeInSeconds": 4, "MaxWaitTimeInSeconds": 60},
            HyperParameters={"sleep": "60"},
        ),
    )
    interrupt = threading.Timer(2, lambda: sagemaker.faults.interrupt("late"))
    interrupt.start()
    job = finished(sagemaker, "late")
    assert job["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert _secondary(job).count("Starting") == 2
    trained = [t for t in job["SecondaryStatusTransitions"] if t["Status"] == "Training"]
    assert trained[1]["EndTime"] - trained[1]["StartTime"] < 3.5


def test_a_warm_pool_is_accepted_and_nothing_is_said_to_be_kept(
    sagemaker: SageMakerService,
) -> None:
    resources = {
        "InstanceType": "ml.m5.xlarge",
        "InstanceCount": 1,
        "VolumeSizeInGB": 5,
        "KeepAlivePeriodInSeconds": 3600,
    }
    _training(sagemaker, "warm", ResourceConfig=resources, HyperParameters={"sleep": "60"})
    job = sagemaker.call("DescribeTrainingJob", {"TrainingJobName": "warm"})
    assert job["WarmPoolStatus"] == {"Status": "InUse"}
    sagemaker.call("StopTrainingJob", {"TrainingJobName": "warm"})
    assert finished(sagemaker, "warm")["WarmPoolStatus"] == {
        "Status": "Terminated",
        "ResourceRetainedBillableTimeInSeconds": 0,
    }
    listed = {
        status: sagemaker.call("ListTrainingJobs", {"WarmPoolStatusEquals": status})
        for status in ("Terminated", "Available")
    }
    assert len(listed["Terminated"]["TrainingJobSummaries"]) == 1
    assert listed["Available"]["TrainingJobSummaries"] == []


def test_a_download_of_checkpoints_names_what_a_key_may_not_be(
    aws: TestAws, bucket: S3Client, tmp_path: Path
) -> None:
    bucket.upload_fileobj(io.BytesIO(b"x"), BUCKET, "checkpoints/../../etc/x")
    kept = Checkpoints(
        f"s3://{BUCKET}/checkpoints/",
        s3.Storage(Role(aws, Arns(REGION, ACCOUNT), ROLE)),
        tmp_path,
        PurePosixPath("here"),
        tmp_path / "spare",
        interval=60,
        on_failure=lambda _: None,
    )
    with pytest.raises(ValueError, match="cannot become a file"):
        kept.restore()
