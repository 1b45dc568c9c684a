"""The context keys that AWS gives every request, where ministack leaves them out."""

import functools
from typing import Any

from local.emulator.evaluator import replace, role_of_session

_RESOURCE_TAG = "aws:resourcetag/"
# Keys that describe a principal of an account, which a service that calls by itself is not.
_OF_PRINCIPALS = ("aws:principalarn", "aws:principalaccount", "aws:principaltype")


def install() -> None:
    """Resolve keys as AWS defines them."""
    from ministack.core import iam_evaluator

    resolve = iam_evaluator._resolve_condition_key

    @functools.wraps(resolve)
    def resolved(key: str, ctx: Any) -> Any:
        name = key.lower()
        by_service = ctx.principal_type == "Service"
        if name == "aws:principalisawsservice":
            return str(by_service).lower()
        if by_service and name in _OF_PRINCIPALS:
            return None
        if name == "aws:principalarn":
            # Of a session that is its role.
            return role_of_session(ctx.principal_arn) or ctx.principal_arn
        if name == "aws:principaltype" and ctx.principal_type == "Root":
            return "Account"
        found = resolve(key, ctx)
        if found is None and name in _DEFAULTS:
            return _DEFAULTS[name]
        if found is None and name in _HEADERS:
            return _header(_HEADERS[name])
        if found is None and name.startswith(_RESOURCE_TAG):
            return _resource_tag(ctx.resource_arn, name.removeprefix(_RESOURCE_TAG))
        return found

    replace(iam_evaluator, "_resolve_condition_key", resolved)


# What is so of every request that no service makes on its caller's behalf.
_DEFAULTS = {"aws:viaawsservice": "false"}
_HEADERS = {"aws:useragent": "user-agent", "aws:referer": "referer"}


def _header(name: str) -> str | None:
    from ministack.core import iam_evaluator

    request = iam_evaluator._signed_request.get()
    found = request.headers.get(name) if request is not None else None
    return str(found) if found is not None else None


def _resource_tag(resource_arn: str, name: str) -> Any:
    """The values of the resource's tag; of several that differ in case alone, all."""
    from ministack.services.tagging import resource_tags

    tags = resource_tags(resource_arn) or {}
    found = [value for key, value in tags.items() if key.lower() == name]
    return found[0] if len(found) == 1 else found or None
