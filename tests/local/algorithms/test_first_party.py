"""The estimators that version 2 of the SageMaker Python SDK has for the light algorithms."""

from pathlib import Path

from tests.local import clients
from tests.local.conftest import LocalPlatform


def test_random_cut_forest_fits_and_predicts_unchanged(
    platform: LocalPlatform, scientist_role: str, tmp_path: Path
) -> None:
    found = clients.answer(
        platform, "sdk_v2/first_party.py", tmp_path, scientist_role, "randomcutforest"
    )
    *usual, far = found["randomcutforest"]["scores"]
    assert len(usual) == 5 and far > max(usual) > 0
