from typing import Any

import boto3
import pytest

from logs.handler import lambda_handler

TRAINING = "/aws/sagemaker/TrainingJobs"


@pytest.fixture(autouse=True)
def _answer_here(answer_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVENT, "ResponseURL", answer_url)


EVENT: dict[str, Any] = {
    "RequestType": "Create",
    "ResponseURL": "",
    "StackId": "stack",
    "RequestId": "request",
    "LogicalResourceId": "Retention",
    "ResourceProperties": {"LogGroups": [TRAINING], "Days": "30"},
}


def _retention() -> dict[str, int | None]:
    groups = boto3.client("logs").describe_log_groups()["logGroups"]
    return {group["logGroupName"]: group.get("retentionInDays") for group in groups}


def test_makes_missing_groups_and_may_be_repeated(answers: list[dict[str, Any]]) -> None:
    lambda_handler(EVENT, None)
    lambda_handler(EVENT, None)
    assert _retention() == {TRAINING: 30}
    assert [answer["Status"] for answer in answers] == ["SUCCESS", "SUCCESS"]


def test_gives_groups_that_sagemaker_made_a_retention(answers: list[dict[str, Any]]) -> None:
    boto3.client("logs").create_log_group(logGroupName=TRAINING)
    lambda_handler(EVENT, None)
    assert _retention() == {TRAINING: 30}


def test_deleting_the_resource_leaves_the_groups(answers: list[dict[str, Any]]) -> None:
    lambda_handler(EVENT, None)
    lambda_handler({**EVENT, "RequestType": "Delete", "PhysicalResourceId": "kept"}, None)
    assert _retention() == {TRAINING: 30}
    assert answers[-1]["PhysicalResourceId"] == "kept"


def test_tells_cloudformation_why_it_failed(answers: list[dict[str, Any]]) -> None:
    lambda_handler({**EVENT, "ResourceProperties": {"LogGroups": [TRAINING], "Days": "soon"}}, None)
    assert answers[-1]["Status"] == "FAILED"
    assert answers[-1]["Reason"].startswith("ValueError: ")
