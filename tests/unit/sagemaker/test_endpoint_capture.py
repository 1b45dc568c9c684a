import asyncio
import base64
import json
import time

import boto3
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.endpoint_support import (
    CAPTURE,
    Limited,
    described,
    endpoint,
    invoke,
    servers,
)
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    REGION,
    TestAws,
    until,
)

pytestmark = pytest.mark.usefixtures("models")


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


def test_a_place_where_nothing_can_be_captured_is_refused_before_a_server_starts(
    sagemaker: SageMakerService,
) -> None:
    nowhere = {**CAPTURE, "DestinationS3Uri": "https://data.example/capture"}
    with pytest.raises(ServiceError, match="write s3://BUCKET/KEY"):
        endpoint(sagemaker, DataCaptureConfig=nowhere)
    assert not servers()


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
