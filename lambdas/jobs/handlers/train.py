"""Begin a training job whose end completes the task that waits for it."""

import os
import time
from typing import Any

from common.clients import client
from common.settings import required
from jobs import records
from jobs.lifecycle import Lifecycle
from jobs.table import JobTable

TABLE = required(os.environ, "JOB_TABLE")
MODELS = required(os.environ, "MODELS_BUCKET")


def lambda_handler(event: dict[str, Any], context: object) -> None:
    """Write down the request, keep its code and the token, and create the job.

    The job's name and its row follow from the execution, so that a second call finds what the
    first one began. What SageMaker refuses fails the task with SageMaker's own words.
    """
    state = event["state"]
    job, s3 = state["job"], client("s3")
    records.write(s3, MODELS, job["name"], "request.json", records.text(job["request"]))
    if source := job["request"].get("source"):
        records.keep_source(s3, MODELS, job["name"], source)
    Lifecycle(
        JobTable(client("dynamodb"), TABLE), client("sagemaker"), client("stepfunctions")
    ).begin(
        token=event["token"],
        execution=state["execution"],
        parameters=job["parameters"],
        now=int(time.time()),
    )
