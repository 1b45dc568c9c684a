import shlex
from typing import Any

import pytest

from quotas import refusals
from quotas.refusals import Asked, asked, message, subject_of

TRAINING = "ml.p3.2xlarge for training job usage"
LIMIT = (
    "The account-level service limit '{name}' is {limit} {unit}, with current utilization of "
    "{used} {unit} and a request delta of {delta} {unit}."
)
ENDING_2018 = " Please contact AWS support to request an increase for this limit."
ENDING_2023 = (
    " Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas "
    "is not available, contact AWS support to request an increase for this quota."
)
JAVA = " (Service: AmazonSageMaker; Status Code: 400; Error Code: ResourceLimitExceeded; ...)"
COMMAND = (
    "aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code "
    "L-D438008E --desired-value {value} --region eu-west-1"
)


def words(
    name: str = TRAINING,
    limit: int = 0,
    used: int = 0,
    delta: int = 1,
    unit: str = "Instances",
    ending: str = ENDING_2023,
) -> str:
    return LIMIT.format(name=name, limit=limit, used=used, delta=delta, unit=unit) + ending


def told(text: str, who: str = "dev-one") -> refusals.Message:
    return message(Asked(who, text, "arn:where"), environment="dev", region="eu-west-1")


@pytest.mark.parametrize("ending", [ENDING_2018, ENDING_2023, ENDING_2018 + JAVA, ""])
def test_every_wording_names_quota_code_numbers_and_the_command(ending: str) -> None:
    found = told(words(ending=ending))
    assert found.subject == f"Quota hit: {TRAINING}"
    for line in (
        f"quota: {TRAINING}",
        "quota code: L-D438008E",
        "limit: 0 Instances",
        "in use: 0 Instances",
        "asked by: dev-one, for 1 Instances",
        "in: arn:where",
        "environment: dev, eu-west-1",
        f"  {COMMAND.format(value=1)}",
    ):
        assert line in found.body.splitlines()


@pytest.mark.parametrize(
    ("limit", "used", "delta", "value"),
    [(4, 4, 1, 5), (4, 2, 8, 10), (1, 3, 1, 4), (5, 0, 1, 6)],
    ids=["full", "a large request", "lowered below what is in use", "never not above the limit"],
)
def test_the_command_asks_for_enough(limit: int, used: int, delta: int, value: int) -> None:
    assert COMMAND.format(value=value) in told(words(limit=limit, used=used, delta=delta)).body


def test_totals_and_notebooks_count_in_units_of_their_own() -> None:
    text = words("Total number of notebook instances", 8, 16, 1, "NotebookInstances")
    body = told(text).body
    assert "quota code: L-04CE2E67" in body
    assert "limit: 8 NotebookInstances" in body
    assert "--desired-value 17" in body


def test_a_quota_without_a_known_code_comes_with_the_command_that_finds_it() -> None:
    body = told(words("ml.z9.large for training job usage")).body
    command = next(line for line in body.splitlines() if "list-service-quotas" in line)
    assert shlex.split(command) == [
        *("aws", "service-quotas", "list-service-quotas", "--service-code", "sagemaker"),
        *("--query", "Quotas[?QuotaName=='ml.z9.large for training job usage']"),
        *("--region", "eu-west-1"),
    ]


def test_words_that_nobody_knows_are_passed_on_as_they_are() -> None:
    text = "You have exceeded something. (Error Code: ResourceLimitExceeded) ünïcode"
    found = told(text, "dev-é")
    assert found.subject == "Quota hit: dev-?"
    assert text in found.body
    assert "list-service-quotas" in found.body


def test_an_endless_text_makes_no_endless_message() -> None:
    found = told("x" * 100_000, "n" * 300)
    assert len(found.body) < 3000
    assert len(found.subject) == 100


def test_a_hostile_name_stays_inside_of_its_quotes() -> None:
    body = told(words("x$(touch /tmp/x) `id`; rm -rf /")).body
    command = next(line for line in body.splitlines() if "list-service-quotas" in line)
    assert "Quotas[?QuotaName=='x$(touch /tmp/x) `id`; rm -rf /']" in shlex.split(command)


def cloudformation(reason: str, **changes: str) -> dict[str, Any]:
    """As EventBridge has CloudFormation's events in its documentation."""
    return {
        "detail-type": "CloudFormation Resource Status Change",
        "source": "aws.cloudformation",
        "detail": {
            "stack-id": "arn:aws:cloudformation:eu-west-1:111122223333:stack/digits/1",
            "logical-resource-id": "Endpoint",
            "physical-resource-id": "",
            "resource-type": "AWS::SageMaker::Endpoint",
            "status-details": {"status": "CREATE_FAILED", "status-reason": reason},
            **changes,
        },
    }


def test_cloudformations_failure_is_told_when_it_quotes_a_quota() -> None:
    reason = f'Resource handler returned message: "{words()}" (RequestToken: 1)'
    found = asked(cloudformation(reason))
    assert found == Asked("Endpoint", reason, cloudformation("")["detail"]["stack-id"])
    arn = "arn:aws:sagemaker:eu-west-1:111122223333:endpoint/sagemaker-platform-dev-digits"
    named = asked(cloudformation(reason, **{"physical-resource-id": arn}))
    # As the workflow calls it, so that both are one message.
    assert named and named.who == "sagemaker-platform-dev-digits"
    assert asked(cloudformation("Resource creation cancelled")) is None


def test_an_endpoint_that_failed_is_told_when_it_names_a_quota() -> None:
    detail = {"EndpointName": "digits", "EndpointArn": "arn", "FailureReason": words()}
    event = {"detail-type": "SageMaker Endpoint State Change", "detail": detail}
    assert asked(event) == Asked("digits", words(), "arn")
    assert asked({**event, "detail": {**detail, "FailureReason": "no ping"}}) is None


def test_an_event_of_another_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of this function"):
        asked({"detail-type": "Something", "detail": {}})


def test_the_same_quota_for_the_same_asker_is_the_same_subject() -> None:
    first = Asked("dev-one", words(used=1, limit=1), "a")
    assert subject_of(first) == subject_of(Asked("dev-one", words(used=2, limit=2), "b"))
    assert subject_of(first) != subject_of(Asked("dev-two", words()))
    assert subject_of(first) != subject_of(Asked("dev-one", words("another")))
    assert subject_of(Asked("dev-one", "what")) == "ResourceLimitExceeded#dev-one"
