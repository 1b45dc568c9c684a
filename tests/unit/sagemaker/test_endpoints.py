import asyncio
import base64
import io
import json
import os
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    IMAGE,
    LIMITS,
    OWN_IMAGE,
    REGION,
    ROLE,
    TestAws,
    TestRuntime,
    archive,
    service,
    until,
)

CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": f"s3://{BUCKET}/capture",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
}


@pytest.fixture(autouse=True)
def models(bucket: S3Client) -> None:
    for name in ("one", "two"):
        bucket.put_object(
            Bucket=BUCKET, Key=f"models/{name}.tar.gz", Body=archive({"weights": name})
        )


def model(sagemaker: SageMakerService, name: str, key: str = "", **changes: object) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{key or f'models/{name}.tar.gz'}"}
    request = {
        "ModelName": name,
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": container,
        **changes,
    }
    sagemaker.call("CreateModel", request)


def variant(model_name: str, name: str = "AllTraffic", **changes: object) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model_name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        **changes,
    }


def config(
    sagemaker: SageMakerService, name: str, *variants: dict[str, Any], **changes: object
) -> None:
    request = {"EndpointConfigName": name, "ProductionVariants": [*variants], **changes}
    sagemaker.call("CreateEndpointConfig", request)


def described(sagemaker: SageMakerService, name: str = "e") -> dict[str, Any]:
    return sagemaker.call("DescribeEndpoint", {"EndpointName": name})


def settled(sagemaker: SageMakerService, name: str = "e") -> dict[str, Any]:
    def at_rest() -> dict[str, Any] | None:
        endpoint = described(sagemaker, name)
        return endpoint if endpoint["EndpointStatus"] in ("InService", "Failed") else None

    found = until(at_rest)
    assert found
    return found


def endpoint(
    sagemaker: SageMakerService, name: str = "e", model_name: str = "one", **changes: object
) -> dict[str, Any]:
    model(sagemaker, model_name)
    config(sagemaker, f"{name}-{model_name}", variant(model_name), **changes)
    sagemaker.call(
        "CreateEndpoint", {"EndpointName": name, "EndpointConfigName": f"{name}-{model_name}"}
    )
    return settled(sagemaker, name)


def invoke(
    sagemaker: SageMakerService, name: str = "e", body: bytes = b"1,2", **headers: str
) -> tuple[int, dict[str, str], Any]:
    sent = {"Content-Type": "text/csv"}
    sent |= {f"X-Amzn-SageMaker-{k.replace('_', '-')}": v for k, v in headers.items()}
    path = f"/endpoints/{name}/invocations"
    status, got, raw = asyncio.run(sagemaker.handle_runtime("POST", path, sent, body, {}))
    try:
        return status, got, json.loads(raw)
    except ValueError:
        return status, got, raw


def test_an_endpoint_comes_up_answers_and_goes(sagemaker: SageMakerService, aws: TestAws) -> None:
    shown = endpoint(sagemaker)
    assert shown["EndpointStatus"] == "InService", shown
    (production,) = shown["ProductionVariants"]
    assert production["CurrentInstanceCount"] == production["DesiredInstanceCount"] == 1
    status, headers, answer = invoke(sagemaker, Custom_Attributes="hello", Inference_Id="7")
    assert status == 200
    assert headers["x-Amzn-Invoked-Production-Variant"] == "AllTraffic"
    assert headers["Content-Type"] == "application/json"
    assert (answer["weights"], answer["body"]) == ("one", "1,2")
    assert answer["headers"]["content-type"] == "text/csv"
    assert answer["headers"]["x-amzn-sagemaker-custom-attributes"] == "hello"
    assert answer["headers"]["x-amzn-sagemaker-inference-id"] == "7"
    assert "authorization" not in answer["headers"]
    assert "TRAINING_JOB_NAME" not in answer["environment"]
    assert answer["environment"]["AWS_ACCESS_KEY_ID"] == "key-of-role"
    sagemaker.call("DeleteEndpoint", {"EndpointName": "e"})
    assert invoke(sagemaker)[0] == 400

    def gone() -> bool:
        try:
            described(sagemaker)
        except ServiceError as error:
            return "Could not find endpoint" in error.message
        return False

    until(gone)
    assert not psutil.pid_exists(answer["pid"])
    events = [d["EndpointStatus"] for t, d, _ in aws.events if "Endpoint" in t]
    assert events == ["CREATING", "IN_SERVICE", "DELETING"]
    detail = aws.events[0][1]
    assert isinstance(detail["CreationTime"], float) and detail["CreationTime"] > 1e12


