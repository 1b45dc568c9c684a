import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import psutil
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker import roles, s3
from local.sagemaker.arns import Arns
from local.sagemaker.errors import ServiceError
from local.sagemaker.processes import Processes
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import (
    ACCOUNT,
    BUCKET,
    IMAGE,
    OWN_IMAGE,
    REGION,
    ROLE,
    TestAws,
    channel,
    content,
    finished,
    job_request,
    service,
    train,
    until,
)


def _statuses(aws: TestAws) -> list[tuple[str, str]]:
    return [(detail["TrainingJobStatus"], detail["SecondaryStatus"]) for _, detail, _ in aws.events]


def test_a_job_passes_through_all_statuses_and_leaves_its_model(
    sagemaker: SageMakerService, aws: TestAws, bucket: S3Client
) -> None:
    job = train(sagemaker, "good", HyperParameters={"weights": "42", "output": "hello"})
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed", job
    assert [t["Status"] for t in job["SecondaryStatusTransitions"]] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert all(t["EndTime"] >= t["StartTime"] for t in job["SecondaryStatusTransitions"])
    assert (
        job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/jobs/good/output/model.tar.gz"
    )
    assert job["CreationTime"] <= job["TrainingStartTime"] < job["TrainingEndTime"]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1
    assert content(bucket, job)["weights"] == "42"
    assert content(bucket, job, "output.tar.gz") == {"report.txt": "hello"}


