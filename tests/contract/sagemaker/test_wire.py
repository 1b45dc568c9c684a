import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from types_boto3_s3 import S3Client
from types_boto3_sagemaker import SageMakerClient
from types_boto3_sagemaker_runtime import SageMakerRuntimeClient

from local.sagemaker.service import SageMakerService
from local.sagemaker.validation import operation_model
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    IMAGE,
    ROLE,
    TestAws,
    archive,
    job_request,
    told,
    train,
)

EVENTS = Path(__file__).with_name("events")


def _is_as_modelled(operation: str, answer: dict[str, Any]) -> None:
    shape = operation_model(operation).output_shape
    assert shape
    report = ParamValidator().validate(answer, shape)
    assert not report.has_errors(), report.generate_report()


def _endpoint(client: SageMakerClient, bucket: S3Client) -> None:
    bucket.put_object(Bucket=BUCKET, Key="m.tar.gz", Body=archive({"weights": "w"}))
    container: Any = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/m.tar.gz"}
    client.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    client.create_endpoint_config(
        EndpointConfigName="c",
        ProductionVariants=[
            {
                "VariantName": "A",
                "ModelName": "m",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
    )
    client.create_endpoint(EndpointName="e", EndpointConfigName="c")
    client.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig={"Delay": 1})


def test_boto3_trains_waits_and_describes(client: SageMakerClient) -> None:
    client.create_training_job(**job_request("job", HyperParameters={"print": '["loss=1.5"]'}))
    client.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="job", WaiterConfig={"Delay": 1}
    )
    job = client.describe_training_job(TrainingJobName="job")
    assert datetime.now(UTC) - job["CreationTime"] < timedelta(minutes=1)
    assert job["FinalMetricDataList"][0]["Value"] == 1.5
    after = datetime.now(UTC) - timedelta(hours=1)
    pages = client.get_paginator("list_training_jobs").paginate(CreationTimeAfter=after)
    assert [s["TrainingJobName"] for p in pages for s in p["TrainingJobSummaries"]] == ["job"]
    before = client.list_training_jobs(CreationTimeBefore=after)
    assert before["TrainingJobSummaries"] == []


def test_boto3_serves_and_invokes(
    client: SageMakerClient, runtime: SageMakerRuntimeClient, bucket: S3Client
) -> None:
    _endpoint(client, bucket)
    answer = runtime.invoke_endpoint(
        EndpointName="e", ContentType="text/csv", Body=b"1", TargetVariant="A"
    )
    assert json.loads(answer["Body"].read())["weights"] == "w"
    assert answer["InvokedProductionVariant"] == "A"
    assert answer["ContentType"] == "application/json"
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName="e", Body=b"1", CustomAttributes="status=415")
    response: Any = caught.value.response
    assert response["OriginalStatusCode"] == 415
    assert response["OriginalMessage"] == "so be it"
    assert response["LogStreamArn"].startswith("arn:aws:logs:us-east-1:")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    with pytest.raises(runtime.exceptions.ValidationError, match=r"none of account \d+ not found"):
        runtime.invoke_endpoint(EndpointName="none", Body=b"1")
    with pytest.raises(ClientError, match=r"\(413\).*HTTP content length exceeded 6291456 bytes"):
        runtime.invoke_endpoint(EndpointName="e", Body=b"1" * 6_291_457)


def test_boto3_finds_the_errors_of_aws(
    client: SageMakerClient, sagemaker: SageMakerService
) -> None:
    train(sagemaker, "job")
    with pytest.raises(client.exceptions.ResourceInUse):
        client.create_training_job(**job_request("job"))
    with pytest.raises(ClientError) as caught:
        client.describe_training_job(TrainingJobName="none")
    assert str(caught.value) == (
        "An error occurred (ValidationException) when calling the DescribeTrainingJob operation: "
        "Requested resource not found."
    )
    sagemaker.faults.configure({"throttle": {"ListModels": 1}})
    # botocore itself knows the code and calls again.
    assert client.list_models()["ResponseMetadata"]["RetryAttempts"] == 1


