"""How a training job ended, in the words of the state that waits for it. No AWS in here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TERMINAL = frozenset({"Completed", "Failed", "Stopped"})

# SageMaker puts the kind of a failure in front of its reason.
_KIND = re.compile(r"(?P<kind>[A-Z]\w*Error):\s*(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Success:
    """The job is completed; `output` is what later states know of it."""

    output: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """The job is not completed, and never will be."""

    error: str
    cause: str


Outcome = Success | Failure


def of(described: Mapping[str, Any]) -> Outcome | None:
    """The outcome in an answer of DescribeTrainingJob; None while the job goes on."""
    match described["TrainingJobStatus"]:
        case "Completed":
            return Success(_output(described))
        case "Failed":
            return _failure(described.get("FailureReason", ""))
        case "Stopped":
            return _stopped(described)
    return None


def _output(described: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "job_arn": described["TrainingJobArn"],
        "model_data_url": described["ModelArtifacts"]["S3ModelArtifacts"],
        "metrics": {
            metric["MetricName"]: metric["Value"]
            for metric in described.get("FinalMetricDataList", [])
        },
        "training_seconds": described.get("TrainingTimeInSeconds"),
        "billable_seconds": described.get("BillableTimeInSeconds"),
    }


def _failure(reason: str) -> Failure:
    found = _KIND.match(reason)
    if found:
        return Failure(found["kind"], reason)
    return Failure("TrainingJobFailed", reason or "SageMaker gave no reason")


def _stopped(described: Mapping[str, Any]) -> Failure:
    if described.get("SecondaryStatus") == "MaxRuntimeExceeded":
        limit = described.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
        return Failure(
            "MaxRuntimeExceeded",
            f"the job was stopped after max_runtime_seconds, which is {limit}; raise it in the "
            "request",
        )
    return Failure("TrainingJobStopped", "somebody stopped the job with StopTrainingJob")