def test_an_endpoint_deleted_while_it_comes_up_leaves_nothing_to_its_successor(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="models/broken.tar.gz", Body=archive({"broken": ""}))
    model(sagemaker, "broken")
    config(sagemaker, "c", variant("broken"))
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    sagemaker.call("DeleteEndpoint", {"EndpointName": "e"})
    with pytest.raises(ServiceError, match="Cannot create already existing endpoint"):
        sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    until(lambda: not sagemaker.call("ListEndpoints", {})["Endpoints"])
    assert endpoint(sagemaker)["EndpointStatus"] == "InService"


def test_endpoints_answer_with_their_own_models(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker, "first", "one")
    endpoint(sagemaker, "second", "two")
    assert invoke(sagemaker, "first")[2]["weights"] == "one"
    assert invoke(sagemaker, "second")[2]["weights"] == "two"


def test_an_isolated_model_server_has_no_credentials(sagemaker: SageMakerService) -> None:
    model(sagemaker, "one", EnableNetworkIsolation=True)
    config(sagemaker, "c", variant("one"))
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    settled(sagemaker)
    environment = invoke(sagemaker)[2]["environment"]
    assert "AWS_ACCESS_KEY_ID" not in environment and "AWS_ENDPOINT_URL" not in environment


def test_a_model_can_name_a_model_package(sagemaker: SageMakerService) -> None:
    sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g"})
    containers = [
        {
            "Image": IMAGE,
            "ModelDataUrl": f"s3://{BUCKET}/models/two.tar.gz",
            "Environment": {"A": "1", "B": "1"},
        }
    ]
    arn = sagemaker.call(
        "CreateModelPackage",
        {"ModelPackageGroupName": "g", "InferenceSpecification": {"Containers": containers}},
    )["ModelPackageArn"]
    model(
        sagemaker,
        "packaged",
        PrimaryContainer={"ModelPackageName": arn, "Environment": {"B": "2"}},
    )
    config(sagemaker, "c", variant("packaged"))
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    settled(sagemaker)
    answer = invoke(sagemaker)[2]
    assert answer["weights"] == "two"
    assert (answer["environment"]["A"], answer["environment"]["B"]) == ("1", "2")


