import pytest

from jobs.outcome import Failure, of


@pytest.mark.parametrize("status", ["InProgress", "Stopping"])
def test_a_job_that_goes_on_has_no_outcome(status: str) -> None:
    assert of({"TrainingJobStatus": status}) is None


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("AlgorithmError: NaN in row 7, exit code: 1", "AlgorithmError"),
        ("CapacityError: Unable to provision requested ML compute capacity.", "CapacityError"),
        ("InternalServerError: We encountered an internal error.", "InternalServerError"),
        ("Please use an instance type with more memory", "TrainingJobFailed"),
    ],
)
def test_a_failure_has_sagemakers_kind_and_its_whole_reason(reason: str, error: str) -> None:
    described = {"TrainingJobStatus": "Failed", "FailureReason": reason}
    assert of(described) == Failure(error, reason)


def test_a_job_that_took_too_long_says_which_limit_to_raise() -> None:
    described = {
        "TrainingJobStatus": "Stopped",
        "SecondaryStatus": "MaxRuntimeExceeded",
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    outcome = of(described)
    assert isinstance(outcome, Failure) and outcome.error == "MaxRuntimeExceeded"
    assert "max_runtime_seconds, which is 60" in outcome.cause


def test_a_job_that_somebody_stopped_is_no_success() -> None:
    outcome = of({"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped"})
    assert isinstance(outcome, Failure) and outcome.error == "TrainingJobStopped"
