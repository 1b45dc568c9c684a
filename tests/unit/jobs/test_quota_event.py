import json
from typing import Any

import pytest

from common import quota_event
from jobs import report

EXECUTION = "arn:aws:states:eu-west-1:111122223333:execution:sagemaker-platform-dev-training:one"
TEXT = "The account-level service limit 'ml.m5.large for endpoint usage' is 1 Instances, with ..."


class Events:
    """A bus that takes everything, or nothing."""

    def __init__(self, failed: int = 0) -> None:
        self.failed = failed
        self.entries: list[dict[str, Any]] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.entries += Entries
        entry = {"ErrorCode": "InternalFailure", "ErrorMessage": "later"} if self.failed else {}
        return {"FailedEntryCount": self.failed, "Entries": [entry]}


def test_the_event_says_who_hit_the_quota_in_sagemakers_words() -> None:
    bus: Any = Events()
    quota_event.send(bus, environment="dev", asked="job", message=TEXT, where=EXECUTION)
    (entry,) = bus.entries
    assert (entry["Source"], entry["DetailType"]) == (
        "sagemaker-platform",
        "SageMaker Resource Limit Exceeded",
    )
    assert json.loads(entry["Detail"]) == {
        "environment": "dev",
        "asked": "job",
        "message": TEXT,
        "where": EXECUTION,
    }


def test_an_event_that_was_not_taken_is_an_error() -> None:
    bus: Any = Events(failed=1)
    with pytest.raises(quota_event.NotSent, match="InternalFailure: later"):
        quota_event.send(bus, environment="dev", asked="job", message=TEXT, where=EXECUTION)


def test_a_deployment_that_hit_a_quota_is_told_of_its_endpoint() -> None:
    cause = json.dumps(
        {"errorType": "DeploymentFailed", "errorMessage": f"CloudFormation left it: {TEXT}"}
    )
    state = {
        "execution": EXECUTION,
        "job": {"name": "dev-one"},
        "deployment": {"endpoint": "sagemaker-platform-dev-digits"},
        "failure": {"Error": "DeploymentFailed", "Cause": cause},
    }
    assert report.refused_by_quota(state) == {
        "asked": "sagemaker-platform-dev-digits",
        "message": f"CloudFormation left it: {TEXT}",
        "where": EXECUTION,
    }


def test_a_request_that_became_no_job_is_told_of_by_its_execution() -> None:
    state = {"execution": EXECUTION, "failure": {"Error": "InvalidRequest", "Cause": TEXT}}
    assert report.refused_by_quota(state) == {"asked": "one", "message": TEXT, "where": EXECUTION}
    assert report.refused_by_quota({"execution": EXECUTION}) is None
