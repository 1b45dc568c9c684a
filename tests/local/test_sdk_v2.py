"""The SageMaker Python SDK, version 2, unchanged.

But for a check of its configuration that it would repeat: see tests/clients/sdk_v2/together.py.
"""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.images import script_mode
from tests.local import clients
from tests.platform import LocalPlatform


@pytest.fixture(scope="module")
def found(
    platform: LocalPlatform, scientist_role: str, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    folder = tmp_path_factory.mktemp("sdk-v2")
    return clients.answer(platform, "sdk_v2/estimators.py", folder, scientist_role)


def test_kmeans_trains_deploys_answers_updates_and_deletes(
    platform: LocalPlatform, found: Any
) -> None:
    kmeans = found["kmeans"]
    assert len(set(kmeans["clusters"])) == 3
    assert kmeans["after_update"] == kmeans["clusters"]
    assert kmeans["instances"] == 2
    bucket, _, key = kmeans["artifact"].removeprefix("s3://").partition("/")
    assert platform.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0
    listed = platform.client("sagemaker").list_endpoints(NameContains=kmeans["endpoint"])
    assert [one["EndpointStatus"] for one in listed["Endpoints"]] in ([], ["Deleting"])


def test_linear_learner_is_attached_to_by_name_and_answers(found: Any) -> None:
    assert found["linear_learner"]["right"] >= 0.95


def test_xgboost_runs_in_the_generic_estimator_with_metrics_and_tags(found: Any) -> None:
    assert found["xgboost"]["right"] >= 0.95
    assert "train:mlogloss" in found["xgboost"]["metrics"]
    assert {"Key": "team", "Value": "clients"} in found["xgboost"]["tags"]


@pytest.fixture(scope="module")
def scripts(
    platform: LocalPlatform, scientist_role: str, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    folder = tmp_path_factory.mktemp("frameworks")
    names = ["scikit-learn", "xgboost"]
    names += ["pytorch"] if importlib.util.find_spec("torch") else []
    return clients.answer(platform, "sdk_v2/frameworks.py", folder, scientist_role, *names)


def test_a_script_of_scikit_learn_trains_with_its_metric_and_answers(scripts: Any) -> None:
    found = scripts["scikit-learn"]
    assert found["answer"] == pytest.approx([11, 13])
    assert found["metrics"] == {"intercept": 1.0}


def test_a_script_of_xgboost_trains_and_answers(scripts: Any) -> None:
    assert scripts["xgboost"]["answer"] == pytest.approx([11, 13], abs=0.5)


def test_a_script_of_pytorch_trains_without_a_network_and_answers(scripts: Any) -> None:
    if "pytorch" not in scripts:
        pytest.skip("torch is not installed: make deep")
    assert scripts["pytorch"]["answer"] == [[pytest.approx(11)], [pytest.approx(13)]]


def test_a_script_runs_in_an_image_of_ones_own(
    platform: LocalPlatform, scientist_role: str, tmp_path: Path
) -> None:
    found = clients.answer(
        platform, "sdk_v2/script_mode.py", tmp_path, script_mode.built(), scientist_role
    )
    assert found == {"status": "Completed", "result": {"lines": 3, "rate": 0.5}}
