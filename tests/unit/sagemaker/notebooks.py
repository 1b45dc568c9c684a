"""What the tests of notebook instances share."""

import base64
from typing import Any

import boto3
import psutil

from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import REGION, ROLE, until

_SETTLED = ("InService", "Stopped", "Failed")
LOG_GROUP = "/aws/sagemaker/NotebookInstances"


def encoded(script: str) -> list[dict[str, str]]:
    return [{"Content": base64.b64encode(script.encode()).decode()}]


def script(sagemaker: SageMakerService, name: str, **hooks: str) -> str:
    """Make a lifecycle configuration and return its name."""
    sagemaker.call(
        "CreateNotebookInstanceLifecycleConfig",
        {
            "NotebookInstanceLifecycleConfigName": name,
            **{hook: encoded(text) for hook, text in hooks.items()},
        },
    )
    return name


def create(sagemaker: SageMakerService, name: str, **changes: object) -> None:
    request = {
        "NotebookInstanceName": name,
        "InstanceType": "ml.t3.medium",
        "RoleArn": ROLE,
        **changes,
    }
    sagemaker.call("CreateNotebookInstance", request)


def described(sagemaker: SageMakerService, name: str) -> dict[str, Any]:
    return sagemaker.call("DescribeNotebookInstance", {"NotebookInstanceName": name})


def settled(sagemaker: SageMakerService, name: str) -> dict[str, Any]:
    """The instance, once nothing goes on in it any more."""

    def look() -> dict[str, Any] | None:
        found = described(sagemaker, name)
        return found if found["NotebookInstanceStatus"] in _SETTLED else None

    found = until(look)
    assert found
    return found


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def log(stream: str) -> list[str]:
    client = boto3.client("logs", region_name=REGION)
    events = client.get_log_events(
        logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True
    )["events"]
    return [event["message"] for event in events]
