"""Find the jobs of which nobody told that they ended, or that never began."""

import os
import time
from typing import Any

from common.clients import client
from common.settings import required
from jobs.lifecycle import Lifecycle
from jobs.table import BUSY_SECONDS, JobTable

TABLE = required(os.environ, "JOB_TABLE")


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, list[str]]:
    """Compare the job table with SageMaker; names the jobs that were looked after.

    Each is handled as its own event would have handled it, so that both may come at once. Whoever
    knows that no job is being created need not wait: `{"grace_seconds": 0}` looks at all of them.
    """
    names = Lifecycle(
        JobTable(client("dynamodb"), TABLE), client("sagemaker"), client("stepfunctions")
    ).sweep(int(time.time()), int(event.get("grace_seconds", BUSY_SECONDS)))
    return {"looked_after": names}
