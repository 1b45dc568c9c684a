"""Look how a deployment goes on, and ask the endpoint when it is done."""

import os
import time
from typing import Any

from common.clients import client
from common.settings import required
from jobs.deployment import Inspector
from jobs.table import JobTable

TABLE = required(os.environ, "JOB_TABLE")


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The deployment with its state; it only looks, so that it can be repeated.

    Raises:
        DeploymentFailed: The package is not in service, with the reason.
    """
    return Inspector(
        JobTable(client("dynamodb"), TABLE),
        client("cloudformation"),
        client("sagemaker"),
        client("sagemaker-runtime"),
    ).look(
        event["deployment"],
        sample=event["job"]["request"]["sample"],
        execution=event["execution"],
        now=int(time.time()),
    )
