"""The SageMaker Python SDK, version 3, and MLflow's client of SageMaker, unchanged."""

from pathlib import Path
from typing import Any

import pytest

from scripts import base_image
from tests import images
from tests.local import clients
from tests.platform import LocalPlatform


@pytest.fixture(scope="module")
def found(
    platform: LocalPlatform, scientist_role: str, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    folder = tmp_path_factory.mktemp("sdk-v3")
    return clients.answer(platform, "sdk_v3/trainer.py", folder, scientist_role)


@pytest.fixture(scope="module")
def mlflow_endpoint(
    platform: LocalPlatform,
    scientist_role: str,
    found: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    folder = tmp_path_factory.mktemp("mlflow")
    arguments = (scientist_role, found["image"], found["artifact"])
    return clients.answer(platform, "sdk_v3/mlflow_deployment.py", folder, *arguments)


def test_model_trainer_trains_with_a_role_that_the_sdk_made(found: Any) -> None:
    assert found["trainer"] == "Completed"


def test_model_trainer_trains_several_of_the_algorithms(found: Any) -> None:
    names = ("pca", "linear-learner", "xgboost")
    assert found["several"] == dict.fromkeys(names, "Completed")


def test_the_sdk_finds_by_simulation_what_a_role_lacks(found: Any) -> None:
    assert "ec2:CreateNetworkInterface" in found["refused"]
    # What the role has is not among what it lacks.
    assert "logs:CreateLogStream" not in found["refused"]


def test_resource_classes_train_and_list(found: Any) -> None:
    assert found["resource"] == "Completed"
    assert "train:msd" in found["metrics"]
    assert len(found["listed"]) == 2


def test_resource_classes_serve_update_and_delete(platform: LocalPlatform, found: Any) -> None:
    endpoint = found["endpoint"]
    assert len(set(endpoint["clusters"])) == 3
    assert endpoint["after_update"] == endpoint["clusters"]
    assert endpoint["instances"] == 2
    left = platform.client("sagemaker").list_endpoints(NameContains="v3-")["Endpoints"]
    assert left == []


def test_mlflow_deploys_asks_updates_and_deletes(mlflow_endpoint: Any) -> None:
    assert mlflow_endpoint["status"] == "InService"
    assert "mlflow-kmeans" in mlflow_endpoint["listed"]
    assert len(set(mlflow_endpoint["clusters"])) == 3
    assert mlflow_endpoint["after_update"] == mlflow_endpoint["clusters"]
    assert "mlflow-kmeans" in mlflow_endpoint["after_delete"]


def test_model_trainer_runs_a_script_in_an_image_of_ones_own(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    images.need()
    # The SDK's script looks for pip before it runs anything, and asks it for nothing here.
    image = images.build(
        "sagemaker-platform/test-trainer:1",
        f"FROM {base_image.IMAGE}\n"
        "RUN printf '#!/bin/sh\\nexec python3 -m pip \"$@\"\\n' > /usr/local/bin/pip3 "
        "&& chmod +x /usr/local/bin/pip3\n",
        tmp_path,
    )
    found = clients.answer(platform, "sdk_v3/own_image.py", tmp_path, image)
    assert found == {"status": "Completed", "result": {"lines": 3, "rate": 0.5}}
