"""Search over jobs, models, endpoints, groups and packages that are stored as they are kept."""

from collections.abc import Callable
from typing import Any

import pytest

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import IMAGE, ROLE

PREFIX = "arn:aws:sagemaker:us-east-1:000000000000"


@pytest.fixture
def jobs(sagemaker: SageMakerService) -> SageMakerService:
    """Six jobs, job-0 the oldest."""
    for number in range(6):
        name = f"job-{number}"
        arn = f"{PREFIX}:training-job/{name}"
        document: dict[str, Any] = {
            "TrainingJobName": name,
            "TrainingJobArn": arn,
            "TrainingJobStatus": "Failed" if number == 3 else "Completed",
            "HyperParameters": {"k": str(number), "init_method": "random"},
            "EnableManagedSpotTraining": number % 2 == 0,
            "CreationTime": 1_700_000_000.0 + number,
            "LastModifiedTime": 1_700_000_100.0 - number,
            "FinalMetricDataList": [{"MetricName": "msd", "Value": 10.0 - number, "Timestamp": 1}],
            "InputDataConfig": [
                {
                    "ChannelName": channel,
                    "DataSource": {"S3DataSource": {"S3Uri": f"s3://data/{place}"}},
                }
                for channel, place in (("train", f"set-{number}"), ("test", "same"))
            ],
            "Internal": "is not shown",
        }
        sagemaker._store.put("training-job", name, document)
        sagemaker._tags.start(arn, [{"Key": "team", "Value": f"t{number}"}])
    return sagemaker


def where(name: str, operator: str | None, value: str | None = None) -> dict[str, Any]:
    given = {"Name": name, "Operator": operator, "Value": value}
    return {key: each for key, each in given.items() if each is not None}


