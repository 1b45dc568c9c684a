"""Condition keys of services that ministack does not fill in."""

import functools
import json
from typing import Any
from urllib.parse import parse_qs


def install() -> None:
    """Give PutMetricData its namespace, by which roles of jobs are confined to their own metrics.

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
