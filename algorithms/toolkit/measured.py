"""The line of JSON in which AWS's own algorithms log what they measured."""

import json
import time
from collections.abc import Mapping

from algorithms.toolkit.training import log


def report(algorithm: str, host: str, started: float, values: Mapping[str, float]) -> None:
    """Log values by their names; `started` is in seconds since the epoch."""
    log.info(
        "#metrics %s",
        json.dumps(
            {
                "StartTime": started,
                "EndTime": time.time(),
                "Dimensions": {"Algorithm": algorithm, "Host": host, "Operation": "training"},
                "Metrics": {
                    name: {"sum": value, "count": 1, "min": value, "max": value}
                    for name, value in values.items()
                },
            }
        ),
    )
