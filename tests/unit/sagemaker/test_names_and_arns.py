"""In which case names are kept, compared and found, and what an ARN finds."""

from collections.abc import Callable
from typing import Any

import pytest

from local.sagemaker.arns import Arns
from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import ACCOUNT, BUCKET, IMAGE, REGION, ROLE, TestAws

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:"
GROUP = "FraudModels"
SPECIFICATION: dict[str, Any] = {
    "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/models/one.tar.gz"}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}
CREATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "Model": (
        "model",
        {"PrimaryContainer": SPECIFICATION["Containers"][0], "ExecutionRoleArn": ROLE},
    ),
    "ModelPackageGroup": ("model-package-group", {}),
    "NotebookInstanceLifecycleConfig": ("notebook-instance-lifecycle-config", {}),
    "CodeRepository": ("code-repository", {"GitConfig": {"RepositoryUrl": "https://host/a"}}),
}


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value.message


def create(sagemaker: SageMakerService, noun: str, name: str) -> str:
    answer = sagemaker.call(f"Create{noun}", {f"{noun}Name": name, **CREATIONS[noun][1]})
    return str(answer[f"{noun}Arn"])


@pytest.mark.parametrize("noun", sorted(CREATIONS))
def test_an_arn_keeps_the_case_of_the_name_and_tags_are_found_by_it(
    sagemaker: SageMakerService, noun: str
) -> None:
    arn = create(sagemaker, noun, GROUP)
    assert arn == f"{ARN}{CREATIONS[noun][0]}/{GROUP}"
    described = sagemaker.call(f"Describe{noun}", {f"{noun}Name": GROUP})
    assert (described[f"{noun}Name"], described[f"{noun}Arn"]) == (GROUP, arn)
    sagemaker.call("AddTags", {"ResourceArn": arn, "Tags": [{"Key": "a", "Value": "1"}]})
    assert sagemaker.call("ListTags", {"ResourceArn": arn})["Tags"] == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize("noun", sorted(CREATIONS))
def test_names_that_differ_in_case_alone_share_neither_arn_nor_tags(
    sagemaker: SageMakerService, noun: str
) -> None:
    capital, lower = create(sagemaker, noun, GROUP), create(sagemaker, noun, GROUP.lower())
    assert capital != lower
    sagemaker.call("AddTags", {"ResourceArn": lower, "Tags": [{"Key": "a", "Value": "1"}]})
    assert sagemaker.call("ListTags", {"ResourceArn": capital})["Tags"] == []


@pytest.mark.usefixtures("models")
def test_an_endpoint_is_created_whatever_the_case_once_and_found_in_the_case_it_has(
    sagemaker: SageMakerService,
) -> None:
    create(sagemaker, "Model", "m")
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large"}
    sagemaker.call(
        "CreateEndpointConfig",
        {
            "EndpointConfigName": "c",
            "ProductionVariants": [{**variant, "InitialInstanceCount": 1}],
        },
    )
    request = {"EndpointName": "FraudScore", "EndpointConfigName": "c"}
    made = sagemaker.call("CreateEndpoint", request)["EndpointArn"]
    assert made == f"{ARN}endpoint/FraudScore"
    again = {**request, "EndpointName": "fraudscore"}
    assert "already existing endpoint" in refusal(lambda: sagemaker.call("CreateEndpoint", again))
    other = {"EndpointName": "fraudscore"}
    assert "Could not find" in refusal(lambda: sagemaker.call("DescribeEndpoint", other))


