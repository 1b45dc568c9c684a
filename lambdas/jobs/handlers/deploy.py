"""Ask CloudFormation to put a model package into service, or to put the last one back."""

import os
import time
from typing import Any

from common.clients import client
from common.settings import required
from jobs.deployment import Deployer
from jobs.table import JobTable

TABLE = required(os.environ, "JOB_TABLE")


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The deployment that was begun, or that goes back when it was found unhealthy.

    A second call finds its own lock and asks for the same, which changes nothing.

    Raises:
        EndpointBusy: Somebody else changes the endpoint; come again.
    """
    deployer = Deployer(JobTable(client("dynamodb"), TABLE), client("cloudformation"))
    deployment = event.get("deployment")
    if deployment:
        return deployer.restore(deployment)
    target = event["job"]["deploy"]
    return deployer.begin(
        endpoint=target["endpoint"],
        stack=target["stack"],
        package=event["package"]["arn"],
        execution=event["execution"],
        now=int(time.time()),
    )
