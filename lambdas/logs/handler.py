"""The custom resource that gives SageMaker's log groups a retention."""

import json
import logging
import urllib.request
from typing import Any

import boto3

from logs.aws import create, keep, retention
from logs.logic import changes

PREFIX = "/aws/sagemaker/"

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def lambda_handler(event: dict[str, Any], context: object) -> None:
    """Make the wanted log groups where they are missing, and set how long they are kept.

    SageMaker makes these groups by itself with the first job, without a retention; several
    environments of one account share them. So they belong to no stack: when the resource is deleted
    they stay as they are. Everything here can be repeated without harm.
    """
    try:
        if event["RequestType"] != "Delete":
            _apply(event["ResourceProperties"], event.get("OldResourceProperties", {}))
    except Exception as error:
        # CloudFormation waits an hour for an answer, so it must get one whatever went wrong.
        logger.exception("failed")
        _answer(event, "FAILED", f"{type(error).__name__}: {error}")
    else:
        _answer(event, "SUCCESS", "")


def _apply(wanted: dict[str, Any], before: dict[str, Any]) -> None:
    logs = boto3.client("logs")
    found = retention(logs, PREFIX)
    for name in wanted["LogGroups"]:
        if name not in found:
            create(logs, name)
    former = int(before["Days"]) if "Days" in before else None
    for name, days in changes(wanted["LogGroups"], int(wanted["Days"]), former, found).items():
        keep(logs, name, days)
        logger.info(json.dumps({"logGroup": name, "before": found.get(name), "days": days}))


def _answer(event: dict[str, Any], status: str, reason: str) -> None:
    body = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": event.get("PhysicalResourceId", "sagemaker-log-groups"),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's own presigned URL
        event["ResponseURL"],
        data=json.dumps(body).encode(),
        method="PUT",
        # The URL is signed for no content type, and urllib would send one of its own.
        headers={"Content-Type": ""},
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - the same URL
        return
