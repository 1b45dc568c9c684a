"""The event by which the functions tell one another that a quota was hit."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient

SOURCE = "sagemaker-platform"
DETAIL_TYPE = "SageMaker Resource Limit Exceeded"
ERROR = "ResourceLimitExceeded"

# What SageMaker says in every such refusal, quoted by CloudFormation too.
_WORDS = "account-level service limit"
# An event may have 256 KB; nobody reads as much.
_LONGEST_TEXT = 4000


class NotSent(RuntimeError):
    """EventBridge did not take the event."""


def of_a_quota(error: str, text: str) -> bool:
    """Whether something failed because a quota of SageMaker was hit."""
    return error == ERROR or _WORDS in text


def send(
    events: "EventBridgeClient", *, environment: str, asked: str, message: str, where: str
) -> None:
    """Tell the default bus which job or endpoint hit a quota, in SageMaker's own words.

    Raises:
        NotSent: With EventBridge's reason.
    """
    detail: Mapping[str, Any] = {
        "environment": environment,
        "asked": asked,
        "message": message[:_LONGEST_TEXT],
        "where": where,
    }
    answer = events.put_events(
        Entries=[{"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": json.dumps(detail)}]
    )
    if answer["FailedEntryCount"]:
        entry = answer["Entries"][0]
        raise NotSent(f"{entry.get('ErrorCode')}: {entry.get('ErrorMessage')}")
