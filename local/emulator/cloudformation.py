"""Stacks act as AWS lets them: with the stack's service role, or with the caller's own policies."""

import asyncio
import contextvars
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from local.emulator import (
    cloudformation_conditions,
    cloudformation_encryption,
    cloudformation_events,
    cloudformation_gaps,
    cloudformation_identity,
    cloudformation_network,
    cloudformation_notebooks,
    cloudformation_permissions,
    cloudformation_sagemaker,
    cloudformation_scaling,
    custom_resources,
    identity,
    state_machine_logs,
    stored_policies,
)
from local.emulator.cloudformation_retries import Retries
from local.emulator.environment import ROOT_ACCESS_KEY

SERVICE = "cloudformation.amazonaws.com"
SESSION = "AWSCloudFormation"

# Whose key an operation is carried out with; set round each touch of a resource.
_acting: contextvars.ContextVar[str] = contextvars.ContextVar("smp_acting", default=ROOT_ACCESS_KEY)
# The key that signed the request being served.
_signer: contextvars.ContextVar[str] = contextvars.ContextVar("smp_signer", default=ROOT_ACCESS_KEY)

# A client looks at once, then every five seconds: an answer that waits until a short operation is
# done saves most of them the five seconds.
_DEPLOYING = ("CreateStack", "UpdateStack", "DeleteStack", "ExecuteChangeSet")
_PATIENCE_SECONDS = 4.0
_WRITES = ("CreateStack", "UpdateStack", "DeleteStack", "CreateChangeSet", "ExecuteChangeSet")


def acting_key() -> str:
    """The access key whose principal the resource at hand is touched as."""
    return _acting.get()


def install(service: Any) -> None:
    """Add the resource types that are missing and evaluate every resource's permissions."""
    cloudformation_sagemaker.install(service, acting_key)
    cloudformation_notebooks.install(service, acting_key)
    cloudformation_scaling.install()
    cloudformation_gaps.install()
    cloudformation_identity.install()
    cloudformation_network.install()
    cloudformation_encryption.install()
    cloudformation_conditions.install()
    cloudformation_events.install()
    state_machine_logs.install()
    custom_resources.install()
    _remember_roles()
    _evaluate_resources(service)
    _leave_the_loop()


def _leave_the_loop() -> None:
    """Provision the types that wait, or that call back over HTTP, on a thread of their own.

    On the event loop they would wait for an answer that only this loop can give.
    """
    from ministack.services.cloudformation import stacks

    waits = stacks._runs_on_worker_thread
    sends_back = stacks._sends_back_failed_update

    @functools.wraps(waits)
    def on_thread(resource_type: str) -> bool:
        return bool(waits(resource_type)) or resource_type.startswith("AWS::SageMaker::")

    @functools.wraps(sends_back)
    def returned(resource_type: str) -> bool:
        # An endpoint whose update failed may serve either configuration.
        return bool(sends_back(resource_type)) or resource_type == "AWS::SageMaker::Endpoint"

    stacks._runs_on_worker_thread = on_thread
    stacks._sends_back_failed_update = returned


