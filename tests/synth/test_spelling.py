"""Policies name SageMaker's resources in the case of their names and in lower case."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Aws
from aws_cdk.assertions import Template

from sagemaker_constructs.spelling import spellings
from tests.synth.conftest import ENVIRONMENT, declare

GROUP, ENDPOINT, NOTEBOOK = CAPITALS = ("FraudModels", "FraudScore", "DataLab")


@pytest.fixture(scope="module")
def statements(functions: Path) -> list[list[str]]:
    """The resources of each statement in an environment whose names have capitals."""
    environment = {
        **ENVIRONMENT,
        "training": {"instance_types": ["ml.m5.xlarge"], "model_package_groups": [GROUP]},
        "endpoints": {ENDPOINT: ENVIRONMENT["endpoints"]["digits"]},
        "notebooks": {NOTEBOOK: {"instance_type": "ml.t3.medium"}},
    }
    stacks = declare(environment, functions)
    wanted = ("training", "development")
    return [
        list(resources)
        for part in wanted
        for resources in _resources(Template.from_stack(stacks[part]).to_json())
    ]


def _resources(value: Any) -> Iterator[Iterator[str]]:
    """The resources of each policy statement anywhere in a template, as text."""
    if isinstance(value, dict):
        if "Effect" in value and "Resource" in value:
            found = value["Resource"]
            yield (json.dumps(one) for one in (found if isinstance(found, list) else [found]))
        for item in value.values():
            yield from _resources(item)
    elif isinstance(value, list):
        for item in value:
            yield from _resources(item)


def _lower(resource: str) -> str:
    for name in CAPITALS:
        resource = resource.replace(name, name.lower())
    return resource


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("model-package", GROUP),
        ("model-package-group", GROUP),
        ("endpoint", ENDPOINT),
        ("notebook-instance", NOTEBOOK),
    ],
)
def test_a_statement_that_names_a_resource_holds_both_spellings(
    statements: list[list[str]], kind: str, name: str
) -> None:
    named = [
        {one for one in resources if f":{kind}/sagemaker-platform-test-{name}" in one}
        for resources in statements
    ]
    assert any(named), "nothing may be done with it"
    for resources, capitals in zip(statements, named, strict=True):
        assert {_lower(one) for one in capitals} <= set(resources)


def test_a_name_in_lower_case_has_one_spelling_and_a_token_is_left_as_it_is() -> None:
    token = Aws.ACCOUNT_ID
    assert spellings(["digits", "FraudModels", token]) == [
        *("digits", "FraudModels", "fraudmodels"),
        token,
    ]
