"""Stacks that were in the middle of something when the server died.

A create or an update that was cut off is rolled back, as one that failed; an update that only had
what it replaced to delete, a deletion and a rollback go on. What that takes is written on the
stack's record while an operation runs.
"""

import asyncio
import copy
import functools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from local.emulator.state_file import NotWritten
from local.emulator.state_keeper import Keeper
from local.emulator.state_stores import OPERATION

REASON = "The local platform was stopped in the middle of the operation."
# How a stack ends of which is not known what was being done.
_GIVEN_UP = {
    "IMPORT_IN_PROGRESS": "IMPORT_ROLLBACK_FAILED",
    "IMPORT_ROLLBACK_IN_PROGRESS": "IMPORT_ROLLBACK_FAILED",
    "ROLLBACK_IN_PROGRESS": "ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_IN_PROGRESS": "UPDATE_ROLLBACK_FAILED",
    "DELETE_IN_PROGRESS": "DELETE_FAILED",
    "UPDATE_IN_PROGRESS": "UPDATE_FAILED",
    "CREATE_IN_PROGRESS": "CREATE_FAILED",
}
_AGAIN_SECONDS = 1.0
_keepers: list[Keeper] = []


def install(keeper: Keeper) -> None:
    """Write down what each operation needs to be taken up again."""
    from ministack.services.cloudformation import stacks

    _keepers[:] = [keeper]
    for name, kind in (
        ("_deploy_stack_async", "deploy"),
        ("_delete_stack_async", "delete"),
        ("_roll_back_operation", "roll back"),
        ("_continue_update_rollback_async", "continue"),
    ):
        _replace(name, _noting(kind, getattr(stacks, name)))
    _replace("_create_then_delete_on_failure", _deleting(stacks._create_then_delete_on_failure))
    _replace("_resolve_stack_outputs", _marking(stacks._resolve_stack_outputs))
    _replace("_update_resource", _noting_updates(stacks._update_resource))
    _replace("_provision_resource", _noting_custom_resources(stacks._provision_resource))


def _replace(name: str, function: Callable[..., Any]) -> None:
    """Put a function in place of one that several modules hold."""
    from ministack.services.cloudformation import changesets, handlers, provisioners, stacks

    for module in (stacks, handlers, changesets, provisioners):
        if hasattr(module, name):
            setattr(module, name, function)


async def _written() -> None:
    """Wait until all that was noted is on disk, for as long as the disk is full."""
    while True:
        try:
            for keeper in _keepers:
                await keeper.settle()
        except NotWritten:
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


def _settle() -> None:
    for keeper in _keepers:
        keeper.settle_from_thread()


def _stack(name: str) -> dict[str, Any]:
    from ministack.services import cloudformation

    found: dict[str, Any] | None = cloudformation._stacks.get(name)
    return {} if found is None else found