def _remember_roles() -> None:
    """Keep the RoleARN of a stack, which ministack drops, and check that it may be passed."""
    from ministack import app
    from ministack.core.iam_actions import access_denied_response
    from ministack.core.router import extract_access_key_id
    from ministack.services import cloudformation
    from ministack.services.cloudformation import handlers

    serve = app.SERVICE_HANDLERS["cloudformation"]
    retries = Retries()

    async def served(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Any:
        key = extract_access_key_id(headers, query) or ROOT_ACCESS_KEY
        form = parse_qs(body.decode("utf-8", errors="replace")) if method == "POST" else query
        role = form.get("RoleARN", [""])[0]
        if role:
            try:
                identity.authorize(key, "iam:PassRole", role, {"iam:PassedToService": SERVICE})
            except identity.Denied:
                return access_denied_response(
                    "cloudformation",
                    "iam:PassRole",
                    identity.principal_of(key),
                    "",
                    headers=headers,
                    resource_arn=role,
                )
            try:
                identity.session(role, SERVICE, SESSION)
            except identity.NotAssumable:
                return handlers._error(
                    "ValidationError", f"Role {role} is invalid or cannot be assumed"
                )
        token = _signer.set(key)
        try:
            status, out_headers, out = await serve(method, path, headers, body, query)
        finally:
            _signer.reset(token)
        action = form.get("Action", [""])[0]
        if action == "DescribeStacks" and status == 200:
            out = _with_role_arns(out)
        if action in _DEPLOYING and status == 200:
            await _settled(form)
        return status, out_headers, out

    app.SERVICE_HANDLERS["cloudformation"] = served

    def remembering(action: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def handled(params: dict[str, Any]) -> Any:
            answer = retries.answer(action, _signer.get(), params)
            if answer is not None:
                return answer
            change_set = _change_set(params) if action == "ExecuteChangeSet" else None
            answer = handler(params)
            if answer[0] != 200:
                return answer
            retries.keep(action, _signer.get(), params, answer)
            role = params.get("RoleARN", [""])[0]
            if action == "CreateChangeSet":
                created = _change_set(params)
                if created is not None:
                    created["_smp_role"] = role
            stack = handlers._resolve_stack(
                change_set["StackName"] if change_set else params.get("StackName", [""])[0]
            )
            if stack is not None:
                role = role or (change_set or {}).get("_smp_role", "")
                if role and action != "CreateChangeSet":
                    stack["_smp_role"] = role
                stack["_smp_signer"] = _signer.get()
            return answer

        return handled

    for action in _WRITES:
        cloudformation._ACTION_HANDLERS[action] = remembering(
            action, cloudformation._ACTION_HANDLERS[action]
        )


async def _settled(form: Mapping[str, list[str]]) -> None:
    from ministack.services.cloudformation import handlers

    name = form.get("StackName", [""])[0]
    change_set = _change_set(dict(form)) if not name else None
    name = str(change_set["StackName"]) if change_set else name
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        stack = handlers._resolve_stack(name)
        if stack is None or not str(stack["StackStatus"]).endswith("_IN_PROGRESS"):
            return
        await asyncio.sleep(0.02)


def _change_set(params: dict[str, Any]) -> dict[str, Any] | None:
    from ministack.services.cloudformation import changesets

    _, found = changesets._find_change_set(
        params.get("ChangeSetName", [""])[0], params.get("StackName", [""])[0]
    )
    return found  # type: ignore[no-any-return]


def _with_role_arns(body: bytes) -> bytes:
    from ministack.services import cloudformation

    for stack in [*cloudformation._stacks.values()]:
        role = stack.get("_smp_role")
        if role:
            tag = f"<StackId>{stack['StackId']}</StackId>"
            body = body.replace(tag.encode(), f"{tag}<RoleARN>{role}</RoleARN>".encode())
    return body


def key_of(stack: dict[str, Any] | None) -> str:
    """The key that a stack's operation acts with: its service role's, else its last caller's."""
    if not stack:
        return ROOT_ACCESS_KEY
    if stack.get("_smp_role"):
        return identity.session(stack["_smp_role"], SERVICE, SESSION)[0]
    return str(stack.get("_smp_signer") or ROOT_ACCESS_KEY)


def _evaluate_resources(service: Any) -> None:
    """Refuse, in AWS's words, a resource that the stack's principal may not touch."""
    from ministack.services import cloudformation
    from ministack.services.cloudformation import provisioners, stacks

    provision = provisioners._provision_resource
    update = provisioners._update_resource
    delete = provisioners._delete_resource

    def acting_for(
        stack_name: str | None, act: Callable[[], Any], ask: Callable[[str], Any]
    ) -> Any:
        if not stack_name:
            # A predecessor deleted inside of a replacement, which already acts for the stack.
            ask(_acting.get())
            return act()
        token = _acting.set(key_of(cloudformation._stacks.get(stack_name)))
        try:
            ask(_acting.get())
            return act()
        finally:
            _acting.reset(token)

    @functools.wraps(provision)
    def provisioned(
        resource_type: str, logical_id: str, props: dict[str, Any], stack_name: str
    ) -> Any:
        def ask(key: str) -> None:
            cloudformation_permissions.check(
                service, key, "create", resource_type, props, stack_name, logical_id
            )
            stored_policies.check_template(resource_type, props)

        return acting_for(
            stack_name,
            lambda: provision(resource_type, logical_id, props, stack_name),
            ask,
        )

    @functools.wraps(update)
    def updated(
        resource_type: str,
        physical_id: str,
        old_props: dict[str, Any],
        new_props: dict[str, Any],
        stack_name: str,
        logical_id: str | None = None,
        old_attrs: dict[str, Any] | None = None,
    ) -> Any:
        def ask(key: str) -> None:
            if old_props != new_props and not provisioners._replacing_change(
                resource_type, old_props, new_props
            ):
                cloudformation_permissions.check(
                    service,
                    key,
                    "update",
                    resource_type,
                    new_props,
                    stack_name,
                    logical_id,
                    physical_id,
                    old_props,
                )
                stored_policies.check_template(resource_type, new_props)

        return acting_for(
            stack_name,
            lambda: update(
                resource_type, physical_id, old_props, new_props, stack_name, logical_id, old_attrs
            ),
            ask,
        )

    @functools.wraps(delete)
    def deleted(
        resource_type: str,
        physical_id: str,
        props: dict[str, Any],
        stack_name: str | None = None,
        logical_id: str | None = None,
    ) -> Any:
        return acting_for(
            stack_name,
            lambda: delete(resource_type, physical_id, props, stack_name, logical_id),
            lambda key: cloudformation_permissions.check(
                service, key, "delete", resource_type, props, stack_name, logical_id, physical_id
            ),
        )

    for module in (provisioners, stacks):
        module._provision_resource = provisioned
        module._update_resource = updated
        module._delete_resource = deleted
