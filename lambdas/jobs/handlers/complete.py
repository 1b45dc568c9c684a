"""Answer the task of a training job that has ended."""

import os
import time
from typing import Any

from common.clients import client
from common.settings import required
from jobs.lifecycle import Lifecycle
from jobs.table import JobTable

TABLE = required(os.environ, "JOB_TABLE")


def lambda_handler(event: dict[str, Any], context: object) -> None:
    """Look the job up, and answer when it has ended.

    The event only says that it is time to look: it may come twice, late or for a job of somebody
    else, and carries neither metrics nor model.
    """
    Lifecycle(
        JobTable(client("dynamodb"), TABLE), client("sagemaker"), client("stepfunctions")
    ).settle(event["detail"]["TrainingJobName"], int(time.time()))
