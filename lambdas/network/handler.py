"""The custom resource that empties a VPC's default security group."""

import json
import logging
from typing import Any

import boto3

from custom_resources import answer
from network.aws import rules, take_out

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def lambda_handler(event: dict[str, Any], context: object) -> None:
    """Take out every rule of the group; a group that has none stays as it is.

    When the resource is deleted nothing is put back: the VPC and with it the group go as well.
    """
    answer(event, event["ResourceProperties"]["GroupId"], lambda: _close(event))


def _close(event: dict[str, Any]) -> None:
    if event["RequestType"] == "Delete":
        return
    group = event["ResourceProperties"]["GroupId"]
    ec2 = boto3.client("ec2")
    found = rules(ec2, group)
    take_out(ec2, group, found)
    logger.info(json.dumps({"group": group, "removed": [*found.ingress, *found.egress]}))