def _noting(kind: str, operation: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    """Note the operation while its coroutine is made: the answer may come before it begins."""

    @functools.wraps(operation)
    def noted(stack_name: str, stack_id: str, *rest: Any, **named: Any) -> Any:
        stack = _stack(stack_name)
        before = stack.get(OPERATION) or {}
        stack[OPERATION] = {
            "kind": kind,
            # The stack's own record is among the arguments of a rollback.
            "rest": [None if one is stack else one for one in rest],
            "named": named,
            "updating": {},
            "making": before.get("making", {}),
            "then_delete": before.get("then_delete", False),
        }
        if kind == "delete":
            # ministack says so when it begins; until then the stack would look as if it stayed.
            stack["StackStatus"] = "DELETE_IN_PROGRESS"

        async def run() -> None:
            try:
                # SageMaker keeps its own state: what is done to it must not be known there alone.
                await _written()
                await operation(stack_name, stack_id, *rest, **named)
            finally:
                stack.pop(OPERATION, None)

        return run()

    return noted


def _deleting(operation: Callable[..., Awaitable[None]]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def noted(stack_name: str, stack_id: str, deploy: Awaitable[None]) -> Any:
        if OPERATION in (stack := _stack(stack_name)):
            stack[OPERATION]["then_delete"] = True
        return operation(stack_name, stack_id, deploy)

    return noted


def _marking(outputs: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(outputs)
    def resolved(*arguments: Any) -> Any:
        found = outputs(*arguments)
        # From here on an update deletes what it has replaced: there is no way back.
        if operation := _stack(arguments[5]).get(OPERATION):
            operation["provisioned"] = True
        return found

    return resolved


def _noting_updates(update: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(update)
    def updated(
        resource_type: str,
        physical_id: str,
        old_props: Any,
        new_props: Any,
        stack_name: str,
        logical_id: str | None = None,
        old_attrs: Any = None,
    ) -> Any:
        operation = _stack(stack_name).get(OPERATION)
        if operation is not None and old_props != new_props:
            operation["updating"][logical_id] = (
                *(logical_id, resource_type, physical_id),
                *(new_props, old_props, old_attrs),
            )
            _settle()
        return update(
            resource_type, physical_id, old_props, new_props, stack_name, logical_id, old_attrs
        )

    return updated


def _noting_custom_resources(provision: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(provision)
    def provisioned(
        resource_type: str, logical_id: str, props: dict[str, Any], stack_name: str
    ) -> Any:
        if resource_type.startswith("Custom::") or resource_type.endswith("::CustomResource"):
            # As on AWS, a resource that did not say its id is deleted by one made up for it.
            made_up = f"{stack_name}-{logical_id}-{secrets.token_hex(6).upper()}"
            making(stack_name, logical_id, resource_type, made_up, props)
        return provision(resource_type, logical_id, props, stack_name)

    return provisioned


def making(
    stack_name: str,
    logical_id: str,
    resource_type: str,
    physical_id: str,
    props: Mapping[str, Any],
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Write down a resource before it is made, so that one the stack never heard of is deleted."""
    operation = _stack(stack_name).get(OPERATION)
    if operation is not None:
        operation["making"][logical_id] = {
            "ResourceType": resource_type,
            "PhysicalResourceId": physical_id,
            "Properties": {**props},
            "Attributes": {**(attributes or {})},
        }
        _settle()


def left_over() -> Iterator[Coroutine[Any, Any, None]]:
    """What is to be run for each stack that was in the middle of something."""
    import sys

    cloudformation = sys.modules.get("ministack.services.cloudformation")
    if cloudformation is None:
        return
    for change_set in cloudformation._change_sets.all_values():
        if change_set.get("ExecutionStatus") == "EXECUTE_IN_PROGRESS":
            change_set["ExecutionStatus"] = "EXECUTE_FAILED"
    for stack in cloudformation._stacks.all_values():
        status = stack.get("StackStatus", "")
        if OPERATION in stack:
            yield _taken_up(stack, stack[OPERATION])
        elif status in _GIVEN_UP:
            _end(stack, _GIVEN_UP[status])


def _end(stack: dict[str, Any], status: str) -> None:
    from ministack.services.cloudformation import stacks

    stack.update(StackStatus=status, StackStatusReason=REASON)
    stacks._add_event(
        *(stack["StackId"], stack["StackName"], stack["StackName"]),
        *("AWS::CloudFormation::Stack", status, REASON, stack["StackId"]),
    )


async def _taken_up(stack: dict[str, Any], operation: dict[str, Any]) -> None:
    from ministack.services.cloudformation import stacks

    name, stack_id = stack["StackName"], stack["StackId"]
    rest, named = operation["rest"], operation["named"]
    if operation["kind"] == "delete":
        await stacks._delete_stack_async(name, stack_id, *rest, **named)
    elif operation["kind"] == "continue":
        await stacks._continue_update_rollback_async(name, stack_id, *rest, **named)
    elif operation["kind"] == "roll back":
        failed = rest[1]
        left = [one for one in failed["created"] if one in stack.get("_resources", {})]
        await stacks._roll_back_operation(
            name, stack_id, stack, {**failed, "created": left}, *rest[2:], **named
        )
    else:
        await _deployment_taken_up(stack, operation)
    if operation["then_delete"] and stack["StackStatus"] in stacks._FAILED_CREATE_STATUSES:
        await stacks._delete_stack_async(name, stack_id)


async def _deployment_taken_up(stack: dict[str, Any], operation: dict[str, Any]) -> None:
    from ministack.services.cloudformation import stacks

    name, stack_id = stack["StackName"], stack["StackId"]
    given = _arguments(operation)
    resources, previous = stack["_resources"], given["previous_stack"] or {}
    before = previous.get("_resources", {})
    if given["is_update"] and operation.get("provisioned"):
        await _delete_replaced(stack, given, before)
        so_far = {**previous, "_resources": copy.deepcopy(resources)}
        await stacks._deploy_stack_async(name, stack_id, **{**given, "previous_stack": so_far})
        return
    for logical_id, record in operation["making"].items():
        known = resources.get(logical_id, {}).get("PhysicalResourceId")
        if known in (None, before.get(logical_id, {}).get("PhysicalResourceId")):
            await _delete(stack, logical_id, record)
    created = [one for one, record in resources.items() if before.get(one) != record]
    cut_off = [one for one in operation["updating"] if one not in created]
    failed = stacks._failed_operation(
        given["is_update"],
        given["previous_stack"],
        created,
        operation["updating"][cut_off[-1]] if cut_off else None,
        cut_off[-1] if cut_off else None,
        [one for one in created if _replaced(before.get(one), resources[one])],
        False,
        given["template"],
        given["param_values"],
        given["retain_except_on_create"],
        stack.get("Tags"),
        previous.get("Tags"),
        given["imports"],
    )
    if given["disable_rollback"]:
        stack["_failed_operation"] = failed
        stack.pop(OPERATION, None)
        _end(stack, "UPDATE_FAILED" if given["is_update"] else "CREATE_FAILED")
    else:
        await stacks._roll_back_operation(name, stack_id, stack, failed, REASON)


def _arguments(operation: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a deployment by their names."""
    names = (
        *("template", "param_values", "disable_rollback", "tags", "is_update"),
        *("previous_stack", "retain_except_on_create", "imports"),
    )
    defaults = {
        "is_update": False,
        "previous_stack": None,
        "retain_except_on_create": False,
        "imports": None,
    }
    by_place = dict(zip(names, operation["rest"], strict=False))
    return {**defaults, **by_place, **operation["named"]}


def _replaced(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    return before is not None and before["PhysicalResourceId"] != now["PhysicalResourceId"]


async def _delete_replaced(
    stack: dict[str, Any], given: Mapping[str, Any], before: Mapping[str, Any]
) -> None:
    """Delete what the update has replaced, where its policy says so."""
    from ministack.services.cloudformation import stacks

    template, resources = given["template"], stack["_resources"]
    for logical_id, record in before.items():
        if logical_id not in resources or not _replaced(record, resources[logical_id]):
            continue
        policy = stacks._resource_policy(
            *(template.get("Resources", {}).get(logical_id), "UpdateReplacePolicy", resources),
            *(given["param_values"], stack.get("_conditions", {}), template.get("Mappings", {})),
            *(stack["StackName"], stack["StackId"]),
        )
        if policy not in stacks._RETAINING_POLICIES:
            await _delete(stack, logical_id, record)


async def _delete(stack: dict[str, Any], logical_id: str, record: Mapping[str, Any]) -> None:
    """Delete one resource of which the stack has no record any more, or had none yet."""
    from ministack.services.cloudformation import stacks

    kind, physical_id = record["ResourceType"], record["PhysicalResourceId"]
    async with _events(stack, logical_id, kind, physical_id):
        await stacks.run_reentrant(
            stacks._delete_resource,
            *(kind, physical_id, record["Properties"], stack["StackName"], logical_id),
        )


@asynccontextmanager
async def _events(
    stack: dict[str, Any], logical_id: str, kind: str, physical_id: str
) -> AsyncIterator[None]:
    from ministack.services.cloudformation import stacks

    tell = functools.partial(
        stacks._add_event, stack["StackId"], stack["StackName"], logical_id, kind
    )
    tell("DELETE_IN_PROGRESS", physical_id=physical_id)
    try:
        yield
    except Exception as error:
        tell("DELETE_FAILED", str(error), physical_id)
    else:
        tell("DELETE_COMPLETE", physical_id=physical_id)
