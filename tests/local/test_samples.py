"""Each sample notebook from its first cell to its last, as the role of a notebook."""

from collections.abc import Iterator

import pytest

from tests.images import script_mode
from tests.local import registry, samples
from tests.platform import LocalPlatform


@pytest.fixture(scope="module")
def desk(platform: LocalPlatform) -> Iterator[samples.Desk]:
    with samples.desk(platform) as found:
        yield found


def test_a_first_training_job_learns_to_read_digits(
    platform: LocalPlatform, desk: samples.Desk
) -> None:
    learned = desk.run("1_first_training_job.ipynb", "[accuracy, len(rounds), len(test_y)]")
    accuracy, rounds, judged = learned
    assert accuracy >= 0.95
    assert (rounds, judged) == (40, 360)
    assert samples.left(platform, "first-training-job", "first-job") == []


def test_tuning_by_hand_chooses_the_setting_with_the_least_loss(
    platform: LocalPlatform, desk: samples.Desk
) -> None:
    best, losses, accuracy = desk.run(
        "2_tune_by_hand.ipynb",
        "[best, [[s, loss(r)] for s, r in zip(settings, results)], accuracy]",
    )
    assert len(losses) == 6
    assert best == min(losses, key=lambda one: one[1])[0]
    assert accuracy >= 0.93
    assert samples.left(platform, "tune-by-hand", "local-tune") == []


def test_a_job_that_would_run_for_long_is_stopped_and_its_cost_told(
    platform: LocalPlatform, desk: samples.Desk
) -> None:
    job, paid, at_most, cause = desk.run(
        "5_costs_and_how_to_stop.ipynb",
        "[[name, job['TrainingJobStatus']], cost(job), at_most, state['cause']]",
    )
    described = platform.client("sagemaker").describe_training_job(TrainingJobName=job[0])
    assert job[1] == described["TrainingJobStatus"] == "Stopped"
    assert 0 < paid < at_most
    assert paid == pytest.approx(described["BillableTimeInSeconds"] * 0.115 / 3600)
    assert "somebody stopped the job" in cause
    assert samples.left(platform, "costs", "too-long") == []


def test_a_script_of_ones_own_learns_in_an_image_of_ones_own(
    platform: LocalPlatform, desk: samples.Desk
) -> None:
    image = script_mode.built()
    with registry.logged_in(platform):
        (found,) = platform.client("ecr").describe_repositories(
            repositoryNames=["sagemaker-platform-local/script-mode"]
        )["repositories"]
        registry.push(image, f"{found['repositoryUri']}:1")
    accuracy, curve, prefix = desk.run(
        "3_own_script.ipynb", "[accuracy, len(curve), result['s3_prefix']]"
    )
    assert accuracy >= 0.9
    assert curve == 60
    bucket, _, key = prefix.removeprefix("s3://").partition("/")
    kept = platform.client("s3").list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]
    assert f"{key}source/sourcedir.tar.gz" in {one["Key"] for one in kept}
    assert samples.left(platform, "own-script", "own-script") == []
    assert samples.left(platform, "sources", "own-script") == []
