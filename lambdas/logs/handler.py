"""The custom resource that gives SageMaker's log groups a retention."""

import json
import logging
from typing import Any

import boto3

from custom_resources import answer
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
    answer(event, "sagemaker-log-groups", lambda: _apply(event))


def _apply(event: dict[str, Any]) -> None:
    if event["RequestType"] == "Delete":
        return
    wanted, before = event["ResourceProperties"], event.get("OldResourceProperties", {})
    logs = boto3.client("logs")
    found = retention(logs, PREFIX)
    for name in wanted["LogGroups"]:
        if name not in found:
            create(logs, name)
    former = int(before["Days"]) if "Days" in before else None
    for name, days in changes(wanted["LogGroups"], int(wanted["Days"]), former, found).items():
        keep(logs, name, days)
        logger.info(json.dumps({"logGroup": name, "before": found.get(name), "days": days}))
