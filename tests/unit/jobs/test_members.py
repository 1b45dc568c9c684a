"""What SageMaker takes in the requests of the workflow, and that each job request is held to it."""

from dataclasses import replace
from typing import Any

import botocore.session
import pytest

from jobs.compile import compile_job
from jobs.members import (
    CREATE_MODEL_PACKAGE,
    CREATE_TRAINING_JOB,
    Count,
    Rule,
    Text,
    property_text,
    violations,
)
from jobs.registration import package
from jobs.request import InvalidRequest, parse
from jobs.settings import Platform
from tests.unit.jobs.requests import REQUESTS, complete, request
from tests.unit.jobs.test_compile import EXECUTION, STARTED

_MODEL = botocore.session.get_session().get_service_model("sagemaker")
OPERATIONS = {
    "CreateTrainingJob": CREATE_TRAINING_JOB,
    "CreateModelPackage": CREATE_MODEL_PACKAGE,
}


def shape_at(operation: str, path: str) -> Any:
    """The shape of botocore's model at a path of the table."""
    shape: Any = _MODEL.operation_model(operation).input_shape
    for part in path.replace("[]", ".[]").replace("{", ".{").split("."):
        match part:
            case "[]":
                shape = shape.member
            case "{key}":
                shape = shape.key
            case "{}":
                shape = shape.value
            case _:
                shape = shape.members[part]
    return shape


def published(shape: Any) -> Rule:
    limits = shape.metadata
    if shape.type_name != "string":
        return Count(limits["max"], limits.get("min", 0))
    # Two patterns of AWS's model end in a repeated `$`, which means nothing.
    pattern = limits["pattern"].split("${")[0]
    return Text(pattern, limits["max"], limits.get("min", 0))


@pytest.mark.parametrize(
    ("operation", "path"),
    [(operation, path) for operation, rules in OPERATIONS.items() for path in rules],
)
def test_each_rule_is_the_one_that_sagemaker_publishes(operation: str, path: str) -> None:
    assert OPERATIONS[operation][path] == published(shape_at(operation, path))


def unruled(shape: Any, value: Any, name: str, rules: dict[str, Rule]) -> list[str]:
    """The members with limits in AWS's model that the table says nothing of."""
    limited = shape.metadata.keys() & {"pattern", "max"}
    found = [name] if limited and name not in rules else []
    if shape.type_name == "structure":
        for key, item in value.items():
            inner = f"{name}.{key}" if name else key
            found += unruled(shape.members[key], item, inner, rules)
    elif shape.type_name == "list":
        for item in value:
            found += unruled(shape.member, item, f"{name}[]", rules)
    elif shape.type_name == "map":
        for key, item in value.items():
            found += unruled(shape.key, key, f"{name}{{key}}", rules)
            found += unruled(shape.value, item, f"{name}{{}}", rules)
    return found


