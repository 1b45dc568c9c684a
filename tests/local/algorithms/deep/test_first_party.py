"""The estimators that version 2 of the SageMaker Python SDK has for the deep algorithms."""

from pathlib import Path

import pytest

from tests.local import clients
from tests.local.conftest import LocalPlatform


def test_ip_insights_fits_and_predicts_unchanged(
    platform: LocalPlatform, scientist_role: str, tmp_path: Path
) -> None:
    found = clients.answer(
        platform, "sdk_v2/first_party.py", tmp_path, scientist_role, "ipinsights"
    )
    *own, third, fourth = found["ipinsights"]["dot_products"]
    assert len(own) == 2 and min(own) > max(third, fourth)


def test_the_estimator_of_the_neural_topic_model_fits_and_predicts_unchanged(
    platform: LocalPlatform, scientist_role: str, tmp_path: Path
) -> None:
    found = clients.answer(platform, "sdk_v2/first_party.py", tmp_path, scientist_role, "ntm")
    assert found["ntm"]["right"] >= 0.95
    assert found["ntm"]["sums"] == pytest.approx([1] * 50, abs=1e-5)


def test_the_estimator_of_object2vec_fits_and_predicts_unchanged(
    platform: LocalPlatform, scientist_role: str, tmp_path: Path
) -> None:
    found = clients.answer(
        platform, "sdk_v2/first_party.py", tmp_path, scientist_role, "object2vec"
    )
    alike, unlike = found["object2vec"]["together"]
    assert alike > 0.5 > unlike
