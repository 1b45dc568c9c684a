"""Condition keys of services that ministack does not fill in."""

import functools
import json
from typing import Any
from urllib.parse import parse_qs


def install() -> None:
    """Give PutMetricData its namespace, and PutEvents source and detail type of what is put.

    By them roles of jobs are confined to their own metrics, and functions to their own events.

    The context of tags is asked for just before each evaluation, with the body at hand.
    """
    from ministack.core import iam_actions

    tags = iam_actions.request_tag_context

    @functools.wraps(tags)
    def context(
        service: str, iam_action: str, body: bytes, params: dict[str, Any]
    ) -> dict[str, Any]:
        found: dict[str, Any] = tags(service, iam_action, body, params)
        if iam_action == "cloudwatch:PutMetricData":
            found["cloudwatch:namespace"] = namespace(body, params)
        if iam_action == "events:PutEvents":
            found["events:source"] = of_entries(body, "Source")
            found["events:detail-type"] = of_entries(body, "DetailType")
        return found

    iam_actions.request_tag_context = context


def namespace(body: bytes, params: dict[str, Any]) -> str:
    """The namespace of a PutMetricData, in the protocols that ministack reads without cbor2."""
    given = params.get("Namespace") or parse_qs(body.decode("utf-8", "ignore")).get("Namespace")
    if given:
        return str(given[0] if isinstance(given, list) else given)
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    return str(document.get("Namespace", "")) if isinstance(document, dict) else ""


def of_entries(body: bytes, member: str) -> str:
    """What all entries of a PutEvents have in common; empty when they differ."""
    try:
        entries = json.loads(body)["Entries"]
        values = {str(entry.get(member, "")) for entry in entries}
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""
    # AWS asks for each entry by itself; of several kinds at once no policy with one allows all.
    return values.pop() if len(values) == 1 else ""
