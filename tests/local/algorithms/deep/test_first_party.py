"""The estimators that version 2 of the SageMaker Python SDK has for the deep algorithms."""

from typing import Any

import pytest

from tests.local import clients
from tests.platform import LocalPlatform


@pytest.fixture(scope="module")
def found(
    platform: LocalPlatform, scientist_role: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What each estimator's endpoint has answered, after one run of all."""
    names = ("ipinsights", "ntm", "object2vec")
    folder = tmp_path_factory.mktemp("client")
    answers: dict[str, Any] = clients.answer(
        platform, "sdk_v2/first_party.py", folder, scientist_role, *names
    )
    return answers


def test_ip_insights_fits_and_predicts_unchanged(found: dict[str, Any]) -> None:
    *own, third, fourth = found["ipinsights"]["dot_products"]
    assert len(own) == 2 and min(own) > max(third, fourth)


def test_the_neural_topic_model_fits_and_predicts_unchanged(found: dict[str, Any]) -> None:
    assert found["ntm"]["right"] >= 0.95
    assert found["ntm"]["sums"] == pytest.approx([1] * 50, abs=1e-5)


def test_object2vec_fits_and_predicts_unchanged(found: dict[str, Any]) -> None:
    alike, unlike = found["object2vec"]["together"]
    assert alike > 0.5 > unlike