def test_every_secondary_status_is_an_event_in_the_shape_of_aws(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    train(sagemaker, "told", Tags=[{"Key": "team", "Value": "one"}])
    assert _statuses(aws) == [
        ("InProgress", "Starting"),
        ("InProgress", "Downloading"),
        ("InProgress", "Training"),
        ("InProgress", "Uploading"),
        ("Completed", "Completed"),
    ]
    detail_type, detail, resources = aws.events[-1]
    assert detail_type == "SageMaker Training Job State Change"
    assert resources == [detail["TrainingJobArn"]]
    assert detail["Tags"] == {"team": "one"}
    assert detail["CreationTime"].isdigit() and len(detail["CreationTime"]) == 13
    assert detail["SecondaryStatusTransitions"][0]["StartTime"].isdigit()
    assert detail["ResourceConfig"]["InstanceCount"] == 1


def test_the_container_finds_what_the_contract_promises(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    job = train(
        sagemaker,
        "contract",
        HyperParameters={"num_round": "3"},
        Environment={"SAGEMAKER_MINE": "yes", "TRAINING_JOB_NAME": "not this"},
        InputDataConfig=[
            channel("train", f"s3://{BUCKET}/train/", ContentType="text/csv"),
            channel("one", f"s3://{BUCKET}/train/a.csv"),
            channel("folder", f"s3://{BUCKET}/train"),
        ],
    )
    seen = json.loads(content(bucket, job)["seen-algo-1.json"])
    assert seen["configs"]["hyperparameters.json"] == {"num_round": "3"}
    assert seen["configs"]["inputdataconfig.json"]["train"] == {
        "ContentType": "text/csv",
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    assert "ContentType" not in seen["configs"]["inputdataconfig.json"]["one"]
    assert seen["configs"]["resourceconfig.json"]["hosts"] == ["algo-1"]
    assert seen["files"] == {
        "train/a.csv": "1,2",
        "train/deep/b.csv": "3,4",
        "one/a.csv": "1,2",
        "folder/a.csv": "1,2",
        "folder/deep/b.csv": "3,4",
    }
    environment = seen["environment"]
    assert environment["SAGEMAKER_MINE"] == "yes"
    assert environment["TRAINING_JOB_NAME"] == "contract"
    assert environment["TRAINING_JOB_ARN"] == job["TrainingJobArn"]
    assert environment["ALGORITHM_NAME"] == "test"
    assert environment["AWS_ACCESS_KEY_ID"] == "key-of-role"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"


def test_network_isolation_leaves_no_credentials(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    job = train(sagemaker, "isolated", EnableNetworkIsolation=True)
    environment = json.loads(content(bucket, job)["seen-algo-1.json"])["environment"]
    assert not [name for name in environment if "KEY" in name or name == "AWS_ENDPOINT_URL"]
    assert environment["AWS_REGION"] == REGION


def test_a_manifest_names_the_objects_of_a_channel(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    manifest = [{"prefix": f"s3://{BUCKET}/train/"}, "deep/b.csv"]
    bucket.put_object(Bucket=BUCKET, Key="list.json", Body=json.dumps(manifest))
    job = train(
        sagemaker,
        "manifest",
        InputDataConfig=[channel("train", f"s3://{BUCKET}/list.json", "ManifestFile")],
    )
    files = json.loads(content(bucket, job)["seen-algo-1.json"])["files"]
    assert files["train/deep/b.csv"] == "3,4"
    assert "train/a.csv" not in files
    assert "train-manifest" in files


@pytest.mark.parametrize("manifest", [b"{", b"[]", b'[{"prefix": "s3://data/"}]', b'["a", "b"]'])
def test_a_broken_manifest_fails_the_job_and_says_its_form(
    sagemaker: SageMakerService, bucket: S3Client, manifest: bytes
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="list.json", Body=manifest)
    job = train(
        sagemaker,
        "broken",
        InputDataConfig=[channel("train", f"s3://{BUCKET}/list.json", "ManifestFile")],
    )
    assert job["FailureReason"].startswith("ClientError: Data download failed")
    assert '{"prefix": "s3://BUCKET/PREFIX/"}' in job["FailureReason"]


@pytest.mark.parametrize("key", ["train/../../escape", "train/./x", "train//x"])
def test_a_key_that_would_leave_the_folder_fails_the_job(
    sagemaker: SageMakerService, bucket: S3Client, key: str, tmp_path: Path
) -> None:
    manifest = [{"prefix": f"s3://{BUCKET}/"}, key]
    bucket.put_object(Bucket=BUCKET, Key="list.json", Body=json.dumps(manifest))
    job = train(
        sagemaker,
        "hostile",
        InputDataConfig=[channel("train", f"s3://{BUCKET}/list.json", "ManifestFile")],
    )
    assert job["TrainingJobStatus"] == "Failed"
    assert "cannot become a file" in job["FailureReason"]
    assert not [*tmp_path.rglob("escape")]


def test_an_object_whose_name_no_file_can_have_fails_the_job_by_its_name(
    sagemaker: SageMakerService, bucket: S3Client, tmp_path: Path
) -> None:
    name = "\u30c7" * 86
    bucket.put_object(Bucket=BUCKET, Key=f"train/{name}", Body=b"1,2")
    job = train(sagemaker, "long")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Data download failed")
    assert "258 bytes" in job["FailureReason"]
    assert f"s3://{BUCKET}/train/{name}" in job["FailureReason"]
    assert str(tmp_path) not in job["FailureReason"]


def test_objects_that_clash_as_file_and_folder_fail_the_job(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="train/deep", Body=b"a file of a folder's name")
    assert "clashes with it" in train(sagemaker, "clash")["FailureReason"]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"failure": "bad data", "exit": "1"}, "AlgorithmError: bad data, exit code: 1"),
        ({"failure": "ClientError: x", "exit": "2"}, "ClientError: x, exit code: 2"),
        ({"failure": "AlgorithmError: x", "exit": "2"}, "AlgorithmError: x, exit code: 2"),
    ],
)
def test_a_failure_file_becomes_the_failure_reason_with_one_prefix(
    sagemaker: SageMakerService,
    aws: TestAws,
    bucket: S3Client,
    parameters: dict[str, str],
    reason: str,
) -> None:
    job = train(sagemaker, "failing", HyperParameters=parameters)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == reason
    assert aws.events[-1][1]["FailureReason"] == reason
    # As on AWS, what the algorithm wrote before it failed is kept.
    assert content(bucket, job)["weights"] == "1"


def test_a_long_failure_file_is_cut_and_the_exit_code_kept(sagemaker: SageMakerService) -> None:
    job = train(sagemaker, "long", HyperParameters={"failure": "x" * 2500, "exit": "1"})
    assert len(job["FailureReason"]) == 1024
    assert job["FailureReason"].endswith(", exit code: 1")


def test_a_process_that_is_killed_is_a_failed_job_with_a_reason(
    sagemaker: SageMakerService,
) -> None:
    job = train(sagemaker, "killed", HyperParameters={"signal": "9"})
    assert job["FailureReason"] == (
        "AlgorithmError: The training process was ended by SIGKILL, exit code: 137"
    )


def _started(sagemaker: SageMakerService, name: str, **changes: object) -> None:
    sagemaker.call("CreateTrainingJob", job_request(name, **changes))
    logs = boto3.client("logs", region_name=REGION)

    def sleeping() -> bool:
        found = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs")["events"]
        return any(event["message"] == "sleeping" for event in found)

    until(
        lambda: (
            sagemaker.call("DescribeTrainingJob", {"TrainingJobName": name})["SecondaryStatus"]
            == "Training"
        )
    )
    until(sleeping)


@pytest.mark.parametrize("on_term", ["0", "5", "-1"])
def test_a_stopped_job_keeps_its_model_however_its_process_takes_sigterm(
    sagemaker: SageMakerService, aws: TestAws, bucket: S3Client, on_term: str
) -> None:
    _started(sagemaker, "stop", HyperParameters={"sleep": "60", "on_term": on_term})
    sagemaker.call("StopTrainingJob", {"TrainingJobName": "stop"})
    job = finished(sagemaker, "stop")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "FailureReason" not in job
    assert content(bucket, job)["weights"] == "1"
    assert ("Stopping", "Stopping") in _statuses(aws)
    assert _statuses(aws)[-1] == ("Stopped", "Stopped")
    with pytest.raises(ServiceError, match="because the training job is in status Stopped"):
        sagemaker.call("StopTrainingJob", {"TrainingJobName": "stop"})


def test_a_job_past_its_runtime_is_stopped_and_its_model_kept(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    job = train(
        sagemaker,
        "late",
        HyperParameters={"sleep": "60"},
        StoppingCondition={"MaxRuntimeInSeconds": 1},
    )
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert content(bucket, job)["weights"] == "1"


def test_a_job_leaves_no_process_and_no_file(sagemaker: SageMakerService, tmp_path: Path) -> None:
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    job = train(sagemaker, "tidy", HyperParameters={"child": "yes"})
    assert job["TrainingJobStatus"] == "Completed"
    until(lambda: {p.pid for p in psutil.Process().children(recursive=True)} <= before)
    assert [*(tmp_path / "state" / "jobs").iterdir()] == []


def test_log_lines_reach_the_stream_of_the_job(sagemaker: SageMakerService) -> None:
    train(sagemaker, "talks", HyperParameters={"print": json.dumps(["one", "two", "été"])})
    logs = boto3.client("logs", region_name=REGION)
    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert stream["logStreamName"].startswith("talks/algo-1-")
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])
    assert [event["message"] for event in events["events"]] == ["one", "two", "été"]


