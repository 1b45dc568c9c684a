"""Quotas on the deployed platform: refused, told, asked for, granted and denied."""

import json
import shlex
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from quotas import table
from tests.local.support import (
    ALGORITHMS,
    DIGITS,
    ended,
    heard,
    invoke_function,
    job_request,
    occupying,
    until,
)
from tests.platform import LocalPlatform

# Types that no other test trains on, since quotas are everybody's.
TYPE, OTHER_TYPE = "ml.c5.9xlarge", "ml.c5.18xlarge"
TRAINING = f"{TYPE} for training job usage"
CODE = table.codes()[TRAINING]
WATCHED = "ml.m5.xlarge for training job usage"
ENDLESS = {"num_round": "100000", "objective": "multi:softmax", "num_class": "10"}
ANSWERED = ("Completed", "Failed", "Stopped")


def smp(platform: LocalPlatform, *arguments: str) -> str:
    done = platform.smp("quota", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def running(platform: LocalPlatform) -> Iterator[str]:
    """A job that uses one instance until the test ends."""
    sagemaker, name = platform.client("sagemaker"), f"quotas-{uuid4().hex[:8]}"
    request = job_request(platform, name, "xgboost", HyperParameters=ENDLESS)
    request["ResourceConfig"] = {**request["ResourceConfig"], "InstanceType": TYPE}
    with occupying(platform, request):
        yield name

    def over() -> bool:
        job = sagemaker.describe_training_job(TrainingJobName=name)
        return job["TrainingJobStatus"] in ANSWERED

    until(over, f"the end of {name}")


def increase(platform: LocalPlatform, command: str) -> dict[str, Any]:
    """Run the command of a message with boto3, as the AWS CLI would."""
    aws, service, operation, *options = shlex.split(command)
    assert (aws, service, operation) == (
        "aws",
        "service-quotas",
        "request-service-quota-increase",
    )
    given = dict(zip(options[::2], options[1::2], strict=True))
    filed: dict[str, Any] = platform.client(
        "service-quotas", region_name=given.pop("--region")
    ).request_service_quota_increase(
        ServiceCode=given.pop("--service-code"),
        QuotaCode=given.pop("--quota-code"),
        DesiredValue=float(given.pop("--desired-value")),
    )["RequestedQuota"]
    assert given == {}
    return filed


def start(platform: LocalPlatform, instance_type: str) -> str:
    """Begin the workflow with a job of that type."""
    bucket = platform.parameter("storage/data-bucket")
    platform.client("s3").put_object(
        Bucket=bucket, Key="quotas/train/digits.csv", Body=DIGITS.train.encode()
    )
    channel = {"s3_uri": f"s3://{bucket}/quotas/train/", "content_type": "text/csv"}
    request = {
        "algorithm": "xgboost",
        "hyperparameters": {"num_round": 3, "objective": "multi:softmax", "num_class": 10},
        "channels": {"train": channel},
        "instance_types": [instance_type],
    }
    execution: str = platform.client("stepfunctions").start_execution(
        stateMachineArn=platform.parameter("training/state-machine-arn"),
        name=f"quotas-{uuid4().hex[:12]}",
        input=json.dumps(request),
    )["executionArn"]
    return execution


def test_a_job_over_its_quota_is_told_at_once_with_the_command_that_asks_for_more(
    platform: LocalPlatform, alerts: str, running: str
) -> None:
    assert f"{TRAINING} ({CODE}) is 1 now." in smp(platform, "set", TRAINING, "1")
    sagemaker = platform.client("sagemaker")
    request = job_request(platform, f"{running}-second", "xgboost")
    request["ResourceConfig"] = {**request["ResourceConfig"], "InstanceType": TYPE}
    with pytest.raises(sagemaker.exceptions.ResourceLimitExceeded) as refused:
        sagemaker.create_training_job(**request)
    text = (
        f"The account-level service limit '{TRAINING}' is 1 Instances, with current utilization of "
        "1 Instances and a request delta of 1 Instances."
    )
    assert text in str(refused.value)
    row = next(line for line in smp(platform, "--name", TYPE).splitlines() if CODE in line)
    assert row.split()[-5:] == ["1", "1", "100", "%", "yes"]

    execution = ended(platform, start(platform, TYPE))
    assert (execution["status"], execution["error"]) == ("FAILED", "ResourceLimitExceeded")
    assert text in execution["cause"]
    message = heard(platform, alerts, "Quota hit", TRAINING)
    lines = [line.strip() for line in message["Message"].splitlines()]
    assert message["Subject"] == f"Quota hit: {TRAINING}"
    assert {f"quota code: {CODE}", "limit: 1 Instances", "in use: 1 Instances"} <= set(lines)
    assert any(line.startswith("asked by: local-") for line in lines)
    assert f"in: {execution['executionArn']}" in lines

    (command,) = [line for line in lines if line.startswith("aws ")]
    filed = increase(platform, command)
    assert (filed["QuotaName"], filed["DesiredValue"]) == (TRAINING, 2)
    quotas = platform.client("service-quotas")
    asked = {"ServiceCode": "sagemaker", "QuotaCode": CODE}
    with pytest.raises(quotas.exceptions.ResourceAlreadyExistsException):
        increase(platform, command)

    assert "DENIED" in smp(platform, "deny", filed["Id"])
    assert quotas.get_service_quota(**asked)["Quota"]["Value"] == 1
    history = quotas.list_requested_service_quota_change_history_by_quota(**asked)
    assert [one["Status"] for one in history["RequestedQuotas"]] == ["DENIED"]
    with pytest.raises(ClientError, match="ResourceLimitExceeded"):
        sagemaker.create_training_job(**request)

    smp(platform, "approve", increase(platform, command)["Id"])
    listed = smp(platform, "requests")
    assert "APPROVED" in listed and "DENIED" in listed
    assert ended(platform, start(platform, TYPE))["status"] == "SUCCEEDED"


def test_a_quota_below_what_is_in_use_lets_what_runs_go_on(
    platform: LocalPlatform, running: str
) -> None:
    smp(platform, "set", CODE, "0")
    execution = ended(platform, start(platform, TYPE))
    assert f"'{TRAINING}' is 0 Instances, with current utilization of 1" in execution["cause"]
    job = platform.client("sagemaker").describe_training_job(TrainingJobName=running)
    assert job["TrainingJobStatus"] == "InProgress"
    done = platform.smp("quota", "set", "nonsense", "1")
    assert done.returncode == 1
    assert "nonsense is none that is enforced here" in done.stderr


def test_the_same_event_twice_is_one_message(platform: LocalPlatform, alerts: str) -> None:
    who, text = f"twice-{uuid4().hex[:8]}", "in words that nobody knows"
    detail = {"environment": "local", "asked": who, "message": text, "where": ""}
    event = {"detail-type": "SageMaker Resource Limit Exceeded", "detail": detail}
    answers = [invoke_function(platform, "quotas.handlers.tell", event) for _ in range(2)]
    assert answers == [{"told": True}, {"told": False}]
    assert text in heard(platform, alerts, who)["Message"]


def test_a_quota_that_is_used_up_raises_its_alarm(platform: LocalPlatform, alerts: str) -> None:
    # Nobody else may find this quota at nothing.
    platform.faults({})
    before = platform.client("service-quotas").get_service_quota(
        ServiceCode="sagemaker", QuotaCode=table.codes()[WATCHED]
    )["Quota"]["Value"]
    try:
        smp(platform, "set", WATCHED, "0")
        assert invoke_function(platform, "quotas.handlers.measure", {})[WATCHED] == 100
        heard(platform, alerts, "ALARM", WATCHED)
    finally:
        smp(platform, "set", WATCHED, f"{before:g}")
    metrics = platform.client("cloudwatch").list_metrics(Namespace="SageMakerPlatform/Quotas")
    assert WATCHED in {metric["MetricName"] for metric in metrics["Metrics"]}


def test_throttled_limits_are_said_and_the_others_are_measured(platform: LocalPlatform) -> None:
    # More often than the function asks again, though its schedule may have it run at this moment.
    platform.faults({"throttle": {"GetServiceQuota": 12}})
    with pytest.raises(AssertionError, match="LimitsUnknown"):
        invoke_function(platform, "quotas.handlers.measure", {})
    platform.faults({})
    measured = invoke_function(platform, "quotas.handlers.measure", {})
    assert WATCHED in measured


def test_an_endpoint_over_its_quota_is_refused_and_told_whoever_deploys_it(
    platform: LocalPlatform, hosting_role: str, alerts: str
) -> None:
    sagemaker, name = platform.client("sagemaker"), f"quotas-{uuid4().hex[:8]}"
    smp(platform, "set", f"{OTHER_TYPE} for endpoint usage", "1")
    model = {
        "Image": ALGORITHMS["kmeans"]["image"],
        "ModelDataUrl": f"s3://{platform.parameter('storage/models-bucket')}/none",
    }
    sagemaker.create_model(ModelName=name, PrimaryContainer=model, ExecutionRoleArn=hosting_role)
    variant = {
        "VariantName": "A",
        "ModelName": name,
        "InstanceType": OTHER_TYPE,
        "InitialInstanceCount": 2,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    with pytest.raises(ClientError, match="request delta of 2 Instances") as refused:
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert refused.value.response["Error"]["Code"] == "ResourceLimitExceeded"

    stack = f"sagemaker-platform-local-{name}"
    endpoint = {
        "Type": "AWS::SageMaker::Endpoint",
        "Properties": {"EndpointName": name, "EndpointConfigName": name},
    }
    cloudformation = platform.client("cloudformation")
    stack_id = cloudformation.create_stack(
        StackName=stack, TemplateBody=json.dumps({"Resources": {"Endpoint": endpoint}})
    )["StackId"]
    message = heard(platform, alerts, "Quota hit", f"{OTHER_TYPE} for endpoint usage")
    assert f"in: {stack_id}" in message["Message"]
    assert "limit: 1 Instances" in message["Message"]
    cloudformation.delete_stack(StackName=stack)
