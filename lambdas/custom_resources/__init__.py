"""What CloudFormation is told by the functions behind custom resources."""

import json
import logging
import urllib.request
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


def answer(event: dict[str, Any], physical_id: str, work: Callable[[], object]) -> None:
    """Do `work`, and tell CloudFormation how it went.

    Args:
        event: What CloudFormation sent.
        physical_id: Id of the resource while it has none; an id that it has never changes, since
            CloudFormation would delete what had the former one.
        work: What the request asks for.
    """
    status, reason = "SUCCESS", ""
    try:
        work()
    except Exception as error:
        # CloudFormation waits an hour for an answer, so it must get one whatever went wrong.
        logger.exception("failed")
        status, reason = "FAILED", f"{type(error).__name__}: {error}"
    body = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": event.get("PhysicalResourceId", physical_id),
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's own presigned URL
        event["ResponseURL"],
        data=json.dumps(body).encode(),
        method="PUT",
        # The URL is signed for no content type, and urllib would send one of its own.
        headers={"Content-Type": ""},
    )
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - the same URL
        return
