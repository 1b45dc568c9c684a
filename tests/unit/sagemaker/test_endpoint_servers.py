import io
import os
import signal
import tarfile
from pathlib import Path

import boto3
import psutil
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.endpoint_support import (
    config,
    described,
    endpoint,
    invoke,
    model,
    settled,
    variant,
)
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    REGION,
    TestAws,
    archive,
    told,
    until,
)

pytestmark = pytest.mark.usefixtures("models")


def test_a_server_that_dies_is_brought_back(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    pid = invoke(sagemaker)[2]["pid"]
    code, _, answer = invoke(sagemaker, Custom_Attributes="die")
    assert (code, answer["OriginalStatusCode"]) == (424, 500)
    assert "without an answer" in answer["Message"]
    codes = []

    def healed() -> bool:
        code, _, answer = invoke(sagemaker)
        codes.append(code)
        return bool(code == 200 and answer["pid"] != pid)

    until(healed)
    assert set(codes) <= {200, 424, 503}
    assert described(sagemaker)["EndpointStatus"] == "InService"


def test_a_server_that_hangs_is_replaced(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    pid = invoke(sagemaker)[2]["pid"]
    os.kill(pid, signal.SIGSTOP)
    until(lambda: not psutil.pid_exists(pid))
    until(lambda: invoke(sagemaker)[0] == 200)


def test_a_server_that_dies_again_and_again_fails_the_endpoint_with_a_reason(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    endpoint(sagemaker)

    def failed() -> bool:
        sagemaker.endpoints.kill("e")
        return bool(described(sagemaker)["EndpointStatus"] == "Failed")

    until(failed)
    shown = described(sagemaker)
    assert "failed again and again" in shown["FailureReason"]
    assert "exit code 137" in shown["FailureReason"]
    assert told(aws, "EndpointStatus", "FAILED")["FailureReason"] == shown["FailureReason"]
    assert "not found" in invoke(sagemaker)[2]["Message"]
    sagemaker.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "e-one"})
    assert settled(sagemaker)["EndpointStatus"] == "InService"
    assert invoke(sagemaker)[0] == 200


@pytest.mark.parametrize("file", ["broken", "sick"])
def test_a_server_that_does_not_answer_its_ping_fails_the_endpoint(
    sagemaker: SageMakerService, bucket: S3Client, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="models/bad.tar.gz", Body=archive({file: ""}))
    model(sagemaker, "bad")
    config(sagemaker, "c", variant("bad", ContainerStartupHealthCheckTimeoutInSeconds=60))
    if file == "sick":
        # A server that runs but is never well: do not wait the least that AWS allows.
        planned = sagemaker.endpoints._plan
        monkeypatch.setattr(
            sagemaker.endpoints,
            "_plan",
            lambda c: {
                **planned(c),
                "variants": [{**v, "startup": 1} for v in planned(c)["variants"]],
            },
        )
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    shown = settled(sagemaker)
    assert shown["EndpointStatus"] == "Failed"
    assert shown["FailureReason"].startswith(
        "The primary container for production variant AllTraffic did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint."
    )
    wanted = "exit code 7: the model is broken" if file == "broken" else "in time (1 s)"
    assert wanted in shown["FailureReason"]


def _hostile(kind: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("weights")
        if kind == "dots":
            member.name = "../../escaped"
        elif kind == "absolute":
            member.name = "/tmp/escaped"
        elif kind == "symlink":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        elif kind == "hardlink":
            member.type, member.linkname = tarfile.LNKTYPE, "/etc/passwd"
        elif kind == "device":
            member.type = tarfile.CHRTYPE
        elif kind == "pipe":
            member.type = tarfile.FIFOTYPE
        tar.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["dots", "absolute", "symlink", "hardlink", "device", "pipe"])
def test_a_hostile_archive_is_refused_with_the_reason(
    sagemaker: SageMakerService, bucket: S3Client, kind: str, tmp_path: Path
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="models/bad.tar.gz", Body=_hostile(kind))
    shown = endpoint(sagemaker, model_name="bad")
    assert shown["EndpointStatus"] == "Failed"
    assert f"s3://{BUCKET}/models/bad.tar.gz" in shown["FailureReason"]
    expected = {
        "dots": "'../../escaped' would leave the model folder",
        "absolute": "'/tmp/escaped' would leave the model folder",
        "symlink": "'weights' is a link (to '/etc/passwd')",
        "hardlink": "'weights' is a link (to '/etc/passwd')",
        "device": "'weights' is a device or pipe",
        "pipe": "'weights' is a device or pipe",
    }[kind]
    assert expected in shown["FailureReason"]
    assert not [*tmp_path.rglob("escaped")]


@pytest.mark.parametrize(
    "body",
    [b"no archive", b"", archive({"weights": "x" * 9999})[:60]],
    ids=["text", "empty", "cut off"],
)
def test_what_is_no_archive_is_refused_with_the_reason(
    sagemaker: SageMakerService, bucket: S3Client, body: bytes
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="models/bad.tar.gz", Body=body)
    assert "no readable .tar.gz" in endpoint(sagemaker, model_name="bad")["FailureReason"]


@pytest.mark.parametrize(
    "action",
    [
        "ecr:GetAuthorizationToken",
        "ecr:BatchGetImage",
        "s3:GetObject",
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "kms:CreateGrant",
    ],
)
def test_a_call_that_the_models_role_may_not_make_fails_the_endpoint_and_is_named(
    sagemaker: SageMakerService, aws: TestAws, action: str
) -> None:
    aws.denied.add(action)
    shown = endpoint(sagemaker, KmsKeyId="1234abcd-12ab-34cd-56ef-1234567890ab")
    assert shown["EndpointStatus"] == "Failed"
    assert f"is not authorized to perform: {action} on resource: " in shown["FailureReason"]


def test_log_lines_reach_the_stream_of_the_instance(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    logs = boto3.client("logs", region_name=REGION)
    group = "/aws/sagemaker/Endpoints/e"
    until(lambda: logs.filter_log_events(logGroupName=group)["events"])
    (event,) = logs.filter_log_events(logGroupName=group)["events"]
    assert event["message"] == "serving"
    assert event["logStreamName"].startswith("AllTraffic/i-")