def test_every_variant_gets_its_share_of_the_requests_and_metrics_of_its_own(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    for name in ("one", "two"):
        model(sagemaker, name)
    config(
        sagemaker,
        "c",
        variant("one", "A", InitialVariantWeight=7.0),
        variant("two", "B", InitialVariantWeight=3.0),
    )
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    settled(sagemaker)
    answers = [invoke(sagemaker) for _ in range(20)]
    named = [headers["x-Amzn-Invoked-Production-Variant"] for _, headers, _ in answers]
    served = [answer["weights"] for _, _, answer in answers]
    assert served == [{"A": "one", "B": "two"}[name] for name in named]
    # Spread evenly, so that a test of few requests sees every variant.
    assert [named[start : start + 10].count("B") for start in (0, 5, 10)] == [3, 3, 3]
    counted: dict[str, float] = {}

    def all_told() -> bool:
        counted.clear()
        for _, data in [*aws.metrics]:
            for datum in data:
                if datum["MetricName"] == "Invocations":
                    name = datum["Dimensions"][1]["Value"]
                    counted[name] = counted.get(name, 0) + datum["StatisticValues"]["Sum"]
        return sum(counted.values()) == 20

    until(all_told)
    assert counted == {"A": 14, "B": 6}


def test_requests_go_to_variants_by_weight_or_by_name(sagemaker: SageMakerService) -> None:
    model(sagemaker, "one")
    model(sagemaker, "two")
    config(
        sagemaker,
        "c",
        variant("one", "A", InitialVariantWeight=1.0),
        variant("two", "B", InitialVariantWeight=0.0),
    )
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    settled(sagemaker)
    assert {invoke(sagemaker)[2]["weights"] for _ in range(10)} == {"one"}
    assert invoke(sagemaker, Target_Variant="B")[2]["weights"] == "two"
    status, headers, answer = invoke(sagemaker, Target_Variant="C")
    assert (status, headers["x-amzn-ErrorType"]) == (400, "ValidationError")
    assert "Variant C of endpoint e does not exist" in answer["Message"]
    sagemaker.call(
        "UpdateEndpointWeightsAndCapacities",
        {
            "EndpointName": "e",
            "DesiredWeightsAndCapacities": [
                {"VariantName": "A", "DesiredWeight": 0.0},
                {"VariantName": "B", "DesiredWeight": 3.0, "DesiredInstanceCount": 2},
            ],
        },
    )
    shown = settled(sagemaker)["ProductionVariants"]
    assert [v["CurrentWeight"] for v in shown] == [0.0, 3.0]
    assert shown[1]["CurrentInstanceCount"] == 2
    answers = [invoke(sagemaker)[2] for _ in range(10)]
    assert {a["weights"] for a in answers} == {"two"}
    assert len({a["pid"] for a in answers}) == 2


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (415, "client"), (500, "server")])
def test_an_error_of_the_model_is_a_model_error(
    sagemaker: SageMakerService, status: int, side: str
) -> None:
    endpoint(sagemaker)
    code, headers, answer = invoke(sagemaker, Custom_Attributes=f"status={status}")
    assert (code, headers["x-amzn-ErrorType"]) == (424, "ModelError")
    assert answer["OriginalStatusCode"] == status
    assert answer["OriginalMessage"] == "so be it"
    assert answer["Message"] == (
        f'Received {side} error ({status}) from primary with message "so be it". See '
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
        "#logEventViewer:group=/aws/sagemaker/Endpoints/e in account 000000000000 for more "
        "information."
    )
    assert (
        ":log-group:/aws/sagemaker/Endpoints/e:log-stream:AllTraffic/i-" in answer["LogStreamArn"]
    )


