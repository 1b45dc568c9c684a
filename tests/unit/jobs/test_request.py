import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from jobs.request import InvalidRequest, parse, schema
from tests.unit.jobs.requests import complete, request

DOCS = Path(__file__).parents[3] / "docs"


def refused(document: object) -> str:
    with pytest.raises(InvalidRequest) as error:
        parse(document)
    return str(error.value)


def test_the_published_schema_is_current() -> None:
    published = json.loads((DOCS / "schemas" / "job-request.schema.json").read_text())
    assert published == schema(), "run: python scripts/job_request_schema.py"


@pytest.mark.parametrize("path", sorted((DOCS / "examples").glob("*.json")), ids=lambda p: p.stem)
def test_the_examples_are_requests(path: Path) -> None:
    document = json.loads(path.read_text().replace("{data_bucket}", "data"))
    parse(document)
    jsonschema.validate(document, schema())


@pytest.mark.parametrize("document", [None, [], "text", 3])
def test_what_is_no_object_is_refused(document: object) -> None:
    assert "an object" in refused(document)


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({"algoritm": "x"}, "algoritm", "did you mean algorithm?"),
        ({"instance_count": "2"}, "instance_count", "integer"),
        ({"instance_count": 0}, "instance_count", "greater than or equal to 1"),
        ({"image": "own"}, "image", "'aws' or 'platform'"),
        ({"name": "a b"}, "name", "what matches"),
        ({"name": "a" * 41}, "name", "at most 40"),
        ({"hyperparameters": {"k": None}}, "hyperparameters.k", "number, text or list"),
        ({"instance_types": []}, "instance_types", "at least 1"),
        ({"tags": {"aws:x": "1"}}, "tags.aws:x", "choose another"),
        ({"metric_definitions": []}, "metric_definitions", "later release"),
        ({"spot": True}, "spot", "comes with a later release; allowed: false"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_what_is_allowed(
    changes: dict[str, Any], key: str, says: str
) -> None:
    text = refused(request(**changes))
    assert text.startswith(f"{key}: ") and says in text
    assert "\n" not in text


def test_a_missing_key_says_what_is_wanted() -> None:
    document = request()
    del document["algorithm"]
    assert refused(document) == (
        "algorithm: missing; wanted: One of SageMaker's built-in algorithms, such as `xgboost`."
    )


def test_a_wrong_key_of_a_channel_is_named_with_those_that_are_allowed() -> None:
    document = request("kmeans")
    document["channels"]["train"]["content-type"] = "text/csv"
    text = refused(document)
    assert "channels.train.content-type: unknown key" in text and "content_type" in text


def test_a_channel_outside_of_s3_is_refused() -> None:
    document = request("kmeans")
    document["channels"]["train"]["s3_uri"] = "/home/me/data"
    assert "channels.train.s3_uri: found '/home/me/data'" in refused(document)


def test_deploying_needs_registration_approval_and_a_sample() -> None:
    assert "without register" in refused(complete(register=None))
    assert "without sample" in refused(complete(sample=None))
    pending = {"group": "digits", "approval": "PendingManualApproval"}
    assert "approved models only" in refused(complete(register=pending))


def test_hyperparameters_keep_their_types() -> None:
    given = {"a": 1, "b": 1.5, "c": True, "d": "x", "e": ["x", "y"], "f": [[1, 2]]}
    assert parse(request(hyperparameters=given)).hyperparameters == given
