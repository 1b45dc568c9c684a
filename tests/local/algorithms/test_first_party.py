"""The estimators that version 2 of the SageMaker Python SDK has for the light algorithms."""

from typing import Any

import pytest

from tests.local import clients
from tests.platform import LocalPlatform


@pytest.fixture(scope="module")
def found(
    platform: LocalPlatform, scientist_role: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What each estimator's endpoint has answered, after one run of all."""
    names = ("randomcutforest", "factorization-machines", "lda", "pca", "knn")
    folder = tmp_path_factory.mktemp("client")
    answers: dict[str, Any] = clients.answer(
        platform, "sdk_v2/first_party.py", folder, scientist_role, *names
    )
    return answers


def test_random_cut_forest_fits_and_predicts_unchanged(found: dict[str, Any]) -> None:
    *usual, far = found["randomcutforest"]["scores"]
    assert len(usual) == 5 and far > max(usual) > 0


def test_factorization_machines_and_lda_fit_and_predict_unchanged(found: dict[str, Any]) -> None:
    assert [found[name]["right"] for name in ("factorization-machines", "lda")] == [1, 1]
    assert found["lda"]["sums"] == pytest.approx([1] * 50, abs=1e-5)


def test_pca_and_knn_fit_and_predict_unchanged(found: dict[str, Any]) -> None:
    assert found["knn"]["labels"] == [[0], [1], [2]]
    # The strongest component comes last, and tells the three clouds apart in their order.
    last = [one[1] for one in found["pca"]["projections"]]
    assert [len(one) for one in found["pca"]["projections"]] == [2, 2, 2]
    assert last[0] < last[1] < last[2] and last[2] - last[0] > 15