def test_a_model_that_takes_too_long_is_a_model_error(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    code, _, answer = invoke(sagemaker, Custom_Attributes="sleep=5")
    assert (code, answer["OriginalStatusCode"]) == (424, 0)
    assert "Your invocation timed out while waiting for a response" in answer["Message"]


def test_requests_and_answers_have_the_size_limit_of_aws(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    limit = LIMITS.payload
    status, _, answer = invoke(sagemaker, body=b"x" * (limit + 1))
    assert (status, answer["message"]) == (413, "HTTP content length exceeded 6291456 bytes.")
    assert invoke(sagemaker, body=b"x" * limit)[2]["length"] == limit
    assert len(invoke(sagemaker, Custom_Attributes=f"long={limit}")[2]) == limit
    status, _, answer = invoke(sagemaker, Custom_Attributes=f"long={limit + 1}")
    assert status == 424 and "longer than 6291456 bytes" in answer["Message"]


def test_an_unknown_endpoint_is_a_validation_error(sagemaker: SageMakerService) -> None:
    status, headers, answer = invoke(sagemaker, "none")
    assert (status, headers["x-amzn-ErrorType"]) == (400, "ValidationError")
    assert answer["Message"] == "Endpoint none of account 000000000000 not found."


@pytest.mark.parametrize("attributes", ["x" * 1025, "a\tb", "é"])
def test_custom_attributes_are_short_visible_ascii(
    sagemaker: SageMakerService, attributes: str
) -> None:
    assert "visible US-ASCII" in invoke(sagemaker, Custom_Attributes=attributes)[2]["Message"]


def _hammer(sagemaker: SageMakerService, until_done: Callable[[], object]) -> list[Any]:
    """Invoke from several clients at once while something happens."""
    answers: list[Any] = []
    done = threading.Event()

    async def client() -> None:
        while not done.is_set():
            status, _, body = await sagemaker.handle_runtime(
                "POST", "/endpoints/e/invocations", {"content-type": "text/csv"}, b"1", {}
            )
            answers.append((status, json.loads(body)))

    async def clients() -> None:
        await asyncio.gather(*(client() for _ in range(4)))

    thread = threading.Thread(target=lambda: asyncio.run(clients()))
    thread.start()
    try:
        until(lambda: answers)
        until_done()
        seen = len(answers)
        until(lambda: len(answers) >= seen + 8)
    finally:
        done.set()
        thread.join()
    return answers


def test_an_update_drops_no_request(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    model(sagemaker, "two")
    config(sagemaker, "next", variant("two"))

    def update() -> None:
        sagemaker.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "next"})
        pending = described(sagemaker)
        assert pending["EndpointStatus"] == "Updating"
        assert pending["EndpointConfigName"] == "e-one"
        assert pending["PendingDeploymentSummary"]["EndpointConfigName"] == "next"
        with pytest.raises(ServiceError, match="Cannot update in-progress endpoint"):
            sagemaker.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "next"})
        assert settled(sagemaker)["EndpointConfigName"] == "next"

    answers = _hammer(sagemaker, update)
    assert {status for status, _ in answers} == {200}
    weights = [answer["weights"] for _, answer in answers]
    assert set(weights) == {"one", "two"}
    assert weights[-1] == "two"
    old = next(answer["pid"] for _, answer in answers if answer["weights"] == "one")
    until(lambda: not psutil.pid_exists(old))
    assert "PendingDeploymentSummary" not in described(sagemaker)


def test_an_update_lets_a_request_under_way_be_answered(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    model(sagemaker, "two")
    config(sagemaker, "next", variant("two"))
    slow: list[Any] = []
    thread = threading.Thread(
        target=lambda: slow.append(invoke(sagemaker, Custom_Attributes="sleep=0.9"))
    )
    sagemaker.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "next"})
    thread.start()
    thread.join()
    assert slow[0][0] == 200


def test_an_update_that_fails_leaves_what_was_served(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    endpoint(sagemaker)
    bucket.put_object(Bucket=BUCKET, Key="models/broken.tar.gz", Body=archive({"broken": ""}))
    model(sagemaker, "broken")
    config(sagemaker, "next", variant("broken"))
    answers = _hammer(
        sagemaker,
        lambda: (
            sagemaker.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "next"}),
            settled(sagemaker),
        ),
    )
    shown = described(sagemaker)
    assert (shown["EndpointStatus"], shown["EndpointConfigName"]) == ("InService", "e-one")
    assert "did not pass the ping health check" in shown["FailureReason"]
    assert {(status, answer["weights"]) for status, answer in answers} == {(200, "one")}


