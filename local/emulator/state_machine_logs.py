"""Execution histories in CloudWatch Logs, for machines that ask for them."""

import functools
import json
import time
from collections.abc import Mapping
from typing import Any

from local.emulator.step_functions import check_logging

_TYPE = "AWS::StepFunctions::StateMachine"
_FATAL = ("ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut")
_PAYLOADS = ("input", "output", "parameters", "cause")


def install() -> None:
    """Check the role of a machine that shall log when it is made, and write what it does."""
    from ministack.services import stepfunctions
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS[_TYPE]
    create, update = handlers["create"], handlers["update"]
    make, add = stepfunctions._create_state_machine, stepfunctions._add_event

    @functools.wraps(create)
    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        check_logging(str(props.get("RoleArn", "")), props.get("LoggingConfiguration"))
        return create(logical_id, _in_api_case(props), stack_name)

    @functools.wraps(update)
    def updated(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> Any:
        check_logging(str(new.get("RoleArn", "")), new.get("LoggingConfiguration"))
        return update(physical_id, _in_api_case(old), _in_api_case(new), *rest)

    @functools.wraps(make)
    def made(data: dict[str, Any]) -> Any:
        try:
            check_logging(str(data.get("roleArn", "")), data.get("loggingConfiguration"))
        except ValueError as error:
            from ministack.core.responses import error_response_json

            return error_response_json("AccessDeniedException", str(error), 400)
        return make(data)

    @functools.wraps(add)
    def added(execution: dict[str, Any], event_type: str, details: Any = None) -> Any:
        event = add(execution, event_type, details)
        machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) or {}
        write(machine.get("loggingConfiguration") or {}, execution, event)
        return event

    handlers.update({"create": created, "update": updated})
    stepfunctions._create_state_machine = made
    stepfunctions._add_event = added


def write(
    configuration: Mapping[str, Any], execution: Mapping[str, Any], event: Mapping[str, Any]
) -> None:
    """Append one event to the machine's log group, when its level asks for it."""
    from ministack.services import cloudwatch_logs

    level, kind = configuration.get("level", "OFF"), str(event["type"])
    failed = kind.endswith(("Failed", "TimedOut", "Aborted"))
    if level == "OFF" or (level == "FATAL" and kind not in _FATAL):
        return
    if level == "ERROR" and not failed:
        return
    details = {k: v for k, v in event.items() if k not in ("id", "type", "timestamp")}
    if not configuration.get("includeExecutionData"):
        details = {key: _without_payloads(value) for key, value in details.items()}
    now = int(time.time() * 1000)
    line = json.dumps(
        {
            "id": str(event["id"]),
            "type": kind,
            "details": next(iter(details.values()), {}),
            "event_timestamp": str(now),
            "execution_arn": execution["executionArn"],
        }
    )
    for destination in configuration.get("destinations") or []:
        arn = str((destination.get("cloudWatchLogsLogGroup") or {}).get("logGroupArn", ""))
        group = cloudwatch_logs._log_groups.get(arn.partition(":log-group:")[2].removesuffix(":*"))
        if group is None:
            continue
        name = f"states/{str(execution['stateMachineArn']).rpartition(':')[2]}"
        stream = group["streams"].setdefault(
            name,
            {
                "events": [],
                "uploadSequenceToken": "1",
                "creationTime": now,
                "firstEventTimestamp": None,
                "lastEventTimestamp": None,
                "lastIngestionTime": None,
            },
        )
        cloudwatch_logs._append_log_events(
            stream, [{"timestamp": now, "message": line, "ingestionTime": now}]
        )


def _without_payloads(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: v for k, v in value.items() if k not in _PAYLOADS}
    return value


def _in_api_case(props: dict[str, Any]) -> dict[str, Any]:
    """The template's logging in the API's spelling, which ministack stores as it comes."""
    logging = props.get("LoggingConfiguration")
    return {**props, "LoggingConfiguration": _lowered(logging)} if logging else props


def _lowered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k[:1].lower() + k[1:]: _lowered(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_lowered(item) for item in value]
    return value
