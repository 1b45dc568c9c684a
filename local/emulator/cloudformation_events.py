"""What becomes of a stack's resources is told on the default bus, as CloudFormation does on AWS."""

import functools
import json
import logging
from typing import Any

from local.emulator import identity

_STACK = "AWS::CloudFormation::Stack"
_logger = logging.getLogger("smp.cloudformation")


def install() -> None:
    """Send an event for each that a resource's history gets; those of stacks are not sent."""
    from ministack.services.cloudformation import stacks

    add = stacks._add_event

    @functools.wraps(add)
    def added(
        stack_id: str,
        stack_name: str,
        logical_id: str,
        resource_type: str,
        status: str,
        reason: str = "",
        physical_id: str = "",
        detailed_status: str = "",
    ) -> None:
        physical_id = physical_id or _known_id(stack_name, logical_id)
        add(
            stack_id,
            stack_name,
            logical_id,
            resource_type,
            status,
            reason,
            physical_id,
            detailed_status,
        )
        if resource_type == _STACK:
            return
        _send(
            stack_id,
            {
                "stack-id": stack_id,
                "logical-resource-id": logical_id,
                "physical-resource-id": physical_id,
                "status-details": {"status": status, "status-reason": reason or ""},
                "resource-type": resource_type,
                "client-request-token": "",
            },
        )

    stacks._add_event = added


def _known_id(stack_name: str, logical_id: str) -> str:
    """The id of a resource that is there: ministack leaves it out when its update fails."""
    from ministack.services import cloudformation

    resources = (cloudformation._stacks.get(stack_name) or {}).get("_resources", {})
    return str(resources.get(logical_id, {}).get("PhysicalResourceId") or "")


def _send(stack_id: str, detail: dict[str, Any]) -> None:
    def put() -> None:
        from ministack.services import eventbridge

        entry = {
            "Source": "aws.cloudformation",
            "DetailType": "CloudFormation Resource Status Change",
            "Detail": json.dumps(detail),
            "Resources": [stack_id],
        }
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    try:
        identity.in_own_context(put)
    except Exception:
        # Events are best effort, here as on AWS: what they tell of has happened.
        _logger.exception("event of %s", detail["logical-resource-id"])
