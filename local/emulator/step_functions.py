"""State machines act with their own role, and see the failures of their functions."""

import contextvars
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from local.emulator import identity, passed_roles, request_members
from local.emulator.environment import ACCOUNT, REGION
from local.emulator.passed_roles import PassedRole

SERVICE = "states.amazonaws.com"

# The role of the state machine whose task runs; empty outside of an execution.
_role: contextvars.ContextVar[str] = contextvars.ContextVar("smp_states_role", default="")
# Whether the task that runs waits for a token.
_waiting: contextvars.ContextVar[bool] = contextvars.ContextVar("smp_states_waits", default=False)

_INTEGRATION = re.compile(r"arn:aws:states:::(?:aws-sdk:)?(?P<service>[^:.]+):(?P<action>[^:.]+)")
_SDK_PREFIXES = {
    "cloudwatchlogs": "logs",
    "eventbridge": "events",
    "sfn": "states",
}
# The exception that Step Functions names when a role may not do a task.
_ERRORS = {
    "lambda": "Lambda.AWSLambdaException",
    "sns": "SNS.AuthorizationErrorException",
    "dynamodb": "DynamoDB.AmazonDynamoDBException",
    "sqs": "SQS.AmazonSQSException",
    "events": "EventBridge.AmazonEventBridgeException",
    "states": "StepFunctions.AWSStepFunctionsException",
    "sagemaker": "SageMaker.AmazonSageMakerException",
}
_LOG_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)


class _FunctionFailed(Exception):
    """Carries a function's failure past the code that would swallow it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def install(service: Any) -> None:
    """Evaluate each task under the role, and fail a waiting task whose function failed."""
    from ministack.services import stepfunctions

    execute = stepfunctions._execute_task
    invoke = stepfunctions._invoke_resource
    wait = stepfunctions._invoke_with_callback
    call = stepfunctions._call_lambda

    @functools.wraps(execute)
    def executed(state_def: Any, raw_input: Any, execution: Any, ctx: Any) -> Any:
        machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) or {}
        token = _role.set(str(machine.get("roleArn", "")))
        try:
            return execute(state_def, raw_input, execution, ctx)
        finally:
            _role.reset(token)

    @functools.wraps(invoke)
    def invoked(resource: str, input_data: Any) -> Any:
        _check(service, resource, input_data)
        return invoke(resource, input_data)

    @functools.wraps(wait)
    def waited(resource: str, input_data: Any, token: str, state_def: Any) -> Any:
        _check(service, resource, input_data)
        waiting = _waiting.set(True)
        try:
            return wait(resource, input_data, token, state_def)
        except _FunctionFailed as failed:
            stepfunctions._task_tokens.pop(token, None)
            raise failed.error from None
        finally:
            _waiting.reset(waiting)

    @functools.wraps(call)
    def called(func_ref: str, event: Any) -> Any:
        try:
            return call(func_ref, event)
        except stepfunctions._ExecutionError as error:
            if _waiting.get():
                # ministack waits on for a token that nobody will send; AWS fails the task.
                raise _FunctionFailed(error) from error
            raise

    stepfunctions._execute_task = executed
    stepfunctions._invoke_resource = invoked
    stepfunctions._invoke_with_callback = waited
    stepfunctions._call_lambda = called
    stepfunctions._AWS_SDK_SERVICE_MAP["sagemaker"] = {
        "target_prefix": "SageMaker",
        "protocol": "json",
    }


def check_logging(role_arn: str, configuration: Mapping[str, Any] | None) -> None:
    """Refuse a machine that shall log and whose role may not set up the delivery.

    Raises:
        ValueError: in AWS's words.
    """
    level = (configuration or {}).get("Level", (configuration or {}).get("level", "OFF"))
    if level == "OFF":
        return
    try:
        key, _, _ = identity.session(role_arn, SERVICE, "LogDelivery")
        for action in _LOG_DELIVERY:
            identity.authorize(key, action, "*")
    except (identity.Denied, identity.NotAssumable) as error:
        raise ValueError(
            f"The state machine IAM Role is not authorized to access the Log Destination: {error}"
        ) from error


def _check(service: Any, resource: str, input_data: Any) -> None:
    from ministack.services.stepfunctions import _ExecutionError

    role = _role.get()
    if not role:
        return
    name = "states"
    try:
        key, _, _ = identity.session(role, SERVICE, "StepFunctions")
        given = input_data if isinstance(input_data, Mapping) else {}
        for action, on, context in _needed(service, resource, given):
            name = action.split(":")[0]
            identity.authorize(key, action, on, context)
        for role_passed in _passed(resource, given):
            identity.authorize(key, "iam:PassRole", role_passed.arn, role_passed.context)
    except identity.NotAssumable as error:
        raise _ExecutionError("States.Runtime", str(error)) from error
    except identity.Denied as error:
        raise _ExecutionError(
            _ERRORS.get(name, f"{name.capitalize()}.AccessDeniedException"),
            f"{error} (Service: {name}; Status Code: 403; Error Code: AccessDeniedException)",
        ) from error


def _passed(resource: str, given: Mapping[str, Any]) -> list[PassedRole]:
    """The roles that a task's input hands to the service that it calls."""
    match = _INTEGRATION.match(resource)
    if not match:
        return []
    name = _SDK_PREFIXES.get(match["service"].lower(), match["service"].lower())
    action = match["action"][:1].upper() + match["action"][1:]
    return passed_roles.passed(name, action, request_members.texts(given))


def _needed(
    service: Any, resource: str, given: Mapping[str, Any]
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """What the role must be allowed for one task, with its input."""
    if resource.startswith("arn:aws:lambda:"):
        yield "lambda:InvokeFunction", resource, {}
        return
    match = _INTEGRATION.match(resource)
    if not match:
        return
    name = _SDK_PREFIXES.get(match["service"].lower(), match["service"].lower())
    action = match["action"][:1].upper() + match["action"][1:]
    if name == "lambda":
        yield "lambda:InvokeFunction", _function_arn(str(given.get("FunctionName", ""))), {}
    elif name == "sns":
        yield f"sns:{action}", str(given.get("TopicArn", "*")), {}
    elif name == "dynamodb":
        table = str(given.get("TableName", "*"))
        arn = table if table.startswith("arn:") else _arn("dynamodb", f"table/{table}")
        yield f"dynamodb:{action}", arn, {}
    elif name == "sqs":
        queue = str(given.get("QueueUrl", "*")).rpartition("/")[2]
        yield f"sqs:{action}", _arn("sqs", queue), {}
    elif name == "events":
        yield f"events:{action}", _arn("events", "event-bus/default"), {}
    elif name == "states":
        yield f"states:{action}", str(given.get("StateMachineArn", "*")), {}
    elif name == "sagemaker":
        for permission in service.required_permissions(action, given):
            yield permission.action, permission.resource, permission.context
    else:
        yield f"{name}:{action}", "*", {}


def _function_arn(reference: str) -> str:
    if reference.startswith("arn:"):
        return reference
    return _arn("lambda", f"function:{reference}")


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"
