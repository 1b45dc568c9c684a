import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Server, allow, eventually, zipped

LOGS = allow("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
FUNCTION = """
import boto3, os

class NoRoom(Exception):
    pass

def handler(event, context):
    if event.get("token"):
        if event.get("fail"):
            raise NoRoom("no room")
        boto3.client("stepfunctions").send_task_success(taskToken=event["token"], output='"done"')
        return None
    raise NoRoom("no room")
"""


@pytest.fixture(scope="module")
def function(server: Server) -> Iterator[str]:
    role = server.role("sf-function", "lambda.amazonaws.com", LOGS, allow("states:SendTaskSuccess"))
    found = server.client("lambda").create_function(
        FunctionName="sf-function",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": zipped(FUNCTION)},
    )
    yield found["FunctionArn"]


@pytest.fixture(scope="module")
def role(server: Server) -> str:
    return server.role("sf-machine", "states.amazonaws.com", allow("lambda:InvokeFunction"))


def run(server: Server, role: str, state: dict[str, Any], **others: Any) -> dict[str, Any]:
    states = server.client("stepfunctions")
    name = f"m{len(states.list_state_machines()['stateMachines'])}"
    machine = states.create_state_machine(
        name=name,
        roleArn=role,
        definition=json.dumps({"StartAt": "A", "States": {"A": state, **others}}),
    )["stateMachineArn"]
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    found = eventually(
        lambda: states.describe_execution(executionArn=arn), lambda e: e["status"] != "RUNNING"
    )
    return dict(found)


def test_a_catch_matches_the_type_of_the_exception_that_a_function_raises(
    server: Server, function: str, role: str
) -> None:
    found = run(
        server,
        role,
        {
            "Type": "Task",
            "Resource": function,
            "Catch": [{"ErrorEquals": ["NoRoom"], "Next": "B"}],
            "End": True,
        },
        B={"Type": "Pass", "Result": "caught", "End": True},
    )
    assert found["status"] == "SUCCEEDED"
    assert json.loads(found["output"]) == "caught"


def test_a_function_that_fails_before_it_used_its_token_fails_the_task(
    server: Server, function: str, role: str
) -> None:
    found = run(server, role, waiting(function, fail=True))
    assert found["status"] == "FAILED"
    assert found["error"] == "NoRoom"
    assert json.loads(found["cause"])["errorMessage"] == "no room"


def test_a_token_that_is_sent_back_completes_the_task(
    server: Server, function: str, role: str
) -> None:
    found = run(server, role, waiting(function))
    assert (found["status"], found["output"]) == ("SUCCEEDED", '"done"')


def test_a_machine_whose_role_may_not_invoke_fails_with_the_action_named(
    server: Server, function: str
) -> None:
    bare = server.role("sf-bare", "states.amazonaws.com", allow("sns:Publish"))
    found = run(server, bare, {"Type": "Task", "Resource": function, "End": True})
    assert found["error"] == "Lambda.AWSLambdaException"
    assert (
        f"not authorized to perform: lambda:InvokeFunction on resource: {function}"
        in (found["cause"])
    )


def test_a_machine_whose_role_may_not_publish_fails_with_the_action_named(
    server: Server, role: str
) -> None:
    topic = server.client("sns").create_topic(Name="sf-topic")["TopicArn"]
    found = run(
        server,
        role,
        {
            "Type": "Task",
            "Resource": "arn:aws:states:::sns:publish",
            "Parameters": {"TopicArn": topic, "Message": "m"},
            "End": True,
        },
    )
    assert "not authorized to perform: sns:Publish" in found["cause"]


def waiting(function: str, *, fail: bool = False) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {
            "FunctionName": function,
            "Payload": {"token.$": "$$.Task.Token", "fail": fail},
        },
        "TimeoutSeconds": 20,
        "End": True,
    }
