import importlib
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from common import clients
from quotas import table
from quotas.told import SILENT_SECONDS, Told
from tests.unit.mocking import mocked_aws

TRAINING = "ml.m5.xlarge for training job usage"
ENDPOINT = "ml.m5.large for endpoint usage"
NOTEBOOK = "ml.t3.medium for notebook instance usage"
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
    "ENVIRONMENT_NAME": "dev",
    "QUOTAS": json.dumps(
        [TRAINING, table.TOTAL["training"], ENDPOINT, table.TOTAL["endpoint"], NOTEBOOK]
    ),
    "TOLD_TABLE": "told",
}
TEXT = (
    f"The account-level service limit '{TRAINING}' is 1 Instances, with current utilization of "
    "1 Instances and a request delta of 1 Instances."
)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A queue that hears the topic."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    clients._client.cache_clear()
    with mocked_aws():
        boto3.client("dynamodb").create_table(
            TableName="told",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        sns, sqs = boto3.client("sns"), boto3.client("sqs")
        topic = sns.create_topic(Name="alerts")["TopicArn"]
        queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])
        monkeypatch.setenv("TOPIC_ARN", topic)
        yield queue
    clients._client.cache_clear()


def handler(name: str) -> ModuleType:
    return importlib.reload(importlib.import_module(f"quotas.handlers.{name}"))


def heard(queue: str) -> list[dict[str, Any]]:
    answer = boto3.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def event(asked: str = "dev-one", message: str = TEXT) -> dict[str, Any]:
    detail = {"environment": "dev", "asked": asked, "message": message, "where": "arn:execution"}
    return {"detail-type": "SageMaker Resource Limit Exceeded", "detail": detail}


