import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape

from local.sagemaker.errors import ServiceError
from local.sagemaker.permissions import Permission
from local.sagemaker.service import SageMakerService
from local.sagemaker.validation import _compiled, operation_model
from tests.unit.sagemaker.surroundings import (
    ACCOUNT,
    BUCKET,
    IMAGE,
    ROLE,
    TestAws,
    job_request,
    train,
)

ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:"
SPECIFICATION = {
    "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/m.tar.gz"}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}


def refusal(call: Callable[[], object]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        (
            "DescribeTrainingJob",
            {"TrainingJobName": "-bad-"},
            "1 validation error detected: Value '-bad-' at 'trainingJobName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: "
            "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            "DescribeTrainingJob",
            {},
            "1 validation error detected: Value null at 'trainingJobName' failed to satisfy "
            "constraint: Member must not be null",
        ),
        (
            "CreateEndpointConfig",
            {"EndpointConfigName": "c", "ProductionVariants": []},
            "1 validation error detected: Value '[]' at 'productionVariants' failed to satisfy "
            "constraint: Member must have length greater than or equal to 1",
        ),
        (
            "ListModels",
            {"MaxResults": 0, "SortOrder": "Sideways"},
            "2 validation errors detected: Value '0' at 'maxResults' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1; Value 'Sideways' at 'sortOrder' "
            "failed to satisfy constraint: Member must satisfy enum value set: "
            "[Ascending, Descending]",
        ),
        (
            "AddTags",
            {"ResourceArn": f"{ARN}model/m", "Tags": [{"Key": "a", "Value": "x" * 257}]},
            f"1 validation error detected: Value '{'x' * 257}' at 'tags.1.member.value' failed to "
            "satisfy constraint: Member must have length less than or equal to 256",
        ),
        (
            "CreateModel",
            {"ModelName": "m", "PrimaryContainer": {"Environment": {"1": "x"}}},
            "1 validation error detected: Value '{'1': 'x'}' at 'primaryContainer.environment' "
            "failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy "
            "regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]",
        ),
    ],
)
def test_requests_are_checked_against_the_model_of_aws_in_its_words(
    sagemaker: SageMakerService, operation: str, params: dict[str, Any], message: str
) -> None:
    error = refusal(lambda: sagemaker.call(operation, params))
    assert (error.code, error.status) == ("ValidationException", 400)
    assert error.message == message


@pytest.mark.parametrize(
    ("params", "words"),
    [({"MaxResults": "many"}, "Invalid type"), ({"Maximum": 3}, "Unknown parameter")],
)
def test_what_is_no_parameter_of_the_operation_is_refused(
    sagemaker: SageMakerService, params: dict[str, Any], words: str
) -> None:
    error = refusal(lambda: sagemaker.call("ListModels", params))
    assert error.code == "SerializationException"
    assert words in error.message


def test_every_pattern_of_an_operation_that_is_offered_can_be_checked(
    sagemaker: SageMakerService,
) -> None:
    offered = refusal(lambda: sagemaker.call("CreateProcessingJob", {})).message
    seen: set[str] = set()

    def check(shape: Shape) -> None:
        if shape.name in seen:
            return
        seen.add(shape.name)
        if shape.metadata.get("pattern"):
            _compiled(shape.metadata["pattern"])
        for inner in (
            [*shape.members.values()]
            if isinstance(shape, StructureShape)
            else [shape.member]
            if isinstance(shape, ListShape)
            else [shape.key, shape.value]
            if isinstance(shape, MapShape)
            else []
        ):
            check(inner)

    for operation in re.findall(r"[A-Z][A-Za-z]+", offered.rpartition("offers: ")[2]):
        shape = operation_model(operation).input_shape
        assert shape
        check(shape)
    assert len(seen) > 300


def test_text_of_any_language_may_stand_where_aws_lets_it(sagemaker: SageMakerService) -> None:
    described = {"ModelPackageGroupDescription": "Ziffern: é, 数字 + ok!"}
    sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g", **described})
    error = refusal(
        lambda: sagemaker.call(
            "CreateModelPackageGroup",
            {"ModelPackageGroupName": "h", "ModelPackageGroupDescription": "a\0b"},
        )
    )
    assert "regular expression pattern" in error.message


