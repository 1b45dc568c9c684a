"""The context keys that AWS gives every request, where ministack leaves them out."""

import contextvars
import functools
import re
from typing import Any

from local.emulator.evaluator import replace, role_of_session

# `aws:ResourceTag/` and what services of their own call so.
_RESOURCE_TAG = re.compile(r"[a-z0-9-]+:resourcetag/")
_OBJECT_TAG = "s3:existingobjecttag/"
# The actions that have the tags of the object, whatever request asks for them: a copy, too.
_OF_OBJECTS = re.compile(
    r"s3:(GetObject(Version)?(Acl|Tagging)?|(Put|Delete)Object(Version)?(Acl|Tagging))"
)
# Keys that describe a principal of an account, which a service that calls by itself is not.
_OF_PRINCIPALS = ("aws:principalarn", "aws:principalaccount", "aws:principaltype")

# The headers of the request that is served, which ministack keeps until its signature is checked.
_headers: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar(
    "smp_request_headers", default=None
)


def install() -> None:
    """Resolve keys as AWS defines them."""
    from ministack.core import iam_evaluator

    resolve = iam_evaluator._resolve_condition_key
    pin = iam_evaluator.pin_request_caller

    @functools.wraps(pin)
    def pinned(headers: dict[str, str], query_params: dict[str, Any] | None = None) -> None:
        _headers.set(headers)
        pin(headers, query_params)

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
            return (_headers.get() or {}).get(_HEADERS[name])
        if found is None and (tag := _RESOURCE_TAG.match(name)):
            return _resource_tag(ctx.resource_arn, name[tag.end() :])
        if found is None and name.startswith(_OBJECT_TAG) and _OF_OBJECTS.fullmatch(ctx.action):
            return _object_tags(ctx.resource_arn).get(name.removeprefix(_OBJECT_TAG))
        return found

    replace(iam_evaluator, "pin_request_caller", pinned)
    replace(iam_evaluator, "_resolve_condition_key", resolved)


# What is so of every request that no service makes on its caller's behalf.
_DEFAULTS = {"aws:viaawsservice": "false"}
_HEADERS = {"aws:useragent": "user-agent", "aws:referer": "referer"}


def _resource_tag(resource_arn: str, name: str) -> Any:
    """The values of the resource's tag; of several that differ in case alone, all."""
    from ministack.services.tagging import resource_tags

    tags = resource_tags(resource_arn) or {}
    found = [value for key, value in tags.items() if key.lower() == name]
    return found[0] if len(found) == 1 else found or None


def _object_tags(resource_arn: str) -> dict[str, str]:
    from ministack.services import s3

    bucket, _, key = resource_arn.removeprefix("arn:aws:s3:::").partition("/")
    tags = s3.object_tags_for_condition(bucket, key, {})
    return {str(name).lower(): str(value) for name, value in tags.items()}