def test_an_update_can_keep_the_instances_and_weights(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    sagemaker.call(
        "UpdateEndpointWeightsAndCapacities",
        {
            "EndpointName": "e",
            "DesiredWeightsAndCapacities": [
                {"VariantName": "AllTraffic", "DesiredInstanceCount": 2, "DesiredWeight": 5.0}
            ],
        },
    )
    settled(sagemaker)
    model(sagemaker, "two")
    config(sagemaker, "next", variant("two"))
    update = {"EndpointName": "e", "EndpointConfigName": "next"}
    sagemaker.call("UpdateEndpoint", {**update, "RetainAllVariantProperties": True})
    (shown,) = settled(sagemaker)["ProductionVariants"]
    assert (shown["DesiredInstanceCount"], shown["DesiredWeight"]) == (2, 5.0)
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    sagemaker.call(
        "UpdateEndpoint",
        {
            **update,
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": excluded,
        },
    )
    (shown,) = settled(sagemaker)["ProductionVariants"]
    assert (shown["DesiredInstanceCount"], shown["DesiredWeight"]) == (1, 5.0)
    sagemaker.call("UpdateEndpoint", update)
    (shown,) = settled(sagemaker)["ProductionVariants"]
    assert (shown["DesiredInstanceCount"], shown["DesiredWeight"]) == (1, 1.0)


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
    assert aws.events[-1][1]["EndpointStatus"] == "FAILED"
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
    assert ("exit code 7" if file == "broken" else "in time (1 s)") in shown["FailureReason"]


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


def test_invocations_are_measured_under_the_service(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    endpoint(sagemaker)
    for attributes in ("", "status=400", "status=500"):
        invoke(sagemaker, Custom_Attributes=attributes)
    sums: dict[str, float] = {}

    def all_told() -> bool:
        sums.clear()
        for namespace, data in [*aws.metrics]:
            assert namespace == "AWS/SageMaker"
            for datum in data:
                name = datum["MetricName"]
                sums[name] = sums.get(name, 0) + datum["StatisticValues"]["Sum"]
        return sums.get("Invocations") == 3

    until(all_told)
    assert sums["Invocation4XXErrors"] == sums["Invocation5XXErrors"] == 1
    assert sums["InvocationModelErrors"] == 2
    assert 100 < sums["ModelLatency"] < 5e6
    dimensions = aws.metrics[0][1][0]["Dimensions"]
    assert {d["Name"]: d["Value"] for d in dimensions} == {
        "EndpointName": "e",
        "VariantName": "AllTraffic",
    }


def test_captured_data_lies_in_s3_in_the_format_of_aws(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    shown = endpoint(sagemaker, DataCaptureConfig=CAPTURE)
    assert shown["DataCaptureConfig"]["CaptureStatus"] == "Started"
    invoke(sagemaker, body=b"5,6", Custom_Attributes="mine", Inference_Id="42")
    prefix = "capture/e/AllTraffic/" + time.strftime("%Y/%m/%d/%H/", time.gmtime())
    (found,) = until(
        lambda: bucket.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    )
    assert found["Key"].endswith(".jsonl")
    lines = bucket.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read().decode()
    (record,) = [json.loads(line) for line in lines.splitlines()]
    assert record["eventVersion"] == "0"
    assert record["eventMetadata"]["customAttributes"] == "mine"
    assert record["eventMetadata"]["inferenceId"] == "42"
    assert record["captureData"]["endpointInput"] == {
        "observedContentType": "text/csv",
        "mode": "INPUT",
        "data": "5,6",
        "encoding": "CSV",
    }
    output = record["captureData"]["endpointOutput"]
    assert (output["mode"], output["encoding"]) == ("OUTPUT", "JSON")
    assert json.loads(output["data"])["weights"] == "one"


def test_captured_bytes_of_an_unknown_type_are_base64(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    options = [{"CaptureMode": "Input"}]
    endpoint(sagemaker, DataCaptureConfig={**CAPTURE, "CaptureOptions": options})
    path, headers = "/endpoints/e/invocations", {"Content-Type": "image/png"}
    asyncio.run(sagemaker.handle_runtime("POST", path, headers, b"abc", {}))
    (found,) = until(
        lambda: bucket.list_objects_v2(Bucket=BUCKET, Prefix="capture/").get("Contents", [])
    )
    record = json.loads(bucket.get_object(Bucket=BUCKET, Key=found["Key"])["Body"].read())
    assert record["captureData"].keys() == {"endpointInput"}
    assert base64.b64decode(record["captureData"]["endpointInput"]["data"]) == b"abc"


def test_a_capture_that_is_denied_is_told_in_the_log_and_disturbs_no_answer(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    endpoint(sagemaker, DataCaptureConfig=CAPTURE)
    aws.denied.add("s3:PutObject")
    assert invoke(sagemaker)[0] == 200
    logs = boto3.client("logs", region_name=REGION)

    def told() -> bool:
        events = logs.filter_log_events(logGroupName="/aws/sagemaker/Endpoints/e")["events"]
        return any("perform: s3:PutObject" in event["message"] for event in events)

    until(told)


def test_endpoints_come_back_after_a_restart(
    sagemaker: SageMakerService, aws: TestAws, tmp_path: Path
) -> None:
    endpoint(sagemaker)
    pid = invoke(sagemaker)[2]["pid"]
    # The servers need neither of them any more, on AWS as here.
    sagemaker.call("DeleteEndpointConfig", {"EndpointConfigName": "e-one"})
    sagemaker.call("DeleteModel", {"ModelName": "one"})
    sagemaker.close()
    assert not psutil.pid_exists(pid)
    again = service(aws, tmp_path / "state")
    again.start()
    try:
        assert settled(again)["EndpointStatus"] == "InService"
        assert invoke(again)[2]["weights"] == "one"
    finally:
        again.close()


def test_closing_leaves_no_process_and_no_file(sagemaker: SageMakerService, tmp_path: Path) -> None:
    endpoint(sagemaker)
    sagemaker.close()
    assert not [p for p in psutil.Process().children(recursive=True) if "serve" in p.cmdline()]
    assert not (tmp_path / "state" / "endpoints").exists()


Limited = Callable[..., SageMakerService]


@pytest.fixture
def limited(aws: TestAws, bucket: S3Client, tmp_path: Path) -> Iterator[Limited]:
    begun: list[SageMakerService] = []

    def begin(**limits: Any) -> SageMakerService:
        state = tmp_path / f"limited-{len(begun)}"
        found = SageMakerService(
            aws, state, runtime=TestRuntime(), limits=replace(LIMITS, **limits)
        )
        begun.append(found)
        found.start()
        return found

    yield begin
    for one in begun:
        one.close()


def _servers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "serve" in p.cmdline()[-1:]]


def test_closing_ends_a_server_that_is_not_ready_yet(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    bucket.put_object(Bucket=BUCKET, Key="models/asleep.tar.gz", Body=archive({"asleep": ""}))
    model(sagemaker, "asleep")
    config(sagemaker, "c", variant("asleep", ContainerStartupHealthCheckTimeoutInSeconds=60))
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    logs = boto3.client("logs", region_name=REGION)

    def asleep() -> bool:
        groups = logs.describe_log_groups()["logGroups"]
        return any(
            event["message"] == "asleep"
            for group in groups
            for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        )

    until(asleep)
    assert _servers()
    sagemaker.close()
    assert not _servers()


def test_closing_ends_a_server_that_still_answers_what_it_was_asked(
    limited: Limited,
) -> None:
    patient = limited(invocation=60)
    endpoint(patient)
    model(patient, "two")
    config(patient, "next", variant("two"))
    asked = threading.Thread(
        target=invoke, args=[patient], kwargs={"Custom_Attributes": "sleep=60"}
    )
    asked.start()
    live = patient.endpoints.find("e")
    assert live
    ((server, _),) = live.deployment.variants[0]._servers
    until(lambda: server._in_flight)
    patient.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "next"})
    settled(patient)
    assert len(_servers()) == 2
    patient.close()
    assert not _servers()
    asked.join(10)


def test_data_that_cannot_be_captured_fails_the_endpoint_and_leaves_no_server(
    sagemaker: SageMakerService,
) -> None:
    nowhere = {**CAPTURE, "DestinationS3Uri": "https://data.example/capture"}
    shown = endpoint(sagemaker, DataCaptureConfig=nowhere)
    assert shown["EndpointStatus"] == "Failed"
    assert "write s3://BUCKET/KEY" in shown["FailureReason"]
    assert not _servers()


def test_what_was_captured_is_stored_though_its_servers_are_given_up(
    limited: Limited, bucket: S3Client
) -> None:
    rare = limited(capture_interval=600)
    endpoint(rare, DataCaptureConfig=CAPTURE)
    assert invoke(rare)[0] == 200

    def failed() -> bool:
        rare.endpoints.kill("e")
        return bool(described(rare)["EndpointStatus"] == "Failed")

    until(failed)
    until(lambda: "Contents" in bucket.list_objects_v2(Bucket=BUCKET, Prefix="capture/e/"))


def test_a_capture_that_is_denied_when_no_server_is_left_is_told_by_the_platform(
    limited: Limited, aws: TestAws, caplog: pytest.LogCaptureFixture
) -> None:
    rare = limited(capture_interval=600)
    endpoint(rare, DataCaptureConfig=CAPTURE)
    assert invoke(rare)[0] == 200
    aws.denied.add("s3:PutObject")
    rare.call("DeleteEndpoint", {"EndpointName": "e"})
    until(lambda: not rare.call("ListEndpoints", {})["Endpoints"])
    assert "Data capture of 1 records was lost" in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ExecutionRoleArn": None}, "needs an ExecutionRoleArn"),
        ({"PrimaryContainer": None}, "0 containers"),
        ({"Containers": [{"Image": IMAGE}]}, "2 containers"),
        ({"PrimaryContainer": {"Image": "other:1"}}, "no image of a built-in algorithm"),
        ({"PrimaryContainer": {"Image": IMAGE, "Mode": "MultiModel"}}, "no multi-model"),
        ({"PrimaryContainer": {"Image": IMAGE, "ModelPackageName": "x"}}, "either an Image or"),
        ({"PrimaryContainer": {"ModelPackageName": "x"}}, "model-package/x does not exist"),
        (
            {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}},
            "leave VpcConfig out",
        ),
    ],
)
def test_a_model_that_cannot_be_served_here_is_refused(
    sagemaker: SageMakerService, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError, match=words):
        model(sagemaker, "refused", **changes)


