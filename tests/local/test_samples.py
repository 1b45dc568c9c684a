"""Each sample notebook from its first cell to its last, as the role of a notebook."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local import samples
from tests.local.conftest import LocalPlatform


@pytest.fixture(scope="module")
def desk(platform: LocalPlatform) -> Iterator[samples.Desk]:
    with samples.desk(platform) as found:
        yield found


def test_a_first_training_job_learns_to_read_digits(
    platform: LocalPlatform, desk: samples.Desk, tmp_path: Path
) -> None:
    learned = desk.run(
        "1_first_training_job.ipynb", tmp_path, "[accuracy, len(rounds), len(test_y)]"
    )
    accuracy, rounds, judged = learned
    assert accuracy >= 0.95
    assert (rounds, judged) == (40, 360)
    assert samples.left(platform, "first-job") == []


def test_tuning_by_hand_chooses_the_setting_with_the_least_loss(
    platform: LocalPlatform, desk: samples.Desk, tmp_path: Path
) -> None:
    best, losses, accuracy = desk.run(
        "2_tune_by_hand.ipynb",
        tmp_path,
        "[best, [[s, loss(r)] for s, r in zip(settings, results)], accuracy]",
    )
    assert len(losses) == 6
    assert best == min(losses, key=lambda one: one[1])[0]
    assert accuracy >= 0.93
    assert samples.left(platform, "local-tune") == []
