"""Evaluates roles with ministack's own evaluator, outside of any HTTP request."""

import contextvars
import functools
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from local.emulator.calls import CALLS
from local.emulator.environment import ACCOUNT, HOST, REGION

_SESSIONS: dict[tuple[str, str], tuple[str, str, str]] = {}
_LOCK = threading.Lock()
T = TypeVar("T")


class Denied(Exception):
    """A principal's policies do not allow an action, in AWS's words."""


class NotAssumable(Exception):
    """A role does not exist, or does not trust the service that would assume it."""


def install() -> None:
    """Record every decision, and let loopback count as a secure transport.

    Bucket and topic policies that refuse plain HTTP are evaluated for every call; traffic that
    never leaves the machine is the local counterpart of TLS, so it must pass them.
    """
    from ministack.core import iam_evaluator

    enforce = iam_evaluator.enforce
    resolve = iam_evaluator._resolve_condition_key

    @functools.wraps(enforce)
    def recorded(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        found = enforce(access_key_id, iam_action, service, region, resource_arn, service_context)
        CALLS.add(principal_of(access_key_id), iam_action, resource_arn, allowed=found is None)
        return found

    @functools.wraps(resolve)
    def secured(key: str, ctx: Any) -> Any:
        if key.lower() == "aws:securetransport" and ctx.source_ip in (HOST, "::1"):
            return "true"
        return resolve(key, ctx)

    iam_evaluator.enforce = recorded
    iam_evaluator._resolve_condition_key = secured


def principal_of(access_key_id: str) -> str:
    """The ARN of the principal behind an access key."""
    from ministack.core.iam_evaluator import resolve_caller_identity

    known = resolve_caller_identity(access_key_id)
    return str(known["userArn"]) if known else f"arn:aws:iam::{ACCOUNT}:root"


def in_own_context(function: Callable[[], T]) -> T:
    """Run `function` as nobody's request, in this account and region.

    ministack keeps the request being served in context variables; a call made on behalf of a role
    must not be taken for the caller's.
    """

    def scoped() -> T:
        from ministack.core.responses import set_request_account_id, set_request_region

        set_request_account_id(ACCOUNT)
        set_request_region(REGION)
        return function()

    return contextvars.Context().run(scoped)


def role_name(role_arn: str) -> str:
    """The name at the end of a role's ARN, which may carry a path."""
    return role_arn.rsplit("/", 1)[-1]


def session(role_arn: str, service: str, name: str) -> tuple[str, str, str]:
    """Credentials of `role_arn` as `service` would get them; its trust policy is checked each time.

    Raises:
        NotAssumable: when the role does not exist or does not trust `service`.
    """

    def assume() -> tuple[str, str, str]:
        from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
        from ministack.services import iam, sts

        short = role_name(role_arn)
        role = iam._roles.get_scoped(ACCOUNT, None, short)
        context = EvalContext(
            principal_arn=service,
            principal_type="Service",
            principal_account=ACCOUNT,
            action="sts:AssumeRole",
            resource_arn=role_arn,
            region=REGION,
            service_context={"aws:sourceaccount": ACCOUNT},
        )
        trust = role.get("AssumeRolePolicyDocument") if role else None
        if (
            role is None
            or role.get("Arn") != role_arn
            or evaluate_resource_policy(trust, context, service=service).decision != "Allow"
        ):
            raise NotAssumable(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows "
                f"principal '{service}' to assume the role."
            )
        with _LOCK:
            known = _SESSIONS.get((role_arn, name))
            if known is None or known[0] not in sts._sessions:
                known = (
                    "ASIA" + secrets.token_hex(8).upper(),
                    secrets.token_urlsafe(30),
                    secrets.token_urlsafe(90),
                )
                _SESSIONS[role_arn, name] = known
                sts.register_session(
                    known[0],
                    {
                        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{short}/{name}",
                        "UserId": f"{role.get('RoleId', short)}:{name}",
                        "AccountId": ACCOUNT,
                        "SecretAccessKey": known[1],
                        "SessionToken": known[2],
                    },
                )
        return known

    return in_own_context(assume)


def authorize(
    access_key_id: str,
    action: str,
    resource: str,
    context: Mapping[str, Any] | None = None,
) -> None:
    """Refuse what the policies of the key's principal, and of the resource, do not allow.

    Raises:
        Denied: with the text that AWS gives the caller.
    """

    def evaluate() -> None:
        from ministack.core import iam_evaluator
        from ministack.core.iam_actions import identity_denial_message

        found = iam_evaluator.enforce(
            access_key_id, action, action.split(":")[0], REGION, resource, dict(context or {})
        )
        if found is None:
            return
        if isinstance(found, iam_evaluator.AuthError):
            raise Denied(found.message)
        raise Denied(
            identity_denial_message(action, found.principal_arn, resource, found.decision == "Deny")
        )

    in_own_context(evaluate)
