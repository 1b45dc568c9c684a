import json
from pathlib import Path
from typing import Any

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
    import jsonschema  # takes seconds, of every worker if it stood above

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
        ({"image": "own"}, "image", "what matches"),
        ({"image": "1.dkr.ecr.eu-west-1.amazonaws.com/x:1"}, "image", "what matches"),
        ({"image": "forest:3"}, "algorithm", "leave one of them out"),
        ({"name": "a b"}, "name", "what matches"),
        ({"name": "a" * 41}, "name", "at most 40"),
        ({"hyperparameters": {"k": None}}, "hyperparameters.k", "number, text or list"),
        ({"instance_types": []}, "instance_types", "at least 1"),
        ({"tags": {"aws:x": "1"}}, "tags.aws:x", "choose another"),
        ({"metric_definitions": []}, "metric_definitions", "only with an own image"),
        ({"isolated": False}, "isolated", "only with an own image"),
        ({"entry_point": "train.py"}, "entry_point", "only with an own image"),
        ({"entry_point": "../train.py"}, "entry_point", "what matches"),
        ({"source": "s3://data/code.tar.gz"}, "source", "what matches"),
        ({"source": "s3://data/x/sources/1/sourcedir.tar.gz"}, "source", "what matches"),
        ({"max_wait_seconds": 60}, "max_wait_seconds", "only when spot is true"),
        (
            {"spot": True, "max_runtime_seconds": 600, "max_wait_seconds": 500},
            "max_wait_seconds",
            "at least max_runtime_seconds, which is 600",
        ),
        ({"provenance": {"commit": "main"}}, "provenance.commit", "what matches"),
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
        "algorithm: missing; wanted: one of SageMaker's built-in algorithms, such as 'xgboost', or "
        "an own image under image"
    )
    del document["channels"]
    assert refused(document).startswith("channels: missing; wanted: Inputs by the name")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data_type": "AugmentedManifestFile"}, "attribute_names is missing"),
        ({"attribute_names": ["a"]}, "allowed only beside 'AugmentedManifestFile'"),
        ({"record_wrapper": "RecordIO"}, "allowed only beside 'Pipe'"),
        ({"compression": "Gzip", "input_mode": "FastFile"}, "allowed only beside 'Pipe'"),
    ],
)
def test_a_channel_whose_keys_do_not_fit_together_is_refused(
    changes: dict[str, Any], says: str
) -> None:
    document = request("kmeans")
    document["channels"]["train"] |= changes
    text = refused(document)
    assert text.startswith("channels.train: ") and says in text


@pytest.mark.parametrize(
    ("regex", "says"), [("(", "no regular expression"), ("score", "put the number in parentheses")]
)
def test_a_metric_that_finds_no_number_is_refused(regex: str, says: str) -> None:
    document = request()
    del document["algorithm"]
    document |= {"image": "forest:3", "metric_definitions": [{"name": "score", "regex": regex}]}
    text = refused(document)
    assert text.startswith("metric_definitions.0: ") and says in text


def test_code_and_a_channel_of_its_name_do_not_go_together() -> None:
    document = request(image="forest:3", source="s3://data/sources/1/sourcedir.tar.gz")
    del document["algorithm"]
    document["channels"]["code"] = document["channels"]["train"]
    assert "choose another name" in refused(document)


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
