"""One line of JSON for each decision, so that CloudWatch Logs Insights can query it."""

import json
import sys


def decided(what: str, **ids: object) -> None:
    """Write what was decided, about which job, execution or endpoint."""
    sys.stdout.write(json.dumps({"decided": what, **ids}, default=str) + "\n")
    sys.stdout.flush()
