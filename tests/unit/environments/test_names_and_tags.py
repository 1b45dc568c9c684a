"""Names, tags, regions and accounts that AWS would not take, or takes for something else."""

from pathlib import Path
from typing import Any

import pytest

from environments.model import Environment
from tests.unit.environments.test_model import GOOD, _error, _with

ENDPOINT = GOOD["endpoints"]["digits"]
PACKAGE = "arn:aws:sagemaker:{}:{}:model-package/{}/3"
LOCAL = {**GOOD, "name": "local", "account": "000000000000", "region": "us-east-1"}


@pytest.mark.parametrize(
    ("path", "value", "key", "says"),
    [
        ("tags", {"aws:team": "x"}, "tags.aws:team", "the prefix aws: is for AWS's own tags"),
        ("tags", {"AWS:team": "x"}, "tags.AWS:team", "the prefix aws: is for AWS's own tags"),
        ("tags", {"Environment": "x"}, "tags.Environment", "the platform gives this tag"),
        ("tags", {"environment": "x"}, "tags.environment", "the platform gives this tag"),
        (
            "tags",
            {"OwnerTeam": "x"},
            "tags.OwnerTeam",
            "Environment, DataClassification, OwnerTeam",
        ),
        ("tags", {"sagemaker-platform:endpoint": "x"}, "tags.sagemaker-platform:endpoint", "gives"),
        ("tags", {"Team": "a", "team": "b"}, "tags.team", "found beside 'Team'"),
        ("tags", {f"t{number}": "x" for number in range(60)}, "tags", "found 60; allowed: at most"),
        ("tags", {"": "x"}, "tags.", "what matches"),
        ("tags", {"a,b": "x"}, "tags.a,b", "what matches"),
        ("tags", {"a": "tab\t"}, "tags.a", "what matches"),
        ("tags", {"a": "e\u0301"}, "tags.a", "what matches"),
        ("tags", {"k" * 129: "x"}, f"tags.{'k' * 129}", "at most 128"),
        ("tags", {"a": "v" * 257}, "tags.a", "at most 256"),
        ("tags", {"a": 7}, "tags.a: found 7, a number", "put it in quotes"),
        ("tags", {"a": None}, "tags.a: found None, nothing", "put it in quotes"),
        ("tags", {"a": True}, "tags.a: found True, true or false for YAML", "put it in quotes"),
        ("region", "eu-west-9", "region", "no region of AWS that offers SageMaker"),
        ("region", "us-east1", "region", "us-east-1"),
        ("region", "", "region", "see environments/data/regions.yaml"),
        (
            "training/model_package_groups",
            ["FraudModels", "fraudmodels"],
            "training.model_package_groups: found 'fraudmodels' beside 'FraudModels'",
            "differ in more than case",
        ),
        ("endpoints", {"a": ENDPOINT, "A": ENDPOINT}, "endpoints: found 'a' beside 'A'", "case"),
        (
            "endpoints/digits/model",
            PACKAGE.format("us-east-1", GOOD["account"], "sagemaker-platform-dev-digits"),
            "endpoints.digits.model: the package is in us-east-1",
            "packages of eu-west-1",
        ),
        (
            "endpoints/digits/model",
            PACKAGE.format("eu-west-1", "999988887777", "sagemaker-platform-dev-digits"),
            "endpoints.digits.model: the package is in the account 999988887777",
            "packages of 111122223333",
        ),
        (
            "endpoints/digits/model",
            PACKAGE.format("eu-west-1", GOOD["account"], "sagemaker-platform-prod-digits"),
            "endpoints.digits.model: the package is in the group 'sagemaker-platform-prod-digits'",
            "sagemaker-platform-dev-digits",
        ),
    ],
)
def test_what_aws_would_not_take_is_refused_with_its_key(
    tmp_path: Path, path: str, value: Any, key: str, says: str
) -> None:
    message = _error(tmp_path, _with(path, value))
    assert message.startswith(f"{tmp_path}/dev.yaml: {key}") and says in message
    assert "\n" not in message


def test_as_many_tags_are_taken_as_the_sentence_allows(tmp_path: Path) -> None:
    def tags(count: int) -> dict[str, Any]:
        return _with("tags", {f"t{number}": "x" for number in range(count)})

    most = int(_error(tmp_path, tags(60)).partition("at most ")[2].split(",")[0])
    assert len(Environment.model_validate(tags(most)).tags) == most
    assert f"found {most + 1}" in _error(tmp_path, tags(most + 1))


def test_tags_are_in_any_script(tmp_path: Path) -> None:
    tags = {"Größe 数": "наша команда"}
    assert Environment.model_validate(_with("tags", tags)).tags == tags


@pytest.mark.parametrize("region", ["eusc-de-east-1", "us-gov-west-1", "cn-north-1"])
def test_a_region_of_any_partition_is_taken(region: str) -> None:
    assert Environment.model_validate(_with("region", region)).region == region


def test_a_name_in_capitals_is_taken() -> None:
    environment = Environment.model_validate(
        _with("training/model_package_groups", ["FraudModels"])
    )
    assert environment.training.model_package_groups == ["FraudModels"]


@pytest.mark.parametrize("group", ["FraudModels", "fraudmodels"])
def test_a_package_of_a_group_in_capitals_is_taken_in_either_spelling(group: str) -> None:
    content = _with("training/model_package_groups", ["FraudModels"])
    package = PACKAGE.format("eu-west-1", GOOD["account"], f"sagemaker-platform-dev-{group}")
    content["endpoints"]["digits"]["model"] = package
    assert Environment.model_validate(content).endpoints["digits"].model == package


@pytest.mark.parametrize(
    ("key", "found", "allowed"),
    [("region", "eu-west-1", "us-east-1"), ("account", "111122223333", "000000000000")],
)
def test_the_local_platform_is_one_account_in_one_region(
    tmp_path: Path, key: str, found: str, allowed: str
) -> None:
    Environment.model_validate(LOCAL)
    message = _error(tmp_path, {**LOCAL, key: found}, "local")
    assert message == (
        f"{tmp_path}/local.yaml: {key}: found {found!r}; allowed: {allowed!r}, which the local "
        "platform is"
    )


@pytest.mark.parametrize("account", [0, 0o111122223333, 111122223333])
def test_an_account_without_quotes_is_read_as_a_number_by_yaml(
    tmp_path: Path, account: int
) -> None:
    message = _error(tmp_path, _with("account", account))
    assert message.endswith(
        f"account: found {account}, a number; allowed: text, so put it in quotes"
    )
