from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.model import DIRECTORY, Environment, InvalidEnvironment, names

GOOD: dict[str, Any] = {
    "name": "dev",
    "account": "111122223333",
    "region": "eu-west-1",
    "training": {"instance_types": ["ml.m5.xlarge"], "model_package_groups": ["digits"]},
    "endpoints": {
        "digits": {"instance_type": "ml.m5.large", "instances": {"min": 2, "max": 4}},
    },
    "governance": {
        "owner": "ml-platform",
        "data_classification": "internal",
        "log_retention_days": 30,
    },
}


def _with(path: str, value: Any) -> dict[str, Any]:
    """GOOD with one value changed, added or, if it is `...`, left out."""
    content: dict[str, Any] = yaml.safe_load(yaml.safe_dump(GOOD))
    *parents, last = path.split("/")
    place = content
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return content


def _error(directory: Path, content: object, name: str = "dev") -> str:
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidEnvironment) as caught:
        Environment.load(name, directory)
    return str(caught.value)


@pytest.mark.parametrize("name", names())
def test_every_environment_of_the_project_loads(name: str) -> None:
    assert Environment.load(name).name == name


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_environments_that_others_depend_on_survive_the_loss_of_an_instance(name: str) -> None:
    environment = Environment.load(name)
    assert environment.governance.single_instance_reason is None
    assert all(endpoint.instances.min >= 2 for endpoint in environment.endpoints.values())


def test_the_good_content_of_these_tests_is_good() -> None:
    assert Environment.model_validate(GOOD).name == "dev"


@pytest.mark.parametrize(
    ("path", "value", "key", "allowed"),
    [
        ("training/volum_gb", 30, "training.volum_gb: unknown key", "did you mean volume_gb?"),
        ("workbenches", {}, "workbenches: unknown key", "allowed: name, account, region"),
        (
            "notebooks",
            {"w": {"instance_type": "ml.m5.large"}},
            "notebooks.w.instance_type: 'ml.m5.large' is no instance type for notebook",
            "allowed: ml.m5.xlarge, ml.m5.2xlarge",
        ),
        (
            "notebooks",
            {"w": {"instance_type": "ml.p3.2xlarge"}},
            "notebooks.w.instance_type: 'ml.p3.2xlarge' is no instance type for notebook",
            "exists only for training",
        ),
        (
            "notebooks",
            {"w": {"instance_type": "ml.t3.medium", "volume_gb": 4}},
            "notebooks.w.volume_gb: found 4",
            "greater than or equal to 5",
        ),
        (
            "notebooks",
            {"w": {"instance_type": "ml.t3.medium", "idle_minuts": 4}},
            "notebooks.w.idle_minuts: unknown key",
            "did you mean idle_minutes?",
        ),
        (
            "notebooks",
            {"w": {"instance_type": "ml.t3.medium", "idle_minutes": 0}},
            "notebooks.w.idle_minutes: found 0",
            "greater than or equal to 5",
        ),
        (
            "notebooks",
            {"w": {"instance_type": "ml.t3.medium", "code_repository": "https://github.com/a/b"}},
            "notebooks.w.code_repository: found 'https://github.com/a/b'",
            "allowed: the name of a CodeCommit repository",
        ),
        (
            "notebooks",
            {"w" * 50: {"instance_type": "ml.t3.medium"}},
            "notebooks.wwwww",
            "is too long",
        ),
        ("account", 111122223333, "account: found 111122223333, a number", "put it in quotes"),
        ("account", "1234", "account: found '1234'", r"allowed: what matches ^\d{12}$"),
        ("region", ..., "region: missing", "AWS region"),
        ("storage", {"retain": "yes"}, "storage.retain: found 'yes'", "allowed: boolean"),
        ("training/volume_gb", "30", "training.volume_gb: found '30'", "allowed: integer"),
        ("training/volume_gb", 0, "training.volume_gb: found 0", "greater than or equal to 1"),
        ("network", {"mode": "open"}, "network.mode: found 'open'", "'managed' or 'private'"),
        ("network", {"cidr": "10.0.0.1/16"}, "network.cidr: found '10.0.0.1/16'", "host bits"),
        ("network", {"cidr": "8.8.0.0/16"}, "network.cidr: found '8.8.0.0/16'", "private"),
        ("network", {"cidr": "10.0.0.0/24"}, "network.cidr: found '10.0.0.0/24'", "/16 to /22"),
        ("network", {"zones": 1}, "network.zones: found 1", "greater than or equal to 2"),
        (
            "governance/log_retention_days",
            31,
            "governance.log_retention_days: found 31",
            "allowed: 1, 3, 5, 7, 14, 30",
        ),
        (
            "governance/quota_alert_percent",
            0,
            "governance.quota_alert_percent: found 0",
            "greater than or equal to 1",
        ),
        (
            "governance/data_classification",
            "secret",
            "governance.data_classification: found 'secret'",
            "'public', 'internal', 'confidential' or 'restricted'",
        ),
        (
            "endpoints/digits/instances",
            {"min": 4, "max": 2},
            "endpoints.digits.instances: max is 2, below min 4",
            "allowed: 4 to 100",
        ),
        (
            "endpoints/digits/instances",
            {"min": 1, "max": 2},
            "endpoints.digits.instances.min: found 1",
            "governance.single_instance_reason",
        ),
        (
            "endpoints/digits/kind",
            "serverless",
            "endpoints.digits.kind: found 'serverless'",
            "allowed: 'real-time'",
        ),
        (
            "endpoints/digits/model",
            "arn:aws:sagemaker:eu-west-1:111122223333:model/digits",
            "endpoints.digits.model: found",
            "model-package",
        ),
        ("delivery", {}, "delivery.repository: missing", "wanted: As GitHub's tokens name it"),
        (
            "delivery",
            {"repository": "example/platform", "provider": "create"},
            "delivery.provider: unknown key",
            "allowed: repository, oidc_provider (did you mean oidc_provider?)",
        ),
        (
            "delivery",
            {"repository": "example/platform", "oidc_provider": "import"},
            "delivery.oidc_provider: found 'import'",
            "allowed: 'create' or 'existing'",
        ),
        ("training/model_package_groups", ["a_b"], "training.model_package_groups.0", "matches"),
    ],
)
def test_says_key_and_what_is_allowed(
    tmp_path: Path,
    path: str,
    value: Any,
    key: str,
    allowed: str,
) -> None:
    message = _error(tmp_path, _with(path, value))
    assert message.startswith(f"{tmp_path}/dev.yaml: {key}")
    assert allowed in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "repository", ["example/platform", "ex-ample@1234567/my.plat_form@7654321", "e/.github"]
)
def test_a_repository_is_what_githubs_tokens_call_it(repository: str) -> None:
    environment = Environment.model_validate(_with("delivery", {"repository": repository}))
    assert environment.delivery
    assert environment.delivery.repository == repository
    assert environment.delivery.oidc_provider == "create"


