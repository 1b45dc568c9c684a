"""Reads and writes of log groups, as plain values."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient


def retention(logs: "CloudWatchLogsClient", prefix: str) -> dict[str, int | None]:
    """Days that each log group below `prefix` is kept, `None` for ever."""
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    return {
        group["logGroupName"]: group.get("retentionInDays")
        for page in pages
        for group in page["logGroups"]
    }


def create(logs: "CloudWatchLogsClient", name: str) -> None:
    """Make a log group, unless SageMaker or another environment was quicker."""
    try:
        logs.create_log_group(logGroupName=name)
    except logs.exceptions.ResourceAlreadyExistsException:
        return


def keep(logs: "CloudWatchLogsClient", name: str, days: int) -> None:
    """Let a log group forget what is older than `days`."""
    logs.put_retention_policy(logGroupName=name, retentionInDays=days)
