import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Template

from environments.model import Environment
from stacks import declaration

ROOT = Path(__file__).parents[2]

ARM = lambda_.Architecture.ARM_64
AWS_IMAGE = "685385470294.dkr.ecr.eu-west-1.amazonaws.com/kmeans:1"
PACKAGE = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/sagemaker-platform-test-digits/3"

ENVIRONMENT: dict[str, Any] = {
    "name": "test",
    "account": "111122223333",
    "region": "eu-west-1",
    "training": {"instance_types": ["ml.m5.xlarge"], "model_package_groups": ["digits"]},
    "endpoints": {
        "digits": {
            "instance_type": "ml.m5.large",
            "instances": {"min": 2, "max": 4},
            "data_capture_percent": 20,
        },
        "pinned": {
            "instance_type": "ml.g5.xlarge",
            "instances": {"min": 1, "max": 1},
            "model": PACKAGE,
        },
    },
    "notebooks": {
        "plain": {"instance_type": "ml.t3.medium"},
        "shared": {
            "instance_type": "ml.m5.xlarge",
            "volume_gb": 100,
            "idle_minutes": 30,
            "code_repository": "team-notebooks",
        },
    },
    "governance": {
        "owner": "ml-platform",
        "data_classification": "confidential",
        "log_retention_days": 30,
        "alert_email": "on-call@example.com",
        "single_instance_reason": "An environment for tests needs no second instance.",
    },
    "delivery": {"repository": "example@1234567/platform@7654321"},
    "tags": {"CostCenter": "1234"},
}


def new_app(*, validated: bool = False) -> App:
    """An app with the feature flags of the project.

    CDK's own validation takes longer than all else in a synthesis, so one test asks for it.
    """
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return App(context=context, builtin_cloud_formation_validation=validated)


def declare(
    environment: Mapping[str, Any], functions: Path, app: App | None = None
) -> dict[str, Stack]:
    """All stacks of an environment by their part of the platform, in an app of their own."""
    found = declaration.declare(
        app or new_app(),
        Environment.model_validate(environment),
        algorithms=["kmeans", "xgboost"],
        aws_images=[AWS_IMAGE],
        functions=functions,
        architecture=ARM,
        notebooks=ROOT / "notebooks",
    )
    return dict(found)


@pytest.fixture
def app() -> App:
    return new_app()


@pytest.fixture(scope="session")
def environment() -> dict[str, Any]:
    return ENVIRONMENT


@pytest.fixture(scope="session")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "handler.py").write_text("", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def stacks(functions: Path) -> dict[str, Stack]:
    return declare(ENVIRONMENT, functions)


@pytest.fixture(scope="session")
def templates(stacks: dict[str, Stack]) -> dict[str, Template]:
    return {part: Template.from_stack(stack) for part, stack in stacks.items()}