def test_what_is_not_offered_yet_is_never_pretended(sagemaker: SageMakerService) -> None:
    error = refusal(lambda: sagemaker.call("CreateProcessingJob", {}))
    assert error.code == "UnknownOperationException"
    assert "does not offer yet" in error.message and "CreateTrainingJob" in error.message
    assert refusal(lambda: sagemaker.call("MakeCoffee", {})).status == 404


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("DescribeTrainingJob", {"TrainingJobName": "x"}, "Requested resource not found."),
        ("StopTrainingJob", {"TrainingJobName": "x"}, "Requested resource not found."),
        ("DescribeModel", {"ModelName": "x"}, f'Could not find model "{ARN}model/x".'),
        ("DeleteModel", {"ModelName": "x"}, f'Could not find model "{ARN}model/x".'),
        (
            "DescribeEndpointConfig",
            {"EndpointConfigName": "x"},
            f'Could not find endpoint configuration "{ARN}endpoint-config/x".',
        ),
        (
            "CreateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "x"},
            f'Could not find endpoint configuration "{ARN}endpoint-config/x".',
        ),
        ("DeleteEndpoint", {"EndpointName": "x"}, f'Could not find endpoint "{ARN}endpoint/x".'),
        (
            "DescribeModelPackageGroup",
            {"ModelPackageGroupName": "x"},
            f"ModelPackageGroup {ARN}model-package-group/x does not exist.",
        ),
        (
            "DescribeModelPackage",
            {"ModelPackageName": "x/1"},
            f"ModelPackage {ARN}model-package/x/1 does not exist.",
        ),
        (
            "ListTags",
            {"ResourceArn": f"{ARN}model/x"},
            f'Could not find resource "{ARN}model/x".',
        ),
    ],
)
def test_what_is_not_there_is_told_in_the_words_of_aws(
    sagemaker: SageMakerService, operation: str, params: dict[str, Any], message: str
) -> None:
    error = refusal(lambda: sagemaker.call(operation, params))
    assert (error.code, error.message) == ("ValidationException", message)


def _model(sagemaker: SageMakerService, name: str, **changes: object) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/m.tar.gz"}
    sagemaker.call(
        "CreateModel",
        {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container, **changes},
    )