def test_a_quota_that_was_hit_is_told_once_an_hour_per_asker(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = handler("tell")
    now = 1_800_000_000
    monkeypatch.setattr(tell.time, "time", lambda: now)
    assert tell.lambda_handler(event(), None) == {"told": True}
    (first,) = heard(aws)
    assert first["Subject"] == f"Quota hit: {TRAINING}"
    assert "--quota-code L-CCE2AFA6 --desired-value 2 --region eu-west-1" in first["Message"]
    assert tell.lambda_handler(event(), None) == {"told": False}
    now += SILENT_SECONDS - 1
    assert tell.lambda_handler(event(), None) == {"told": False}
    assert tell.lambda_handler(event(asked="dev-two"), None) == {"told": True}
    now += 1
    assert tell.lambda_handler(event(), None) == {"told": True}
    assert len(heard(aws)) == 2


def test_what_could_not_be_told_is_told_by_the_next_try(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = str(handler("tell").TOPIC)
    monkeypatch.setenv("TOPIC_ARN", f"{topic}-gone")
    with pytest.raises(ClientError):
        handler("tell").lambda_handler(event(), None)
    monkeypatch.setenv("TOPIC_ARN", topic)
    assert handler("tell").lambda_handler(event(), None) == {"told": True}
    assert len(heard(aws)) == 1


def test_whoever_was_killed_before_it_told_loses_no_message(aws: str) -> None:
    told = Told(boto3.client("dynamodb"), "told")
    assert told.claim("subject", now=1000)
    assert not told.claim("subject", now=1030)
    # Lambda tries again after a minute.
    assert told.claim("subject", now=1060)


def test_an_event_that_tells_of_no_quota_is_left_alone(aws: str) -> None:
    failed = {"EndpointName": "e", "EndpointArn": "arn", "FailureReason": "no ping"}
    other = {"detail-type": "SageMaker Endpoint State Change", "detail": failed}
    assert handler("tell").lambda_handler(other, None) == {"told": False}
    assert handler("tell").lambda_handler(event(message="in other words"), None) == {"told": True}
    (message,) = heard(aws)
    assert "in other words" in message["Message"]


class Pages:
    """A paginator of recorded pages."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = pages

    def paginate(self, **_: object) -> Iterator[dict[str, Any]]:
        yield from self.pages


class SageMaker:
    """Two jobs, a notebook, and endpoints: one updates, one was deleted, one lost its config."""

    def get_paginator(self, operation: str) -> Any:
        if operation == "list_training_jobs":
            return self
        if operation == "list_notebook_instances":
            running = {"InstanceType": "ml.t3.medium", "NotebookInstanceStatus": "InService"}
            stopped = {**running, "NotebookInstanceStatus": "Stopped"}
            return Pages({"NotebookInstances": [running]}, {"NotebookInstances": [stopped]})
        endpoints = [
            {"EndpointName": name, "EndpointStatus": status}
            for name, status in (
                ("steady", "InService"),
                ("changing", "Updating"),
                ("bad", "Failed"),
                ("orphan", "InService"),
                ("gone", "Deleting"),
            )
        ]
        return Pages({"Endpoints": endpoints[:1]}, {"Endpoints": endpoints[1:]})

    def paginate(self, StatusEquals: str, **_: object) -> Iterator[dict[str, Any]]:
        name = {"InProgress": "groups", "Stopping": "one"}[StatusEquals]
        yield {"TrainingJobSummaries": [{"TrainingJobName": name}]}

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        one = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1}
        two = {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2}
        groups = {"ResourceConfig": {"InstanceGroups": [one, two]}}
        return groups if TrainingJobName == "groups" else {"ResourceConfig": one}

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        if EndpointName == "gone":
            error: Any = {
                "Code": "ValidationException",
                "Message": 'Could not find endpoint "gone".',
            }
            raise ClientError({"Error": error}, "DescribeEndpoint")
        variants = [{"VariantName": "A", "CurrentInstanceCount": 3}]
        config = "deleted" if EndpointName == "orphan" else "config"
        steady = {"EndpointConfigName": config, "ProductionVariants": variants}
        pending = {"PendingDeploymentSummary": {"EndpointConfigName": "config"}}
        return steady | pending if EndpointName == "changing" else steady

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        if EndpointConfigName == "deleted":
            error: Any = {"Code": "ValidationException", "Message": "Could not find it"}
            raise ClientError({"Error": error}, "DescribeEndpointConfig")
        instances = {
            "VariantName": "A",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
        return {"ProductionVariants": [instances, {"VariantName": "B", "ServerlessConfig": {}}]}


class ServiceQuotas:
    """Ten of everything; the quota of notebooks was never changed, and one may be throttled."""

    class exceptions:
        class NoSuchResourceException(Exception):
            pass

    def __init__(self, throttled: str = "") -> None:
        self.throttled = throttled

    def get_service_quota(self, ServiceCode: str, QuotaCode: str) -> dict[str, Any]:
        assert ServiceCode == "sagemaker"
        name = table.names()[QuotaCode]
        if name == self.throttled:
            error: Any = {"Code": "TooManyRequestsException", "Message": "Slow down"}
            raise ClientError({"Error": error}, "GetServiceQuota")
        if name == NOTEBOOK:
            raise self.exceptions.NoSuchResourceException
        return {"Quota": {"Value": 10.0}}

    def get_aws_default_service_quota(self, ServiceCode: str, QuotaCode: str) -> dict[str, Any]:
        return {"Quota": {"Value": 2.0}}


def measure(monkeypatch: pytest.MonkeyPatch, throttled: str = "") -> ModuleType:
    module, real = handler("measure"), clients.client
    services: dict[str, Any] = {
        "sagemaker": SageMaker(),
        "service-quotas": ServiceQuotas(throttled),
        "cloudwatch": real("cloudwatch"),
    }
    monkeypatch.setattr(module, "client", services.__getitem__)
    return module


def published() -> set[str]:
    cloudwatch = boto3.client("cloudwatch")
    found = cloudwatch.list_metrics(Namespace="SageMakerPlatform/Quotas")["Metrics"]
    assert all(one["Dimensions"] == [{"Name": "Environment", "Value": "dev"}] for one in found)
    return {one["MetricName"] for one in found}


LEVELS = {
    TRAINING: 20,
    table.TOTAL["training"]: 40,
    # Three and three, and one more that the update brings.
    ENDPOINT: 70,
    # And three of whose type nobody knows any more.
    table.TOTAL["endpoint"]: 100,
    NOTEBOOK: 50,
}


def test_everything_that_has_instances_is_counted_page_by_page(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measure(monkeypatch).lambda_handler({}, None) == LEVELS
    assert published() == LEVELS.keys()


def test_a_throttled_quota_is_said_and_the_others_are_measured(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = measure(monkeypatch, throttled=ENDPOINT)
    with pytest.raises(module.LimitsUnknown, match=f"{ENDPOINT}: .*TooManyRequestsException"):
        module.lambda_handler({}, None)
    assert published() == LEVELS.keys() - {ENDPOINT}


@pytest.mark.parametrize(("name", "missing"), [("tell", "TOPIC_ARN"), ("measure", "QUOTAS")])
def test_a_function_without_its_settings_does_not_start(
    aws: str, monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    module = handler(name)
    monkeypatch.delenv(missing)
    with pytest.raises(RuntimeError, match=missing):
        importlib.reload(module)
