"""What people are told of an execution. No AWS in here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common import quota_event

_LONGEST_SUBJECT = 100


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to the topic, and what the state gives out."""

    subject: str
    body: str
    output: Mapping[str, Any]


def success(state: Mapping[str, Any], region: str) -> Message:
    """What was made, and where it lies."""
    job, training = state["job"], state["training"]
    made = {
        "job": job["name"],
        "job_arn": training["job_arn"],
        "execution_arn": state["execution"],
        "algorithm": job["algorithm"],
        "metrics": training["metrics"],
        "training_seconds": training["training_seconds"],
        "billable_seconds": training["billable_seconds"],
        "s3_prefix": job["s3_prefix"],
        "model_data_url": training["model_data_url"],
        "log_group": "/aws/sagemaker/TrainingJobs",
        "console": console(region, state["execution"]),
    }
    if "package" in state:
        made["model_package_arn"] = state["package"]["arn"]
    if "deployment" in state:
        made["endpoint"] = state["deployment"]["endpoint"]
        made["previous_model_package_arn"] = state["deployment"]["previous"]
    where = f" and is in service at {made['endpoint']}" if "endpoint" in made else ""
    lines = [f"{job['name']} is trained{where}.", "", *_lines(made)]
    return Message(_subject(f"Done: {job['name']}"), "\n".join(lines), made)


def failure(state: Mapping[str, Any], region: str) -> Message:
    """Why it failed, first of all."""
    error, cause = readable(state["failure"])
    name = _name(state)
    told = {
        "error": error,
        "job": state.get("job", {}).get("name"),
        "job_arn": state.get("training", {}).get("job_arn"),
        "s3_prefix": state.get("job", {}).get("s3_prefix"),
        "execution_arn": state["execution"],
        "log_group": "/aws/sagemaker/TrainingJobs" if "job" in state else None,
        "console": console(region, state["execution"]),
    }
    lines = [f"{name} failed: {cause}", "", *_lines(told)]
    return Message(
        _subject(f"Failed: {name}: {error}"),
        "\n".join(lines),
        {"Error": error, "Cause": cause},
    )


def refused_by_quota(state: Mapping[str, Any]) -> dict[str, str] | None:
    """Who hit a quota and in which words that was refused; None when no quota was hit."""
    error, cause = readable(state.get("failure", {}))
    if not quota_event.of_a_quota(error, cause):
        return None
    asked = state.get("deployment", {}).get("endpoint") or _name(state)
    return {"asked": asked, "message": cause, "where": state["execution"]}


def readable(failure: Mapping[str, str]) -> tuple[str, str]:
    """The error of a state and its cause as a sentence: a function's comes as JSON."""
    error, cause = failure.get("Error", "Unknown"), failure.get("Cause", "")
    try:
        document = json.loads(cause)
    except ValueError:
        return error, cause
    if isinstance(document, dict) and "errorMessage" in document:
        return document.get("errorType", error), str(document["errorMessage"])
    return error, cause


def console(region: str, execution: str) -> str:
    """Where the execution can be looked at."""
    partition = execution.split(":")[1]
    host = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}.get(
        partition, "console.aws.amazon.com"
    )
    return f"https://{region}.{host}/states/home?region={region}#/v2/executions/details/{execution}"


def _name(state: Mapping[str, Any]) -> str:
    """The job's name, or the execution's where the request did not become a job."""
    return str(state.get("job", {}).get("name", state["execution"].rsplit(":", 1)[-1]))


def _subject(text: str) -> str:
    """SNS takes one short line of ASCII."""
    plain = text.encode("ascii", "replace").decode().replace("\n", " ")
    return plain if len(plain) <= _LONGEST_SUBJECT else plain[: _LONGEST_SUBJECT - 3] + "..."


def _lines(facts: Mapping[str, Any]) -> list[str]:
    shown = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            shown += [f"{key}: {name} = {number:g}" for name, number in value.items()]
        elif value is not None:
            shown.append(f"{key.replace('_', ' ')}: {value}")
    return shown