def test_metrics_are_found_by_regex_published_and_the_last_value_kept(
    sagemaker: SageMakerService,
) -> None:
    lines = json.dumps(["[1]#011loss=0.5", "[2]#011loss=0.25", "loss=nan", "loss=oops"])
    job = train(sagemaker, "measured", HyperParameters={"print": lines})
    (metric,) = job["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("train:loss", 0.25)
    cloudwatch = boto3.client("cloudwatch", region_name=REGION)
    found = cloudwatch.list_metrics(Namespace="/aws/sagemaker/TrainingJobs")["Metrics"]
    by_host, by_job = sorted((m["Dimensions"] for m in found), key=lambda each: each[0]["Name"])
    assert by_host == [{"Name": "Host", "Value": "measured/algo-1"}]
    assert by_job == [{"Name": "TrainingJobName", "Value": "measured"}]


def test_a_description_has_what_the_sdk_attaches_to_a_job_by(sagemaker: SageMakerService) -> None:
    job = train(sagemaker, "described")
    assert job["OutputDataConfig"]["KmsKeyId"] == ""
    defined = job["AlgorithmSpecification"]["MetricDefinitions"]
    assert [metric["Name"] for metric in defined] == ["train:loss"]


def test_an_own_image_brings_its_metric_definitions(sagemaker: SageMakerService) -> None:
    specification = {
        "TrainingImage": OWN_IMAGE,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "mine", "Regex": "it is (.*)"}],
    }
    job = train(
        sagemaker,
        "own",
        AlgorithmSpecification=specification,
        HyperParameters={"print": '["it is 7", "loss=3"]'},
    )
    assert {m["MetricName"]: m["Value"] for m in job["FinalMetricDataList"]} == {"mine": 7}


def test_aws_does_not_let_its_images_metrics_be_defined(sagemaker: SageMakerService) -> None:
    specification = {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "mine", "Regex": "(.*)"}],
    }
    with pytest.raises(ServiceError, match="can't override the metric definitions"):
        train(sagemaker, "theirs", AlgorithmSpecification=specification)


@pytest.mark.parametrize(
    "action",
    [
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "cloudwatch:PutMetricData",
        "s3:GetObject",
        "s3:PutObject",
    ],
)
def test_a_call_that_the_role_may_not_make_fails_the_job_and_is_named(
    sagemaker: SageMakerService, aws: TestAws, action: str
) -> None:
    aws.denied.add(action)
    job = train(sagemaker, "denied", HyperParameters={"print": '["loss=1"]'})
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: ")
    assert f"is not authorized to perform: {action} on resource: " in job["FailureReason"]
    assert ROLE in job["FailureReason"]