@pytest.mark.parametrize(
    "repository",
    [
        "platform",
        "example/*",
        "*/platform",
        "ex?mple/platform",
        "${owner}/platform",
        "example/platform:ref",
        "example/platform\n",
        "example/team/platform",
        "example@1234567/platform",
        "example/platform@7654321",
        "example@/platform@",
        "https://github.com/example/platform",
        "git@github.com:example/platform",
        "",
    ],
)
def test_nothing_else_is_a_repository(tmp_path: Path, repository: str) -> None:
    message = _error(tmp_path, _with("delivery", {"repository": repository}))
    assert message.startswith(f"{tmp_path}/dev.yaml: delivery.repository: found {repository!r}")
    assert "\n" not in message


def test_an_account_is_not_given_a_second_provider_for_github() -> None:
    creating = [
        environment.account
        for environment in map(Environment.load, names())
        if environment.delivery and environment.delivery.oidc_provider == "create"
    ]
    assert sorted(creating) == sorted(set(creating))


def test_an_instance_type_that_exists_only_for_training_is_no_endpoint(tmp_path: Path) -> None:
    message = _error(tmp_path, _with("endpoints/digits/instance_type", "ml.trn1n.32xlarge"))
    assert "dev.yaml: endpoints.digits.instance_type: 'ml.trn1n.32xlarge'" in message
    assert "no instance type for endpoint: it exists only for training" in message


def test_a_misspelt_instance_type_is_answered_with_its_family(tmp_path: Path) -> None:
    message = _error(tmp_path, _with("training/instance_types", ["ml.m5.3xlarge"]))
    assert "it does not exist; allowed: ml.m5.large, ml.m5.xlarge, ml.m5.2xlarge" in message


@pytest.mark.parametrize("path", ["endpoints", "training/model_package_groups"])
def test_a_name_is_too_long_when_what_is_made_of_it_is(tmp_path: Path, path: str) -> None:
    name = "a" * 50
    value = {name: GOOD["endpoints"]["digits"]} if path == "endpoints" else [name]
    message = _error(tmp_path, _with(path, value))
    assert f"{name!r} is too long: 'sagemaker-platform-dev-{name}" in message
    assert " for the name, 6" in message


def test_the_longest_name_that_is_allowed_is_what_the_error_says(tmp_path: Path) -> None:
    message = _error(tmp_path, _with("training/model_package_groups", ["a" * 60]))
    longest = int(message.partition("allowed: ")[2].split()[0])
    good = _with("training/model_package_groups", ["a" * longest])
    assert Environment.model_validate(good).training.model_package_groups == ["a" * longest]
    assert "too long" in _error(
        tmp_path, _with("training/model_package_groups", ["a" * (longest + 1)])
    )


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    content = _with("training/volum_gb", 30)
    content["account"] = "1"
    assert len(_error(tmp_path, content).splitlines()) == 2


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    assert "'region' is given twice" in _error(tmp_path, yaml.safe_dump(GOOD) + "region: x\n")


def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path) -> None:
    message = _error(tmp_path, "name: [dev\n")
    assert "not YAML" in message
    assert "line 2" in message


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert "dev.yaml: file: found None" in _error(tmp_path, "")


def test_the_name_must_be_the_files(tmp_path: Path) -> None:
    assert "name: found 'dev'; allowed: 'prod'" in _error(tmp_path, GOOD, name="prod")


def test_an_environment_without_a_file_is_answered_with_those_that_have_one() -> None:
    with pytest.raises(InvalidEnvironment, match="allowed: dev, local, prod, staging"):
        Environment.load("production")


def test_nothing_outside_of_the_folder_is_read() -> None:
    with pytest.raises(InvalidEnvironment, match="has no file"):
        Environment.load(f"../{DIRECTORY.name}/dev")