def made(platform: Platform, document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All that SageMaker is asked for by one job request."""
    job = compile_job(platform, parse(document), execution=EXECUTION, started=STARTED)
    asked = {"CreateTrainingJob": job["parameters"]}
    if "register" in job:
        asked["CreateModelPackage"] = package(
            job,
            {"job_arn": "arn:job", "model_data_url": "s3://models/m.tar.gz"},
            execution=EXECUTION,
            metrics_uri="s3://models/metrics.json",
            request_uri="s3://models/request.json",
            sample_uri="s3://models/sample.tar.gz",
        )
    return asked


EVERYTHING: dict[str, Any] = {
    "image": "forest:3",
    "name": "everything",
    "hyperparameters": {"depth": 3},
    "channels": {
        "train": {
            "s3_uri": "s3://data/train/lines",
            "content_type": "application/x-image",
            "data_type": "AugmentedManifestFile",
            "attribute_names": ["source-ref", "class"],
            "input_mode": "Pipe",
            "record_wrapper": "RecordIO",
            "compression": "Gzip",
            "shuffle_seed": 1,
        }
    },
    "spot": True,
    "metric_definitions": [{"name": "score", "regex": "score=(.*)"}],
    "source": "s3://data/sources/1/sourcedir.tar.gz",
    "entry_point": "train.py",
    "provenance": {
        "submitted_by": "arn:aws:iam::111122223333:user/ann",
        "repository": "https://host/~ann/code (old).git",
        "commit": "0123abc",
        "modified": True,
    },
    "tags": {"team": "fraud"},
    "register": {"group": "digits", "approval": "Approved"},
    "sample": {"content_type": "text/csv", "body": "1,2"},
    "deploy": {"endpoint": "digits"},
}


@pytest.mark.parametrize("name", [*sorted(REQUESTS), "everything"])
def test_no_limited_member_is_without_a_rule(platform: Platform, name: str) -> None:
    document = EVERYTHING if name == "everything" else request(name)
    if name == "everything":
        platform = replace(platform, subnets=("subnet-1",), security_groups=("sg-1",))
    for operation, parameters in made(platform, document).items():
        shape = _MODEL.operation_model(operation).input_shape
        # What SageMaker enumerates is enumerated by the request's own model or by the environment.
        assert unruled(shape, parameters, "", dict(OPERATIONS[operation])) == []
        assert list(violations(OPERATIONS[operation], parameters)) == []


def refused(platform: Platform, **changes: Any) -> list[str]:
    with pytest.raises(InvalidRequest) as error:
        compile_job(platform, parse(EVERYTHING | changes), execution=EXECUTION, started=STARTED)
    return error.value.problems


@pytest.mark.parametrize(
    ("changes", "key", "allowed"),
    [
        ({"hyperparameters": {"a": "x" * 2499}}, "hyperparameters.a", "0 to 2500 characters"),
        ({"hyperparameters": {"k" * 257: 1}}, f"hyperparameters.{'k' * 257}", "0 to 256"),
        ({"hyperparameters": {"a\nb": 1}}, "hyperparameters.a\nb", "without line breaks"),
        (
            {"hyperparameters": {f"h{number}": 1 for number in range(99)}},
            "hyperparameters",
            "0 to 100 entries",
        ),
        ({"tags": {"te\u0301am": "x"}}, "tags.te\u0301am", "letters, digits, spaces and _ . :"),
        ({"tags": {"team": "a\tb"}}, "tags.team", "letters, digits, spaces and _ . :"),
        ({"tags": {"Team": "a", "team": "b"}}, "tags.team", "leave one of them out"),
        (
            {"tags": {"sagemaker-platform:environment": "prod"}},
            "tags.sagemaker-platform:environment",
            "choose another",
        ),
        (
            {"sample": {"content_type": "text/csv\nx", "body": "1"}},
            "sample.content_type",
            "without line breaks",
        ),
        (
            {"metric_definitions": [{"name": "a\nb", "regex": "(x)"}]},
            "metric_definitions.0.name",
            "without line breaks",
        ),
        ({"image": f"{'r' * 190}:3"}, "image", "0 to 255 characters"),
        (
            {"provenance": {"repository": "https://host/a\nb"}},
            "provenance.repository",
            "without line breaks",
        ),
        ({"max_wait_seconds": 60}, "max_wait_seconds", "at least max_runtime_seconds"),
    ],
    ids=[
        *("long-value", "long-name", "line-break", "too-many", "mark-in-key", "tab-in-tag"),
        *("keys-alike", "own-tag", "sample", "metric", "image", "repository", "wait"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused_before_anything_is_paid_for(
    platform: Platform, changes: dict[str, Any], key: str, allowed: str
) -> None:
    problems = refused(platform, **changes)
    assert problems[0].startswith(f"{key}: ") and allowed in problems[0]


def test_a_channel_is_named_by_its_key_and_the_code_by_source(platform: Platform) -> None:
    channel = {"s3_uri": "s3://data/x\ny", "content_type": "a\nb"}
    found = refused(platform, channels={"train": channel})
    assert [one.split(":")[0] for one in found][:2] == [
        "channels.train.s3_uri",
        "channels.train.content_type",
    ]


def test_provenance_reaches_the_package_in_characters_that_sagemaker_takes(
    platform: Platform,
) -> None:
    provenance = {"submitted_by": "arn:aws:iam::1:user/ann,bob", "commit": "0123abc"}
    for modified in (True, False):
        document = EVERYTHING | {"provenance": {**provenance, "modified": modified}}
        asked = made(platform, document)["CreateModelPackage"]
        properties = asked["CustomerMetadataProperties"]
        assert properties["commit"] == "0123abc"
        assert properties["modified"] == ("true" if modified else "false")
        assert properties["submitted_by"] == "arn:aws:iam::1:user/ann_bob"
        assert list(violations(CREATE_MODEL_PACKAGE, asked)) == []


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("Größe 数\u00a0\u0661", "Größe 数\u00a0\u0661"),
        ("a (b) c,d", "a _b_ c_d"),
        ("e\u0301 \u203f\t", "e_ __"),
        ("x" * 300, "x" * 256),
    ],
    ids=["scripts", "punctuation", "marks", "long"],
)
def test_a_text_becomes_a_property_as_sagemaker_takes_it(text: str, taken: str) -> None:
    assert property_text(text) == taken


def test_a_request_with_the_longest_values_is_taken(platform: Platform) -> None:
    document = complete(
        name="n" * 40,
        tags={"k" * 128: "v" * 256},
        provenance={"submitted_by": "s" * 256, "repository": "r" * 256, "commit": "a" * 64},
    )
    assert made(platform, document)