def test_the_arn_of_a_group_names_it_in_every_call_that_takes_one(
    sagemaker: SageMakerService,
) -> None:
    group = create(sagemaker, "ModelPackageGroup", GROUP)
    named = {"ModelPackageGroupName": group}
    assert sagemaker.call("DescribeModelPackageGroup", named)["ModelPackageGroupName"] == GROUP
    package = sagemaker.call(
        "CreateModelPackage", {**named, "InferenceSpecification": SPECIFICATION}
    )["ModelPackageArn"]
    assert package == f"{ARN}model-package/{GROUP}/1"
    listed = sagemaker.call("ListModelPackages", named)["ModelPackageSummaryList"]
    assert [one["ModelPackageArn"] for one in listed] == [package]
    for name in (package, f"{GROUP}/1"):
        found = sagemaker.call("DescribeModelPackage", {"ModelPackageName": name})
        assert found["ModelPackageArn"] == package
    model = {
        "ModelName": "packaged",
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {"ModelPackageName": package},
    }
    sagemaker.call("CreateModel", model)
    sagemaker.call("DeleteModelPackage", {"ModelPackageName": package})
    sagemaker.call("DeleteModelPackageGroup", named)
    assert "does not exist" in refusal(lambda: sagemaker.call("DescribeModelPackageGroup", named))


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:sagemaker:{REGION}:111122223333:model-package-group/{GROUP}",
        f"{ARN}endpoint/{GROUP}",
        f"{ARN}model-package-group/{GROUP.lower()}",
    ],
    ids=["another-account", "another-kind", "another-case"],
)
def test_an_arn_of_something_else_finds_nothing_and_is_what_is_authorized(
    sagemaker: SageMakerService, arn: str
) -> None:
    create(sagemaker, "ModelPackageGroup", GROUP)
    named = {"ModelPackageGroupName": arn}
    said = refusal(lambda: sagemaker.call("DescribeModelPackageGroup", named))
    assert said == f"ModelPackageGroup {arn} does not exist."
    for operation in ("DescribeModelPackageGroup", "DeleteModelPackageGroup"):
        (needed, *_) = sagemaker.required_permissions(operation, named)
        assert needed.resource == arn


def test_a_caller_is_authorized_on_names_as_they_were_given(sagemaker: SageMakerService) -> None:
    def resources(operation: str, **params: str) -> list[str]:
        return [one.resource for one in sagemaker.required_permissions(operation, params)]

    assert resources("StopNotebookInstance", NotebookInstanceName="DataLab") == [
        f"{ARN}notebook-instance/DataLab"
    ]
    assert resources("CreateModelPackage", ModelPackageGroupName=GROUP) == [
        f"{ARN}model-package/{GROUP}/1"
    ]
    assert resources(
        "ListModelPackages", ModelPackageGroupName=f"{ARN}model-package-group/{GROUP}"
    )[0] == (f"{ARN}model-package/{GROUP}/*")


def test_an_event_carries_the_arn_that_the_creation_gave(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    create(sagemaker, "ModelPackageGroup", GROUP)
    package = sagemaker.call(
        "CreateModelPackage",
        {"ModelPackageGroupName": GROUP, "InferenceSpecification": SPECIFICATION},
    )["ModelPackageArn"]
    _, detail, resources = aws.events[-1]
    assert (detail["ModelPackageArn"], resources) == (package, [package])


def test_an_arn_is_a_name_only_of_its_kind_in_its_region_and_account() -> None:
    arns = Arns(REGION, ACCOUNT)
    assert arns.name("model", "Any") == "Any"
    assert arns.name("model", f"{ARN}model/Any") == "Any"
    assert arns.name("model", f"{ARN}endpoint/Any") is None
    assert arns.name("model", f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model/Any") is None


@pytest.mark.parametrize(
    ("operation", "params", "path"),
    [
        (
            "CreateModel",
            {
                "ModelName": "m",
                "ExecutionRoleArn": ROLE,
                "PrimaryContainer": {"Image": IMAGE.replace(REGION, "eu-west-1")},
            },
            "PrimaryContainer.Image",
        ),
        (
            "CreateModel",
            {
                "ModelName": "m",
                "ExecutionRoleArn": ROLE,
                "Containers": [
                    {"ModelPackageName": f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package/a/1"}
                ],
            },
            "Containers[0].ModelPackageName",
        ),
        (
            "CreateNotebookInstance",
            {
                "NotebookInstanceName": "n",
                "InstanceType": "ml.t3.medium",
                "RoleArn": ROLE,
                "KmsKeyId": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1",
            },
            "KmsKeyId",
        ),
        (
            "ListTags",
            {"ResourceArn": f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model/m"},
            "ResourceArn",
        ),
    ],
    ids=["image", "package", "key", "tags"],
)
def test_what_lies_in_another_region_is_refused_with_the_member_that_names_it(
    sagemaker: SageMakerService, operation: str, params: dict[str, Any], path: str
) -> None:
    said = refusal(lambda: sagemaker.call(operation, params))
    assert said.startswith(f"SageMaker of {REGION} reaches no other region: {path} is ")
    assert said.endswith(", in eu-west-1.")


def test_a_free_text_may_name_another_region(sagemaker: SageMakerService) -> None:
    arn = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model/m"
    made = create(sagemaker, "ModelPackageGroup", GROUP)
    sagemaker.call("AddTags", {"ResourceArn": made, "Tags": [{"Key": "from", "Value": arn}]})
    assert sagemaker.call("ListTags", {"ResourceArn": made})["Tags"][0]["Value"] == arn
