"""CloudWatch Logs heeds the parameters that ministack leaves out, and refuses what contradicts.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogStreams.html and
the pages of the other three operations say which parameters exclude one another.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

Data = dict[str, Any]


def install() -> None:
    """Check the parameters of four operations, and have FilterLogEvents heed its prefix."""
    from ministack.core.responses import error_response_json
    from ministack.services import cloudwatch_logs

    search: Callable[[Data], Any] = cloudwatch_logs._filter_log_events

    @functools.wraps(search)
    def filtered(data: Data) -> Any:
        prefix = data.get("logStreamNamePrefix")
        if not prefix:
            return search(data)
        group = cloudwatch_logs._log_groups.get(cloudwatch_logs._resolve_log_group_name(data))
        streams = (group or {}).get("streams", {})
        names = [name for name in streams if name.startswith(prefix)]
        # ministack takes an empty list for all streams.
        return search({**data, "logStreamNames": names or [""]})

    def checked(handler: Callable[[Data], Any], contradiction: Callable[[Data], str]) -> Any:
        @functools.wraps(handler)
        def handled(data: Data) -> Any:
            problem = contradiction(data)
            if problem:
                return error_response_json("InvalidParameterException", problem, 400)
            if data.get("logGroupIdentifier"):
                name = cloudwatch_logs._resolve_log_group_name(data)
                data = {key: data[key] for key in data if key != "logGroupIdentifier"}
                data["logGroupName"] = name
            return handler(data)

        return handled

    streams, groups = cloudwatch_logs._describe_log_streams, cloudwatch_logs._describe_log_groups
    cloudwatch_logs._filter_log_events = checked(filtered, _of_search)
    cloudwatch_logs._describe_log_streams = checked(streams, _of_streams)
    cloudwatch_logs._describe_log_groups = checked(groups, _of_groups)
    cloudwatch_logs._get_log_events = checked(cloudwatch_logs._get_log_events, _of_one_group)


def _of_one_group(data: Mapping[str, Any]) -> str:
    if bool(data.get("logGroupName")) == bool(data.get("logGroupIdentifier")):
        return "Give either logGroupIdentifier or logGroupName, but not both."
    return ""


def _of_streams(data: Mapping[str, Any]) -> str:
    if data.get("orderBy") == "LastEventTime" and data.get("logStreamNamePrefix"):
        return "Cannot order by LastEventTime with a logStreamNamePrefix."
    return _of_one_group(data)


def _of_search(data: Mapping[str, Any]) -> str:
    if data.get("logStreamNamePrefix") and data.get("logStreamNames"):
        return "logStreamNamePrefix and logStreamNames cannot be given together."
    return _of_one_group(data)


def _of_groups(data: Mapping[str, Any]) -> str:
    if data.get("logGroupNamePrefix") and data.get("logGroupNamePattern"):
        return "logGroupNamePrefix and logGroupNamePattern are mutually exclusive."
    filters = ("logGroupNamePrefix", "logGroupNamePattern", "logGroupClass", "accountIdentifiers")
    beside = [name for name in filters if data.get(name)]
    if data.get("logGroupIdentifiers") and beside:
        return f"{beside[0]} cannot be given beside logGroupIdentifiers."
    return ""