def test_listings_page_filter_and_sort(sagemaker: SageMakerService) -> None:
    for number in range(25):
        _model(sagemaker, f"{'even' if number % 2 == 0 else 'odd'}-{number:02}")
    newest = sagemaker.call("ListModels", {})
    assert [m["ModelName"] for m in newest["Models"][:2]] == ["even-24", "odd-23"]
    assert len(newest["Models"]) == 10
    names: list[str] = []
    token: dict[str, str] = {}
    asked = {"MaxResults": 5, "NameContains": "ODD", "SortBy": "Name", "SortOrder": "Ascending"}
    while True:
        page = sagemaker.call("ListModels", {**asked, **token})
        names += [model["ModelName"] for model in page["Models"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert names == [f"odd-{number:02}" for number in range(1, 25, 2)]
    assert sagemaker.call("ListModels", {"CreationTimeAfter": time.time() + 9})["Models"] == []
    error = refusal(lambda: sagemaker.call("ListModels", {"NextToken": "rubbish"}))
    assert "not one of this listing" in error.message
    error = refusal(lambda: sagemaker.call("ListModels", {**token}))
    assert "not one of this listing" in error.message


def test_training_jobs_are_listed_by_status(sagemaker: SageMakerService) -> None:
    train(sagemaker, "good")
    train(sagemaker, "bad", HyperParameters={"exit": "1"})
    listed = sagemaker.call("ListTrainingJobs", {"StatusEquals": "Failed"})
    (job,) = listed["TrainingJobSummaries"]
    assert (job["TrainingJobName"], job["TrainingJobStatus"]) == ("bad", "Failed")
    names = [
        j["TrainingJobName"]
        for j in sagemaker.call("ListTrainingJobs", {"SortBy": "Name", "SortOrder": "Ascending"})[
            "TrainingJobSummaries"
        ]
    ]
    assert names == ["bad", "good"]


def test_no_monitoring_schedule_is_the_truth(sagemaker: SageMakerService) -> None:
    assert sagemaker.call("ListMonitoringSchedules", {}) == {"MonitoringScheduleSummaries": []}


def test_tags_come_at_creation_and_are_added_listed_and_deleted(
    sagemaker: SageMakerService,
) -> None:
    _model(sagemaker, "m", Tags=[{"Key": "b", "Value": "1"}])
    arn = {"ResourceArn": f"{ARN}model/m"}
    sagemaker.call("AddTags", {**arn, "Tags": [{"Key": "a", "Value": "2"}]})
    assert sagemaker.call("ListTags", arn)["Tags"] == [
        {"Key": "a", "Value": "2"},
        {"Key": "b", "Value": "1"},
    ]
    sagemaker.call("DeleteTags", {**arn, "TagKeys": ["b", "none"]})
    assert [tag["Key"] for tag in sagemaker.call("ListTags", arn)["Tags"]] == ["a"]
    many = [{"Key": str(n), "Value": ""} for n in range(50)]
    assert "at most 50" in refusal(lambda: sagemaker.call("AddTags", {**arn, "Tags": many})).message
    reserved = [{"Key": "AWS:x", "Value": ""}]
    error = refusal(lambda: sagemaker.call("AddTags", {**arn, "Tags": reserved}))
    assert "reserved" in error.message
    sagemaker.call("DeleteModel", {"ModelName": "m"})
    assert "Could not find" in refusal(lambda: sagemaker.call("ListTags", arn)).message


@pytest.mark.parametrize(
    ("operation", "request_", "listing"),
    [
        ("CreateTrainingJob", job_request("m"), ("ListTrainingJobs", "TrainingJobSummaries")),
        (
            "CreateModel",
            {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": IMAGE}},
            ("ListModels", "Models"),
        ),
        (
            "CreateModelPackageGroup",
            {"ModelPackageGroupName": "m"},
            ("ListModelPackageGroups", "ModelPackageGroupSummaryList"),
        ),
        (
            "CreateModelPackage",
            {"ModelPackageName": "m", "InferenceSpecification": SPECIFICATION},
            ("ListModelPackages", "ModelPackageSummaryList"),
        ),
    ],
)
def test_a_creation_whose_tags_are_refused_leaves_nothing(
    sagemaker: SageMakerService,
    operation: str,
    request_: dict[str, Any],
    listing: tuple[str, str],
) -> None:
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    error = refusal(lambda: sagemaker.call(operation, {**request_, "Tags": twice}))
    assert "Duplicate tag keys" in error.message
    assert sagemaker.call(listing[0], {})[listing[1]] == []


def test_who_hears_of_a_package_can_register_the_next(
    sagemaker: SageMakerService, aws: TestAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g"})
    registered: list[int] = []

    def hear(_: str, detail: dict[str, Any], __: object) -> None:
        if detail["ModelPackageVersion"] == 1:
            following = threading.Thread(target=_package, args=[sagemaker], daemon=True)
            following.start()
            following.join(60)
            listed = sagemaker.call("ListModelPackages", {"ModelPackageGroupName": "g"})
            registered.append(len(listed["ModelPackageSummaryList"]))

    monkeypatch.setattr(aws, "put_event", hear)
    _package(sagemaker)
    assert registered == [2]


def _package(sagemaker: SageMakerService, **changes: object) -> str:
    request = {
        "ModelPackageGroupName": "g",
        "InferenceSpecification": SPECIFICATION,
        "SamplePayloadUrl": "s3://data/sample",
        "ModelMetrics": {
            "ModelQuality": {
                "Statistics": {"ContentType": "application/json", "S3Uri": "s3://data/metrics"}
            }
        },
        **changes,
    }
    return str(sagemaker.call("CreateModelPackage", request)["ModelPackageArn"])


def test_packages_are_versions_of_their_group(sagemaker: SageMakerService, aws: TestAws) -> None:
    sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g"})
    arns = [_package(sagemaker) for _ in range(3)]
    assert arns == [f"{ARN}model-package/g/{version}" for version in (1, 2, 3)]
    sagemaker.call("DeleteModelPackage", {"ModelPackageName": arns[2]})
    assert _package(sagemaker) == f"{ARN}model-package/g/4"
    shown = sagemaker.call("DescribeModelPackage", {"ModelPackageName": arns[0]})
    assert shown["ModelPackageVersion"] == 1
    assert shown["ModelApprovalStatus"] == "PendingManualApproval"
    assert shown["ModelPackageStatus"] == "Completed"
    assert shown["SamplePayloadUrl"] == "s3://data/sample"
    assert shown["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == "s3://data/metrics"
    sagemaker.call(
        "UpdateModelPackage",
        {
            "ModelPackageArn": arns[0],
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": "good",
            "CustomerMetadataProperties": {"a": "1", "b": "2"},
        },
    )
    sagemaker.call(
        "UpdateModelPackage",
        {"ModelPackageArn": arns[0], "CustomerMetadataPropertiesToRemove": ["a"]},
    )
    shown = sagemaker.call("DescribeModelPackage", {"ModelPackageName": arns[0]})
    assert shown["ApprovalDescription"] == "good"
    assert shown["CustomerMetadataProperties"] == {"b": "2"}
    listed = sagemaker.call(
        "ListModelPackages", {"ModelPackageGroupName": "g", "ModelApprovalStatus": "Approved"}
    )["ModelPackageSummaryList"]
    assert [package["ModelPackageVersion"] for package in listed] == [1]
    detail_type, detail, resources = aws.events[-1]
    assert detail_type == "SageMaker Model Package State Change"
    assert resources == [arns[0]]
    assert detail["ModelApprovalStatus"] == "Approved"
    assert detail["CreationTime"].endswith("Z")


def test_the_same_client_token_makes_one_package(sagemaker: SageMakerService) -> None:
    sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g"})
    first = _package(sagemaker, ClientToken="one")
    assert _package(sagemaker, ClientToken="one") == first
    assert _package(sagemaker, ClientToken="two") != first
    error = refusal(lambda: _package(sagemaker, ClientToken="one", Task="OTHER"))
    assert error.code == "ConflictException"


def test_a_group_with_packages_is_not_deleted(sagemaker: SageMakerService) -> None:
    group = {"ModelPackageGroupName": "g"}
    sagemaker.call("CreateModelPackageGroup", group)
    assert (
        "already exists"
        in refusal(lambda: sagemaker.call("CreateModelPackageGroup", group)).message
    )
    arn = _package(sagemaker)
    error = refusal(lambda: sagemaker.call("DeleteModelPackageGroup", group))
    assert error.code == "ConflictException"
    sagemaker.call("DeleteModelPackage", {"ModelPackageName": arn})
    sagemaker.call("DeleteModelPackageGroup", group)
    assert sagemaker.call("ListModelPackageGroups", {})["ModelPackageGroupSummaryList"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ModelPackageName": "x"}, "Exactly one of"),
        ({"ModelPackageGroupName": "none"}, "model-package-group/none does not exist"),
        ({"CertifyForMarketplace": True}, "leave CertifyForMarketplace out"),
    ],
)
def test_a_package_that_cannot_be_is_refused(
    sagemaker: SageMakerService, changes: dict[str, object], words: str
) -> None:
    sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g"})
    assert words in refusal(lambda: _package(sagemaker, **changes)).message


def _needs(sagemaker: SageMakerService, operation: str, params: dict[str, Any]) -> list[Permission]:
    return sagemaker.required_permissions(operation, params)


def test_creating_a_job_takes_the_action_the_tags_and_the_role(
    sagemaker: SageMakerService,
) -> None:
    request = job_request(
        "Job",
        Tags=[{"Key": "team", "Value": "one"}],
        EnableNetworkIsolation=True,
        EnableInterContainerTrafficEncryption=False,
    )
    request["ResourceConfig"]["VolumeKmsKeyId"] = "volume"
    request["OutputDataConfig"]["KmsKeyId"] = "output"
    create, tag, pass_role = _needs(sagemaker, "CreateTrainingJob", request)
    assert (create.action, create.resource) == (
        "sagemaker:CreateTrainingJob",
        f"{ARN}training-job/Job",
    )
    assert create.context == {
        "aws:RequestTag/team": "one",
        "aws:TagKeys": ["team"],
        "sagemaker:NetworkIsolation": "true",
        "sagemaker:InterContainerTrafficEncryption": "false",
        "sagemaker:InstanceTypes": ["ml.m5.xlarge"],
        "sagemaker:MaxRuntimeInSeconds": "60",
        "sagemaker:VolumeKmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/volume",
        "sagemaker:OutputKmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/output",
    }
    assert (tag.action, tag.resource) == ("sagemaker:AddTags", create.resource)
    assert tag.context["aws:RequestTag/team"] == "one"
    assert pass_role == Permission(
        "iam:PassRole", ROLE, {"iam:PassedToService": "sagemaker.amazonaws.com"}
    )


@pytest.mark.parametrize(
    ("operation", "params", "expected"),
    [
        (
            "UpdateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            [
                ("sagemaker:UpdateEndpoint", "endpoint/e"),
                ("sagemaker:UpdateEndpoint", "endpoint-config/c"),
            ],
        ),
        ("InvokeEndpoint", {"EndpointName": "e"}, [("sagemaker:InvokeEndpoint", "endpoint/e")]),
        (
            "CreateModelPackage",
            {"ModelPackageGroupName": "g"},
            [("sagemaker:CreateModelPackage", "model-package/g/1")],
        ),
        (
            "DescribeModelPackage",
            {"ModelPackageName": f"{ARN}model-package/g/2"},
            [("sagemaker:DescribeModelPackage", "model-package/g/2")],
        ),
        (
            "UpdateModelPackage",
            {"ModelPackageArn": f"{ARN}model-package/g/2"},
            [("sagemaker:UpdateModelPackage", "model-package/g/2")],
        ),
        (
            "ListModelPackages",
            {"ModelPackageGroupName": "g"},
            [("sagemaker:ListModelPackages", "model-package/g/*")],
        ),
        ("AddTags", {"ResourceArn": f"{ARN}model/m"}, [("sagemaker:AddTags", "model/m")]),
    ],
)
def test_an_operation_is_authorized_on_what_it_touches(
    sagemaker: SageMakerService,
    operation: str,
    params: dict[str, Any],
    expected: list[tuple[str, str]],
) -> None:
    needed = _needs(sagemaker, operation, params)
    assert [(p.action, p.resource) for p in needed] == [(a, ARN + r) for a, r in expected]


def test_listings_are_authorized_on_everything(sagemaker: SageMakerService) -> None:
    assert _needs(sagemaker, "ListModels", {}) == [Permission("sagemaker:ListModels", "*")]


def test_models_and_configurations_have_their_condition_keys(sagemaker: SageMakerService) -> None:
    network = {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    create, pass_role = _needs(
        sagemaker,
        "CreateModel",
        {
            "ModelName": "m",
            "EnableNetworkIsolation": True,
            "VpcConfig": network,
            "ExecutionRoleArn": ROLE,
        },
    )
    assert create.context == {
        "sagemaker:NetworkIsolation": "true",
        "sagemaker:VpcSubnets": ["subnet-1", "subnet-2"],
        "sagemaker:VpcSecurityGroupIds": ["sg-1"],
    }
    assert pass_role.resource == ROLE
    variants = [{"InstanceType": "ml.m5.large", "ModelName": "M"}]
    (create,) = _needs(
        sagemaker,
        "CreateEndpointConfig",
        {"EndpointConfigName": "c", "ProductionVariants": variants, "KmsKeyId": "key"},
    )
    assert create.context == {
        "sagemaker:InstanceTypes": ["ml.m5.large"],
        "sagemaker:ModelArn": f"{ARN}model/M",
        "sagemaker:VolumeKmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/key",
    }


@pytest.mark.parametrize("value", [None, 3, [], {}, "x", [3], [{"Key": 3}]])
def test_permissions_are_told_for_whatever_was_sent(
    sagemaker: SageMakerService, value: object
) -> None:
    names = ("TrainingJobName", "Tags", "RoleArn", "ResourceConfig", "OutputDataConfig")
    for operation in ("CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "AddTags", ""):
        _needs(sagemaker, operation, dict.fromkeys([*names, "PrimaryContainer"], value))


def test_faults_are_counted_down_and_taken_away(sagemaker: SageMakerService) -> None:
    sagemaker.faults.configure({"throttle": {"ListModels": 2}})
    for _ in range(2):
        error = refusal(lambda: sagemaker.call("ListModels", {}))
        assert (error.code, error.message) == ("ThrottlingException", "Rate exceeded")
    sagemaker.call("ListModels", {})
    sagemaker.faults.configure({"throttle": {"ListModels": 2}})
    sagemaker.faults.configure({})
    sagemaker.call("ListModels", {})
    with pytest.raises(ValueError, match=r"no fault\. Faults are: drop_events"):
        sagemaker.faults.configure({"earthquake": 1})
    with pytest.raises(TypeError, match="must be of type int"):
        sagemaker.faults.configure({"capacity": "much"})


def test_events_are_lost_or_doubled_on_demand(sagemaker: SageMakerService, aws: TestAws) -> None:
    sagemaker.faults.configure({"drop_events": 1, "event_status": "Completed"})
    train(sagemaker, "lost")
    assert [d["SecondaryStatus"] for _, d, _ in aws.events][-1] == "Uploading"
    aws.events.clear()
    sagemaker.faults.configure({"duplicate_events": 2})
    train(sagemaker, "doubled")
    assert [d["SecondaryStatus"] for _, d, _ in aws.events][:5] == [
        "Starting",
        "Starting",
        "Downloading",
        "Downloading",
        "Training",
    ]


def test_a_bus_that_fails_stops_no_job(
    sagemaker: SageMakerService, aws: TestAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ConnectionError("no bus")

    monkeypatch.setattr(aws, "put_event", fail)
    assert train(sagemaker, "quiet")["TrainingJobStatus"] == "Completed"
