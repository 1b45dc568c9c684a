"""What `smp status` says of what is billed."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cli import billing, status
from local.cli.billing import Instances

WHEN = datetime(2026, 11, 30, 20, 0, tzinfo=UTC)
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:sagemaker-platform-local-training:1"


class Client:
    """Answers what it was given, by operation; each list is one page."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, operation: str) -> Any:
        def answer(**given: Any) -> Any:
            found = self._answers[operation]
            return found(**given) if callable(found) else found

        return answer

    def get_paginator(self, operation: str) -> Any:
        return SimpleNamespace(paginate=lambda **given: [getattr(self, operation)(**given)])


def aws(sagemaker: Client, **answers: Any) -> Any:
    return SimpleNamespace(sagemaker=sagemaker, stepfunctions=Client(**answers))


def job(state: str, resources: dict[str, Any], **tags: str) -> Client:
    listed = {"TrainingJobName": "a", "CreationTime": WHEN}
    return Client(
        list_training_jobs={"TrainingJobSummaries": [listed]},
        describe_training_job={
            "TrainingJobArn": "arn",
            "TrainingJobStatus": state,
            "ResourceConfig": resources,
            "CreationTime": WHEN,
        },
        list_tags={"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]},
    )


def prices(region: str = "us-east-1") -> billing.Prices:
    return billing.Prices(region)


def test_a_job_costs_by_its_instances_and_their_volumes_while_it_runs() -> None:
    resources = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 73}
    (found,) = status._jobs(aws(job("InProgress", resources, OwnerTeam="fraud")), prices())
    assert found["usd_per_hour"] == pytest.approx(2 * (0.23 + 73 * 0.14 / 730))
    assert (found["type"], found["instances"], found["owner"]) == ("ml.m5.xlarge", 2, "fraud")
    assert found["created"] == "2026-11-30T20:00:00Z"
    (ended,) = status._jobs(aws(job("Completed", resources)), prices())
    assert (ended["usd_per_hour"], ended["billed"]) == (0, False)


def test_a_job_of_several_kinds_of_instances_costs_all_of_them() -> None:
    groups = [
        {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "InstanceGroupName": "a"},
        {"InstanceType": "ml.c5.xlarge", "InstanceCount": 2, "InstanceGroupName": "b"},
    ]
    (found,) = status._jobs(aws(job("InProgress", {"InstanceGroups": groups})), prices())
    assert found["usd_per_hour"] == pytest.approx(0.23 + 2 * 0.204)
    assert found["type"] == "ml.m5.xlarge, ml.c5.xlarge"


def test_a_price_that_is_not_known_is_unknown_and_names_what_fills_it() -> None:
    resources = {"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    wanted = prices()
    (found,) = status._jobs(aws(job("InProgress", resources)), wanted)
    assert found["usd_per_hour"] is None
    assert wanted.missing == {"regions.us-east-1.training_hour.ml.p4d.24xlarge"}
    (key,) = wanted.missing
    assert f"scripts/fill_price.py {key}" in billing.remedy(key)


def test_a_sum_of_which_a_part_is_unknown_is_unknown() -> None:
    known, unknown = Instances("ml.m5.xlarge", 1, 0), Instances("ml.p4d.24xlarge", 1, 0)
    assert prices().hourly("training", [known, unknown]) is None
    assert prices().hourly("training", [Instances(None, 1, 0)]) is None


def test_a_job_that_no_tag_gives_an_owner_is_whose_request_it_was() -> None:
    request = {"provenance": {"submitted_by": "arn:aws:iam::000000000000:user/ada"}}
    tags = {"sagemaker-platform:execution": EXECUTION}
    client = job("InProgress", {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1}, **tags)
    (found,) = status._jobs(
        aws(client, describe_execution={"input": json.dumps(request)}), prices()
    )
    assert found["owner"] == "arn:aws:iam::000000000000:user/ada"

    def gone(**given: Any) -> Any:
        raise ClientError({"Error": {"Code": "ExecutionDoesNotExist"}}, "DescribeExecution")

    (old,) = status._jobs(aws(client, describe_execution=gone), prices())
    assert old["owner"] is None


@pytest.mark.parametrize(("state", "hour"), [("InService", 0.05), ("Stopped", 0), ("Failed", 0)])
def test_a_notebook_that_is_stopped_keeps_costing_its_volume(state: str, hour: float) -> None:
    name = {"NotebookInstanceName": "a"}
    client = Client(
        list_notebook_instances={"NotebookInstances": [name]},
        describe_notebook_instance={
            "NotebookInstanceArn": "arn",
            "NotebookInstanceStatus": state,
            "InstanceType": "ml.t3.medium",
            "VolumeSizeInGB": 73,
            "CreationTime": WHEN,
        },
        list_tags={"Tags": [{"Key": "Owner", "Value": "ada"}]},
    )
    (found,) = status._notebooks(aws(client), prices())
    assert found["usd_per_hour"] == pytest.approx(hour + 73 * 0.14 / 730)
    assert found["owner"] == "ada"


@pytest.mark.parametrize(("state", "billed"), [("InService", True), ("Failed", False)])
def test_an_endpoint_costs_by_the_instances_that_it_has_now(state: str, billed: bool) -> None:
    client = Client(
        list_endpoints={"Endpoints": [{"EndpointName": "a"}]},
        describe_endpoint={
            "EndpointArn": "arn",
            "EndpointStatus": state,
            "EndpointConfigName": "c",
            "CreationTime": WHEN,
            "ProductionVariants": [{"VariantName": "A", "CurrentInstanceCount": 3}],
        },
        describe_endpoint_config={
            "ProductionVariants": [
                {"VariantName": "A", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            ]
        },
        list_tags={"Tags": []},
    )
    (found,) = status._endpoints(aws(client), prices())
    assert found["usd_per_hour"] == (pytest.approx(3 * 0.115) if billed else 0)
    assert (found["billed"], found["owner"]) == (billed, None)
