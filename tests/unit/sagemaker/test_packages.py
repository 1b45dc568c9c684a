"""Where model packages come from, and what of them can be changed."""

import json
from typing import Any

import pytest

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import BUCKET, IMAGE, ROLE

ARN = "arn:aws:sagemaker:us-east-1:000000000000"
SPECIFICATION = {
    "Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/m.tar.gz"}],
    "SupportedContentTypes": ["text/csv"],
}


def created(sagemaker: SageMakerService, **members: object) -> str:
    request = {"ModelPackageGroupName": "g", **members}
    return str(sagemaker.call("CreateModelPackage", request)["ModelPackageArn"])


def shown(sagemaker: SageMakerService, arn: str) -> dict[str, Any]:
    return sagemaker.call("DescribeModelPackage", {"ModelPackageName": arn})


@pytest.fixture
def group(sagemaker: SageMakerService) -> SageMakerService:
    sagemaker.call("CreateModelPackageGroup", {"ModelPackageGroupName": "g"})
    return sagemaker


def test_a_group_that_there_is_not_has_no_packages(sagemaker: SageMakerService) -> None:
    for name in ("none", f"{ARN}:model-package-group/none"):
        listed = sagemaker.call("ListModelPackages", {"ModelPackageGroupName": name})
        assert listed == {"ModelPackageSummaryList": []}


def test_no_group_is_shared_by_another_account(group: SageMakerService) -> None:
    for option, number in (("SameAccount", 1), ("CrossAccount", 0)):
        listed = group.call("ListModelPackageGroups", {"CrossAccountFilterOption": option})
        assert len(listed["ModelPackageGroupSummaryList"]) == number


def test_a_page_of_packages_is_cut_before_their_approval_filters_it(
    group: SageMakerService,
) -> None:
    approved = created(group, InferenceSpecification=SPECIFICATION, ModelApprovalStatus="Approved")
    created(group, InferenceSpecification=SPECIFICATION)
    asked = {"ModelPackageGroupName": "g", "ModelApprovalStatus": "Approved", "MaxResults": 1}
    first = group.call("ListModelPackages", asked)
    assert first["ModelPackageSummaryList"] == []
    second = group.call("ListModelPackages", {**asked, "NextToken": first["NextToken"]})
    assert [one["ModelPackageArn"] for one in second["ModelPackageSummaryList"]] == [approved]


def test_a_package_is_cloned_by_its_arn(group: SageMakerService) -> None:
    first = created(
        group, InferenceSpecification=SPECIFICATION, Task="OTHER", ModelApprovalStatus="Approved"
    )
    clone = shown(group, created(group, SourceUri=first))
    assert clone["InferenceSpecification"] == SPECIFICATION
    assert (clone["SourceUri"], clone["Task"]) == (first, "OTHER")
    assert clone["ModelApprovalStatus"] == "PendingManualApproval"


def test_a_model_is_registered_by_its_arn(group: SageMakerService) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/m.tar.gz", "Mode": "SingleModel"}
    arn = group.call(
        "CreateModel", {"ModelName": "M", "ExecutionRoleArn": ROLE, "PrimaryContainer": container}
    )["ModelArn"]
    package = shown(group, created(group, SourceUri=arn))
    assert package["InferenceSpecification"]["Containers"] == SPECIFICATION["Containers"]
    assert package["SourceUri"] == arn


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"SourceUri": f"{ARN}:model/none"}, "Could not find model"),
        ({"SourceUri": f"{ARN}:model-package/g/9"}, "does not exist"),
        ({"SourceUri": "a", "InferenceSpecification": SPECIFICATION}, "cannot be given together"),
        ({}, "needs an InferenceSpecification"),
        ({"ModelCard": {"ModelCardContent": "[]"}}, "JSON object"),
        ({"ModelCard": {"ModelCardContent": '{"model_package_details": {}}'}}, "model_overview"),
    ],
    ids=["no-model", "no-package", "both", "neither", "no-card", "foreign-section"],
)
def test_a_package_that_cannot_be_made_leaves_nothing(
    group: SageMakerService, members: dict[str, Any], words: str
) -> None:
    if "ModelCard" in members:
        members = {**members, "SourceUri": "elsewhere"}
    with pytest.raises(ServiceError) as caught:
        created(group, **members)
    assert caught.value.code == "ValidationException" and words in caught.value.message
    assert group.call("ListModelPackages", {"ModelPackageGroupName": "g"}) == {
        "ModelPackageSummaryList": []
    }


def test_a_card_is_changed_in_its_content_or_its_status(group: SageMakerService) -> None:
    def card(creator: str) -> str:
        return json.dumps({"model_overview": {"model_creator": creator}})

    given = {"ModelCardContent": card("a"), "ModelCardStatus": "Draft"}
    arn = created(group, InferenceSpecification=SPECIFICATION, ModelCard=given)
    for change in ({"ModelCardContent": card("b")}, {"ModelCardStatus": "PendingReview"}):
        group.call("UpdateModelPackage", {"ModelPackageArn": arn, "ModelCard": change})
    expected = {"ModelCardContent": card("b"), "ModelCardStatus": "PendingReview"}
    assert shown(group, arn)["ModelCard"] == expected


def test_additional_specifications_are_added_one_of_a_name(group: SageMakerService) -> None:
    arn = created(group, InferenceSpecification=SPECIFICATION)

    def add(*names: str) -> None:
        specifications = [{"Name": name, **SPECIFICATION} for name in names]
        request = {"AdditionalInferenceSpecificationsToAdd": specifications}
        group.call("UpdateModelPackage", {"ModelPackageArn": arn, **request})

    add("a")
    add("b")
    with pytest.raises(ServiceError, match="a is taken"):
        add("c", "a")
    with pytest.raises(ServiceError, match="at most 15"):
        add(*(f"n-{number}" for number in range(14)))
    kept = shown(group, arn)["AdditionalInferenceSpecifications"]
    assert [one["Name"] for one in kept] == ["a", "b"]
