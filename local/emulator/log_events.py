"""FilterLogEvents looks only into the streams that its prefix names."""

import functools
from collections.abc import Callable
from typing import Any


def install() -> None:
    """Have ministack heed `logStreamNamePrefix`, which it leaves out."""
    from ministack.core.responses import error_response_json
    from ministack.services import cloudwatch_logs

    search: Callable[[dict[str, Any]], Any] = cloudwatch_logs._filter_log_events

    @functools.wraps(search)
    def filtered(data: dict[str, Any]) -> Any:
        prefix = data.get("logStreamNamePrefix")
        if prefix and data.get("logStreamNames"):
            return error_response_json(
                "InvalidParameterException",
                "logStreamNamePrefix and logStreamNames cannot be given together.",
                400,
            )
        if not prefix:
            return search(data)
        group = cloudwatch_logs._log_groups.get(cloudwatch_logs._resolve_log_group_name(data))
        streams = (group or {}).get("streams", {})
        names = [name for name in streams if name.startswith(prefix)]
        # ministack takes an empty list for all streams.
        return search({**data, "logStreamNames": names or [""]})

    cloudwatch_logs._filter_log_events = filtered
