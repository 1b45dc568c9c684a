"""Compare what is used of the environment's quotas with what is allowed."""

import json
import os
from typing import Any

from common.clients import client
from common.log import decided
from common.settings import required
from quotas import aws, table
from quotas.use import counted, levels

ENVIRONMENT = required(os.environ, "ENVIRONMENT_NAME")
QUOTAS = tuple(str(name) for name in json.loads(required(os.environ, "QUOTAS")))


class LimitsUnknown(RuntimeError):
    """Some limits could not be read; the others were measured."""


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, float]:
    """The percentage of each quota that is used, as it was published.

    It reads and publishes what is, so that it can be repeated.

    Raises:
        LimitsUnknown: With the quotas that were left out, and why.
    """
    used = counted(aws.instances(client("sagemaker"), {table.counted_by(name) for name in QUOTAS}))
    limits, problems = {}, []
    for name in QUOTAS:
        try:
            limits[name] = aws.limit(client("service-quotas"), name)
        except Exception as error:
            problems.append(f"{name}: {error}")
    found = levels(used, limits)
    aws.publish(client("cloudwatch"), ENVIRONMENT, found)
    for level in found:
        decided("measured", quota=level.quota, used=level.used, limit=level.limit)
    if problems:
        raise LimitsUnknown("; ".join(problems))
    return {level.quota: level.percent for level in found}