def test_the_image_is_pulled_from_the_repository_that_its_uri_names(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    train(
        sagemaker,
        "pulled",
        AlgorithmSpecification={"TrainingImage": OWN_IMAGE, "TrainingInputMode": "File"},
    )
    repository = "arn:aws:ecr:us-east-1:000000000000:repository/team/test-image"
    assert ("ecr:BatchGetImage", repository, {}) in aws.authorized


@pytest.mark.parametrize("action", ["kms:CreateGrant", "kms:GenerateDataKey"])
def test_a_key_that_the_role_may_not_use_is_refused_at_creation(
    sagemaker: SageMakerService, aws: TestAws, action: str
) -> None:
    aws.denied.add(action)
    request = job_request("keys")
    request["ResourceConfig"]["VolumeKmsKeyId"] = "1234abcd-12ab-34cd-56ef-1234567890ab"
    request["OutputDataConfig"]["KmsKeyId"] = "alias/models"
    with pytest.raises(ServiceError, match=f"perform: {action} on resource: arn:aws:kms:"):
        sagemaker.call("CreateTrainingJob", request)


def test_artifacts_are_encrypted_with_the_output_key(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    key = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
    train(
        sagemaker,
        "sealed",
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/jobs/", "KmsKeyId": key},
    )
    found = bucket.head_object(Bucket=BUCKET, Key="jobs/sealed/output/model.tar.gz")
    assert found["SSEKMSKeyId"] == key


def test_an_object_under_a_key_that_the_role_may_not_use_fails_the_job(
    sagemaker: SageMakerService, aws: TestAws, bucket: S3Client
) -> None:
    key = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
    bucket.put_object(
        Bucket=BUCKET,
        Key="train/c.csv",
        Body=b"5,6",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=key,
    )
    aws.denied.add("kms:Decrypt")
    assert f"perform: kms:Decrypt on resource: {key}" in train(sagemaker, "sealed")["FailureReason"]


def test_a_prefix_without_objects_is_refused_in_the_words_of_aws(
    sagemaker: SageMakerService,
) -> None:
    request = job_request("empty", InputDataConfig=[channel("train", f"s3://{BUCKET}/none/")])
    with pytest.raises(ServiceError) as caught:
        sagemaker.call("CreateTrainingJob", request)
    assert caught.value.code == "ValidationException"
    assert caught.value.message == (
        'No S3 objects found under S3 URL "s3://data/none/" given in input data source. Please '
        "ensure that the bucket exists in the selected region (us-east-1), that objects exist "
        f'under that S3 prefix, and that the role "{ROLE}" has "s3:ListBucket" permissions on '
        'bucket "data".'
    )
    with pytest.raises(ServiceError, match=r"Requested resource not found\."):
        sagemaker.call("DescribeTrainingJob", {"TrainingJobName": "empty"})


@pytest.mark.parametrize("uri", ["s3://no-such-bucket/x", f"s3://{BUCKET}/train/"])
def test_a_bucket_that_cannot_be_listed_is_refused_with_the_message_of_s3(
    sagemaker: SageMakerService, aws: TestAws, uri: str
) -> None:
    if BUCKET in uri:
        aws.denied.add("s3:ListBucket")
    request = job_request("unreadable", InputDataConfig=[channel("train", uri)])
    with pytest.raises(ServiceError, match=r"Error message from S3: \S"):
        sagemaker.call("CreateTrainingJob", request)


def test_a_role_that_sagemaker_may_not_assume_is_refused(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    aws.unassumable.add(ROLE)
    with pytest.raises(ServiceError, match="sts:AssumeRole"):
        sagemaker.call("CreateTrainingJob", job_request("untrusted"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 9}}, "9 instances"),
        ({"InputDataConfig": [channel("a", "s3://data/train")] * 2}, "must differ"),
        ({"OutputDataConfig": {"S3OutputPath": "https://data/x"}}, "s3://BUCKET/KEY"),
        (
            {"AlgorithmSpecification": {"TrainingImage": "x/other:1", "TrainingInputMode": "File"}},
            "cannot run the image x/other:1: it is no image of a built-in .* test\\.$",
        ),
        (
            {
                "AlgorithmSpecification": {
                    "TrainingImage": "unwritten:1",
                    "TrainingInputMode": "File",
                }
            },
            "it is the algorithm unwritten. What runs here, .*: test\\.",
        ),
    ],
)
def test_what_cannot_run_here_is_refused_with_what_can(
    sagemaker: SageMakerService, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words) as caught:
        sagemaker.call("CreateTrainingJob", job_request("refused", **changes))
    assert caught.value.code == "ValidationException"


