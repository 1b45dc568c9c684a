import threading
from pathlib import Path

import boto3
import psutil
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.endpoint_support import (
    Limited,
    config,
    endpoint,
    invoke,
    model,
    servers,
    settled,
    variant,
)
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    REGION,
    archive,
    until,
)

pytestmark = pytest.mark.usefixtures("models")


def test_closing_leaves_no_process_and_no_file(sagemaker: SageMakerService, tmp_path: Path) -> None:
    endpoint(sagemaker)
    sagemaker.close()
    assert not [p for p in psutil.Process().children(recursive=True) if "serve" in p.cmdline()]
    assert not (tmp_path / "state" / "endpoints").exists()


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
    assert servers()
    sagemaker.close()
    assert not servers()


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
    assert len(servers()) == 2
    patient.close()
    assert not servers()
    asked.join(60)
