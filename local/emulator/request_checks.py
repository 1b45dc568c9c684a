"""What a service asks of a request beside its own action, before the request is served.

A role that is passed needs iam:PassRole, a policy that is stored must be one, and parameters must
be said once: a form that contradicts its query would be evaluated as one call and served as
another.
"""

import functools
from collections.abc import Mapping
from typing import Any

from local.emulator import (
    authorized_operation,
    identity,
    passed_roles,
    request_members,
    stored_policies,
)
from local.emulator.environment import REGION
from local.emulator.passed_roles import PassedRole
from local.emulator.services import Handler, Response

# Their bodies are data; only these subresources of S3 say more.
_OF_BUCKETS = ("policy", "replication")


def install() -> None:
    """Put the checks in front of every service; the last of all that touch their handlers."""
    from ministack import app

    for service, handler in [*app.SERVICE_HANDLERS.items()]:
        app.SERVICE_HANDLERS[service] = _checked(service, handler)


def _checked(service: str, handler: Handler) -> Handler:
    @functools.wraps(handler)
    async def checked(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        if service != "s3" or any(name in query for name in _OF_BUCKETS):
            refused = _refusal(service, method, path, headers, body, query)
            if refused is not None:
                return refused
        return await handler(method, path, headers, body, query)

    return checked


def _refusal(
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query: dict[str, Any],
) -> Response | None:
    from ministack import app
    from ministack.core import iam_actions
    from ministack.core.router import extract_access_key_id

    params = app._routing_params(method, path, headers, body, query)
    action = iam_actions.extract_iam_action(service, method, path, headers, body, params) or ""
    if service in authorized_operation.QUERY:
        twice = authorized_operation.contradiction(body, query)
        if twice:
            message = f"The parameter {twice} is given more than once, with different values."
            return _error(service, action, headers, "InvalidParameterCombination", message)
    malformed = stored_policies.refusal(action, body, query)
    if malformed is not None:
        return _error(service, action, headers, *malformed)
    key = extract_access_key_id(headers, query)
    # A call inside of this process has no key; who is behind it was asked there.
    for role in _roles(service, action, body, query) if key else ():
        denied = _denial(key, role)
        if denied:
            return denied_response(service, headers, key, role, explicit=denied == "Deny")
    return None


def _roles(service: str, action: str, body: bytes, query: Mapping[str, Any]) -> list[PassedRole]:
    operation = action.rpartition(":")[2]
    if action == "iam:AddRoleToInstanceProfile":
        return passed_roles.by_ec2(str(request_members.value("RoleName", body, query)))
    found = passed_roles.passed(service, operation, request_members.leaves(body, query))
    if service in ("ec2", "autoscaling"):
        found += passed_roles.profiles([*query.items(), *request_members.form(body).items()])
    return found


def _denial(key: str, role: PassedRole) -> str:
    """How passing a role is refused: "Deny", "ImplicitDeny", or not at all."""
    from ministack.core import iam_evaluator
    from ministack.core.responses import get_account_id

    found = iam_evaluator.enforce(key, "iam:PassRole", "iam", REGION, role.arn, role.context)
    if found is not None:
        return str(getattr(found, "decision", "Deny"))
    return "" if role.arn.split(":")[4] == get_account_id() else "ImplicitDeny"


def denied_response(
    service: str, headers: dict[str, str], key: str, role: PassedRole, *, explicit: bool
) -> Response:
    """The service's answer to somebody who may not pass a role."""
    from ministack.core.iam_actions import access_denied_response, identity_denial_message

    principal = identity.principal_of(key)
    answer: Response = access_denied_response(
        service,
        "iam:PassRole",
        principal,
        "",
        headers=headers,
        resource_arn=role.arn,
        explicit_deny=explicit,
        message=identity_denial_message("iam:PassRole", principal, role.arn, explicit),
    )
    return answer


def _error(service: str, action: str, headers: dict[str, str], code: str, message: str) -> Response:
    from ministack.core.iam_actions import access_denied_response

    _, out_headers, out = access_denied_response(
        service, action, "", "", headers=headers, error_code=code, message=message
    )
    return 400, out_headers, out