def test_a_name_is_taken_for_ever(sagemaker: SageMakerService) -> None:
    train(sagemaker, "once")
    with pytest.raises(ServiceError, match="with this name already exists") as caught:
        sagemaker.call("CreateTrainingJob", job_request("once"))
    assert caught.value.code == "ResourceInUse"


def test_a_capacity_fault_fails_one_job_as_aws_does(sagemaker: SageMakerService) -> None:
    sagemaker.faults.configure({"capacity": 1})
    assert train(sagemaker, "short")["FailureReason"] == (
        "CapacityError: Unable to provision requested ML compute capacity. "
        "Please retry using a different ML instance type."
    )
    assert train(sagemaker, "enough")["TrainingJobStatus"] == "Completed"


def test_a_lost_answer_leaves_the_job_running(sagemaker: SageMakerService) -> None:
    sagemaker.faults.configure({"drop_response": {"CreateTrainingJob": 1}})
    with pytest.raises(ServiceError) as caught:
        sagemaker.call("CreateTrainingJob", job_request("unheard"))
    assert caught.value.status == 500
    assert finished(sagemaker, "unheard")["TrainingJobStatus"] == "Completed"


def test_a_lost_host_is_a_failed_job(sagemaker: SageMakerService) -> None:
    _started(sagemaker, "lost", HyperParameters={"sleep": "60"})
    sagemaker.jobs.lose_host("lost")
    job = finished(sagemaker, "lost")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: We encountered an internal error")


def test_a_job_that_the_platform_left_behind_has_failed_after_a_restart(
    sagemaker: SageMakerService, aws: TestAws, tmp_path: Path
) -> None:
    _started(sagemaker, "cut-off", HyperParameters={"sleep": "60"})
    sagemaker.close()
    aws.events.clear()
    again = service(aws, tmp_path / "state")
    again.start()
    job = again.call("DescribeTrainingJob", {"TrainingJobName": "cut-off"})
    again.close()
    assert job["TrainingJobStatus"] == "Failed"
    assert "local platform was stopped" in job["FailureReason"]
    assert _statuses(aws) == [("Failed", "Failed")]


def test_what_a_killed_platform_left_running_is_ended_at_the_next_start(
    sagemaker: SageMakerService, aws: TestAws, tmp_path: Path
) -> None:
    _started(sagemaker, "orphan", HyperParameters={"sleep": "60", "on_term": "-1"})
    (orphan,) = [
        p for p in psutil.Process().children(recursive=True) if "train" in p.cmdline()[-1:]
    ]
    second = service(aws, tmp_path / "state")
    second.start()
    # Whoever started it reaps it, and psutil's wait would do so in its place.
    until(lambda: not orphan.is_running())
    second.close()


def _while_downloading(
    sagemaker: SageMakerService, monkeypatch: pytest.MonkeyPatch, name: str, do: Callable[[], None]
) -> None:
    downloading, on = threading.Event(), threading.Event()
    real = s3.Storage.download

    def held(*arguments: Any) -> None:
        downloading.set()
        on.wait(60)
        real(*arguments)

    monkeypatch.setattr(s3.Storage, "download", held)
    sagemaker.call("CreateTrainingJob", job_request(name, HyperParameters={"sleep": "60"}))
    assert downloading.wait(60)
    attempt = sagemaker.jobs._runs[name][0]._attempt
    assert attempt
    doing = threading.Thread(target=do)
    doing.start()
    until(lambda: attempt._ending)
    on.set()
    doing.join(60)


def test_a_job_that_is_cut_off_while_it_downloads_starts_no_process(
    sagemaker: SageMakerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(Processes, "start", lambda *_, **__: started.append(1))
    _while_downloading(sagemaker, monkeypatch, "cut-off", sagemaker.close)
    assert not started


def test_a_host_that_is_lost_while_it_downloads_is_a_failed_job(
    sagemaker: SageMakerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    _while_downloading(sagemaker, monkeypatch, "lost", lambda: sagemaker.jobs.lose_host("lost"))
    job = finished(sagemaker, "lost")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: We encountered an internal error")


def test_an_object_that_may_not_be_decrypted_leaves_no_connection_open(
    aws: TestAws, tmp_path: Path
) -> None:
    body = io.BytesIO(b"secret")
    answer = {"Body": body, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}

    class Role(roles.Role):
        def client(self, service: str) -> Any:
            return SimpleNamespace(get_object=lambda **_: answer)

    aws.denied.add("kms:Decrypt")
    role = Role(aws, Arns(REGION, ACCOUNT), ROLE)
    with pytest.raises(roles.CallFailed, match="kms:Decrypt"):
        s3.Storage(role).download(BUCKET, "x", tmp_path / "x")
    assert body.closed
