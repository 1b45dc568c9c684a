"""Events reach only the targets that let EventBridge in."""

import functools
import logging
from collections.abc import Mapping
from typing import Any

from local.emulator import identity
from local.emulator.calls import CALLS
from local.emulator.environment import ACCOUNT, REGION

RULES = "events.amazonaws.com"
SCHEDULER = "scheduler.amazonaws.com"
_ACTIONS = {
    "lambda": "lambda:InvokeFunction",
    "sns": "sns:Publish",
    "sqs": "sqs:SendMessage",
    "states": "states:StartExecution",
    "events": "events:PutEvents",
}
_logger = logging.getLogger("smp.events")


def install() -> None:
    """Ask the target's policy, or the role of the target, before each delivery."""
    from ministack.services import eventbridge

    invoke = eventbridge._invoke_target

    @functools.wraps(invoke)
    def invoked(target: dict[str, Any], event: Any, rule: Any, view: Any = None) -> Any:
        # Schedules of the Scheduler come through the same door as rules.
        service = SCHEDULER if event.get("Source") == "aws.scheduler" else RULES
        reason = refusal(target, str((rule or {}).get("Arn", "")), service)
        if reason:
            # On AWS a delivery that is refused is a FailedInvocation and nothing else.
            _logger.warning("Not delivered to %s: %s", target.get("Arn"), reason)
            return None
        return invoke(target, event, rule, view)

    eventbridge._invoke_target = invoked


def refusal(target: Mapping[str, Any], source_arn: str, service: str = RULES) -> str:
    """Why the target may not be called; empty when it may."""
    arn = str(target.get("Arn", ""))
    parts = arn.split(":")
    kind = parts[2] if len(parts) > 5 else ""
    action = _ACTIONS.get(kind)
    if action is None:
        return ""
    role = str(target.get("RoleArn") or "")
    if role:
        try:
            key, _, _ = identity.session(role, service, "events")
            identity.authorize(key, action, arn)
        except (identity.Denied, identity.NotAssumable) as error:
            return str(error)
        return ""
    if kind == "events" and parts[4] == ACCOUNT:
        return ""
    if kind in ("lambda", "sns", "sqs") and service == RULES:
        allowed = service_allowed(service, action, arn, source_arn)
        CALLS.add(service, action, arn, allowed=allowed)
        return "" if allowed else f"no resource-based policy allows {service} {action} on {arn}"
    return f"a target of {kind} needs a role"


def service_allowed(service: str, action: str, arn: str, source_arn: str) -> bool:
    """Whether the policies of a resource, and of its key, let a service call it."""

    def asked() -> bool:
        from local.emulator.encryption import companions

        if not _policy_allows(service, action, arn, source_arn):
            return False
        return all(
            _policy_allows(service, on_key, key, source_arn)
            for on_key, key in companions(action, arn)
        )

    return identity.in_own_context(asked)


def _policy_allows(service: str, action: str, arn: str, source_arn: str) -> bool:
    from ministack.core.iam_evaluator import (
        EvalContext,
        _resource_policy,
        evaluate_resource_policy,
    )

    prefix = action.split(":")[0]
    found = _resource_policy(prefix, arn)
    if found is None:
        return False
    context = EvalContext(
        # The service is no principal of the account: an account grant does not cover it.
        principal_arn=service,
        principal_type="Service",
        principal_account="",
        action=action,
        resource_arn=arn,
        region=REGION,
        service_context={
            "aws:sourcearn": source_arn,
            "aws:sourceaccount": ACCOUNT,
            "aws:sourceowner": ACCOUNT,
        },
    )
    return bool(evaluate_resource_policy(found[0], context, service=service).decision == "Allow")