def test_every_answer_is_as_the_model_of_aws_has_it(
    client: SageMakerClient, sagemaker: SageMakerService, bucket: S3Client
) -> None:
    train(sagemaker, "good", HyperParameters={"print": '["loss=1"]'})
    train(sagemaker, "bad", HyperParameters={"exit": "1"})
    _endpoint(client, bucket)
    sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g"}, caller_arn=ROLE)
    package = {
        "ModelPackageGroupName": "g",
        "InferenceSpecification": {"Containers": [{"Image": IMAGE}]},
    }
    arn = sagemaker.call("CreateModelPackage", package, caller_arn=ROLE)["ModelPackageArn"]
    update = {"ModelPackageArn": arn, "ModelApprovalStatus": "Rejected"}
    sagemaker.call("UpdateModelPackage", update)
    asked: list[tuple[str, dict[str, str]]] = [
        ("DescribeTrainingJob", {"TrainingJobName": "good"}),
        ("DescribeTrainingJob", {"TrainingJobName": "bad"}),
        ("DescribeModel", {"ModelName": "m"}),
        ("DescribeEndpointConfig", {"EndpointConfigName": "c"}),
        ("DescribeEndpoint", {"EndpointName": "e"}),
        ("DescribeModelPackageGroup", {"ModelPackageGroupName": "g"}),
        ("DescribeModelPackage", {"ModelPackageName": arn}),
        ("ListTrainingJobs", {}),
        ("ListModels", {}),
        ("ListEndpointConfigs", {}),
        ("ListEndpoints", {}),
        ("ListModelPackageGroups", {}),
        ("ListModelPackages", {"ModelPackageGroupName": "g"}),
        ("ListMonitoringSchedules", {}),
        ("ListTags", {"ResourceArn": arn}),
    ]
    for operation, params in asked:
        _is_as_modelled(operation, sagemaker.call(operation, params))


def _has_the_form_of(ours: object, recorded: object, path: str = "detail") -> None:
    if isinstance(recorded, dict) and isinstance(ours, dict):
        for name in ours.keys() & recorded.keys():
            _has_the_form_of(ours[name], recorded[name], f"{path}.{name}")
    elif isinstance(recorded, bool) or not isinstance(recorded, int | float):
        assert isinstance(ours, type(recorded)), f"{path}: {ours!r}, but AWS has {recorded!r}"
    else:
        assert isinstance(ours, int | float), f"{path}: {ours!r}, but AWS has {recorded!r}"


@pytest.mark.parametrize(
    ("kind", "absent"),
    [
        ("training_job", {"VpcConfig"}),
        ("endpoint", set()),
        # A package is registered here by a caller, not by a pipeline.
        ("model_package", {"MetadataProperties", "ModelMetrics"}),
    ],
)
def test_events_have_the_members_and_types_of_recorded_ones(
    client: SageMakerClient,
    sagemaker: SageMakerService,
    bucket: S3Client,
    aws: TestAws,
    kind: str,
    absent: set[str],
) -> None:
    if kind == "training_job":
        train(sagemaker, "job", HyperParameters={"weights": "1"})
    elif kind == "endpoint":
        _endpoint(client, bucket)
        told(aws, "EndpointStatus", "IN_SERVICE")
    else:
        sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g"})
        sagemaker.call(
            "CreateModelPackage",
            {
                "ModelPackageGroupName": "g",
                "InferenceSpecification": {"Containers": [{"Image": IMAGE}]},
            },
        )
    recorded = json.loads((EVENTS / f"{kind}.json").read_text())
    detail_type, detail, resources = aws.events[-1]
    assert detail_type == recorded["detail-type"]
    assert len(resources) == len(recorded["resources"])
    missing = recorded["detail"].keys() - detail.keys() - absent
    assert not missing
    _has_the_form_of(detail, recorded["detail"])