def found(sagemaker: SageMakerService, expression: object, **more: object) -> list[str]:
    asked = {"Resource": "TrainingJob", "SearchExpression": expression, **more}
    results = sagemaker.call("Search", asked)["Results"]
    return [one["TrainingJob"]["TrainingJobName"].removeprefix("job-") for one in results]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        (where("TrainingJobName", "Equals", "job-2"), "2"),
        (where("TrainingJobName", None, "job-2"), "2"),
        (where("TrainingJobName", "Equals", "job"), ""),
        (where("TrainingJobStatus", "NotEquals", "Completed"), "3"),
        (where("TrainingJobName", "Contains", "b-4"), "4"),
        (where("TrainingJobName", "In", "job-1, job-5"), "15"),
        (where("HyperParameters.k", "GreaterThan", "3"), "45"),
        (where("HyperParameters.k", "Equals", "3.0"), "3"),
        (where("HyperParameters.absent", "Exists"), ""),
        (where("FailureReason", "NotExists"), "012345"),
        (where("Metrics.msd", "LessThanOrEqualTo", "6"), "45"),
        (where("Tags.team", "Equals", "t1"), "1"),
        (where("EnableManagedSpotTraining", "Equals", "true"), "024"),
        (where("CreationTime", "GreaterThanOrEqualTo", "2023-11-14T22:13:24"), "45"),
        (where("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", "set-2"), "2"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_jobs_are_found_by_any_of_their_properties(
    jobs: SageMakerService, condition: dict[str, Any], names: str
) -> None:
    assert found(jobs, {"Filters": [condition]}) == [*names]


def test_conditions_are_combined_and_nested(jobs: SageMakerService) -> None:
    spot = where("EnableManagedSpotTraining", "Equals", "true")
    late = where("HyperParameters.k", "GreaterThan", "3")
    assert found(jobs, {"Filters": [spot, late]}) == ["4"]
    assert found(jobs, {"Filters": [spot, late], "Operator": "Or"}) == ["0", "2", "4", "5"]
    both = {"SubExpressions": [{"Filters": [spot]}, {"Filters": [late]}], "Operator": "Or"}
    assert found(jobs, both) == ["0", "2", "4", "5"]
    uri = "InputDataConfig.DataSource.S3DataSource.S3Uri"

    def channel(name: str) -> dict[str, Any]:
        filters = [
            where("InputDataConfig.ChannelName", "Equals", name),
            where(uri, "Contains", "set-2"),
        ]
        return {"NestedFilters": [{"NestedPropertyName": "InputDataConfig", "Filters": filters}]}

    assert found(jobs, channel("train")) == ["2"]
    assert found(jobs, channel("test")) == []


def test_results_are_sorted_and_paged_whatever_is_created_meanwhile(
    jobs: SageMakerService,
) -> None:
    assert found(jobs, None) == ["0", "1", "2", "3", "4", "5"]
    assert found(jobs, None, SortBy="CreationTime") == ["5", "4", "3", "2", "1", "0"]
    assert found(jobs, None, SortBy="Metrics.msd", SortOrder="Ascending")[0] == "5"
    asked = {"Resource": "TrainingJob", "MaxResults": 4, "SortBy": "CreationTime"}
    first = jobs.call("Search", asked)
    assert first["TotalHits"] == {"Value": 6, "Relation": "EqualTo"}
    newest = jobs._store.get("training-job", "job-0") or {}
    newest |= {"CreationTime": 1_800_000_000.0}
    newest |= {"TrainingJobName": "newest", "TrainingJobArn": f"{PREFIX}:training-job/newest"}
    jobs._store.put("training-job", "newest", newest)
    second = jobs.call("Search", {**asked, "NextToken": first["NextToken"]})
    names = [one["TrainingJob"]["TrainingJobName"] for one in second["Results"]]
    assert names == ["job-1", "job-0"] and "NextToken" not in second
    shown = second["Results"][0]["TrainingJob"]
    assert "Internal" not in shown and shown["Tags"] == [{"Key": "team", "Value": "t1"}]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ({}, "at least one"),
        ({"Filters": [where("Nothing", "Equals", "x")]}, "no property 'Nothing'"),
        ({"Filters": [where("TrainingJobName", "LessThan", "x")]}, "not for text"),
        ({"Filters": [where("CreationTime", "LessThan", "soon")]}, "no time"),
        ({"Filters": [where("TrainingTimeInSeconds", "LessThan", "soon")]}, "no number"),
        ({"Filters": [where("TrainingTimeInSeconds", "Contains", "1")]}, "for text properties"),
        ({"Filters": [where("TrainingJobName", "Equals")]}, "needs a Value"),
        (
            {"Filters": [where("TrainingJobName", "Contains", "a")] * 2},
            "'CONTAINS' operator usage limit of 1 exceeded.",
        ),
        (
            {"SubExpressions": [{"Filters": [where("TrainingJobStatus", "Equals", "x")] * 17}] * 3},
            "51 conditions",
        ),
    ],
    ids=lambda value: value.split(".")[0].replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_cannot_be_searched_for_is_refused(
    jobs: SageMakerService, expression: dict[str, Any], words: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        found(jobs, expression)
    assert caught.value.code == "ValidationException" and words in caught.value.message


def test_models_endpoints_groups_and_packages_are_found(sagemaker: SageMakerService) -> None:
    call: Callable[..., dict[str, Any]] = sagemaker.call
    container = {"Image": IMAGE}
    call("CreateModel", {"ModelName": "M", "ExecutionRoleArn": ROLE, "PrimaryContainer": container})
    call("CreateModelPackageGroup", {"ModelPackageGroupName": "G"})
    variant = {
        "VariantName": "v",
        "ModelName": "M",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    call("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [variant]})
    endpoint = {
        "EndpointName": "e",
        "EndpointArn": f"{PREFIX}:endpoint/e",
        "EndpointConfigName": "c",
        "EndpointStatus": "InService",
        "CreationTime": 1.0,
        "LastModifiedTime": 2.0,
    }
    sagemaker._store.put("endpoint", "e", endpoint)
    call("CreateModelPackage", {"ModelPackageGroupName": "G", "SourceUri": "elsewhere"})

    def one(resource: str, name: str, value: str) -> Any:
        filters = [where(name, "Equals", value)]
        asked = {"Resource": resource, "SearchExpression": {"Filters": filters}}
        (result,) = call("Search", asked)["Results"]
        return result[resource]

    assert one("Model", "ModelName", "M")["Endpoints"][0]["EndpointName"] == "e"
    assert one("Model", "Model.ModelName", "M")["Model"]["PrimaryContainer"] == container
    assert one("Endpoint", "EndpointStatus", "InService")["EndpointConfigName"] == "c"
    assert one("ModelPackageGroup", "ModelPackageGroupName", "G")["ModelPackageGroupName"] == "G"
    assert one("ModelPackage", "ModelPackageVersion", "1")["SourceUri"] == "elsewhere"
    for resource in ("ModelCard", "Pipeline", "ExperimentTrial"):
        assert call("Search", {"Resource": resource})["Results"] == []
    shared = {"Resource": "Model", "CrossAccountFilterOption": "CrossAccount"}
    assert call("Search", shared)["Results"] == []


def test_visibility_conditions_keep_what_has_another_value_of_the_tag(
    jobs: SageMakerService,
) -> None:
    conditions = [{"Key": "Tags.team", "Value": "t4"}, {"Key": "Tags.absent", "Value": "x"}]
    assert found(jobs, None, VisibilityConditions=conditions) == ["4"]
    (permission,) = jobs.required_permissions(
        "Search", {"Resource": "Model", "VisibilityConditions": conditions}
    )
    assert (permission.action, permission.resource) == ("sagemaker:Search", "*")
    assert permission.context["sagemaker:SearchVisibilityCondition/Tags.team"] == "t4"