@pytest.mark.parametrize(
    ("variants", "changes", "words"),
    [
        ([variant("none")], {}, "Could not find model"),
        ([variant("one"), variant("one")], {}, "must differ"),
        ([variant("one", InitialInstanceCount=9)], {}, "at most 8"),
        (
            [variant("one", ServerlessConfig={"MemorySizeInMB": 1024, "MaxConcurrency": 1})],
            {},
            "no serverless variants yet",
        ),
        (
            [variant("one")],
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://data/x"}}},
            "no asynchronous inference yet",
        ),
    ],
)
def test_a_configuration_that_cannot_be_served_here_is_refused(
    sagemaker: SageMakerService, variants: list[Any], changes: dict[str, Any], words: str
) -> None:
    model(sagemaker, "one")
    with pytest.raises(ServiceError, match=words):
        config(sagemaker, "refused", *variants, **changes)


def test_an_own_image_is_served_too(sagemaker: SageMakerService, aws: TestAws) -> None:
    data = f"s3://{BUCKET}/models/one.tar.gz"
    model(sagemaker, "own", PrimaryContainer={"Image": OWN_IMAGE, "ModelDataUrl": data})
    config(sagemaker, "c", variant("own"))
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    assert settled(sagemaker)["EndpointStatus"] == "InService"
    repository = "arn:aws:ecr:us-east-1:000000000000:repository/team/test-image"
    assert ("ecr:BatchGetImage", repository, {}) in aws.authorized
