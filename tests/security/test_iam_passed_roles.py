"""Roles that are passed to services"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from local.emulator import passed_roles
from tests.platform import LocalPlatform
from tests.security.iam_support import (
    ACCOUNT,
    Principals,
    User,
    allow,
    denied,
    principals_of,
    trust,
    when,
)

MACHINE = json.dumps({"StartAt": "a", "States": {"a": {"Type": "Pass", "End": True}}})
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"


@pytest.fixture(scope="module")
def principals(platform: LocalPlatform) -> Iterator[Principals]:
    yield from principals_of(platform)


def package() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("index.py", "def handler(event, context): return 1")
    return data.getvalue()


def calls(user: User, role: str) -> dict[str, tuple[str | list[str], str, Callable[[], Any]]]:
    """What passes a role: the actions that it needs, the service that takes it, and the call."""
    name = f"iam-{uuid4().hex[:8]}"

    def client(service: str) -> Any:
        return user.client(service)

    target = {"Id": "1", "Arn": QUEUE, "RoleArn": role}
    schedule = {
        "Name": name,
        "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": QUEUE, "RoleArn": role},
    }
    container = {"name": "c", "image": "i", "memory": 128}
    return {
        "function": (
            "lambda:*",
            "lambda.amazonaws.com",
            lambda: client("lambda").create_function(
                FunctionName=name,
                Runtime="python3.13",
                Handler="index.handler",
                Role=role,
                Code={"ZipFile": package()},
            ),
        ),
        "state machine": (
            "states:*",
            "states.amazonaws.com",
            lambda: client("stepfunctions").create_state_machine(
                name=name, definition=MACHINE, roleArn=role
            ),
        ),
        "rule": (
            "events:*",
            "events.amazonaws.com",
            lambda: client("events").put_rule(
                Name=name, EventPattern='{"source": ["x"]}', RoleArn=role
            ),
        ),
        "target": (
            "events:*",
            "events.amazonaws.com",
            lambda: (
                client("events").put_rule(Name=name, EventPattern='{"source": ["x"]}'),
                client("events").put_targets(Rule=name, Targets=[target]),
            ),
        ),
        "schedule": (
            "scheduler:*",
            "scheduler.amazonaws.com",
            lambda: client("scheduler").create_schedule(**schedule),
        ),
        "task": (
            "ecs:*",
            "ecs-tasks.amazonaws.com",
            lambda: client("ecs").register_task_definition(
                family=name, taskRoleArn=role, containerDefinitions=[container]
            ),
        ),
        "crawler": (
            "glue:*",
            "glue.amazonaws.com",
            lambda: client("glue").create_crawler(
                Name=name, Role=role, DatabaseName="d", Targets={"S3Targets": [{"Path": "s3://b"}]}
            ),
        ),
        "profile": (
            "iam:*InstanceProfile",
            "ec2.amazonaws.com",
            lambda: (
                client("iam").create_instance_profile(InstanceProfileName=name),
                client("iam").add_role_to_instance_profile(
                    InstanceProfileName=name, RoleName=role.rpartition("/")[2]
                ),
            ),
        ),
        "target of scaling": (
            [
                "application-autoscaling:*",
                "sagemaker:DescribeEndpoint*",
                "sagemaker:UpdateEndpoint*",
            ],
            "application-autoscaling.amazonaws.com",
            lambda: client("application-autoscaling").register_scalable_target(
                ServiceNamespace="sagemaker",
                ResourceId="endpoint/none/variant/none",
                ScalableDimension="sagemaker:variant:DesiredInstanceCount",
                MinCapacity=1,
                MaxCapacity=1,
                RoleARN=role,
            ),
        ),
    }


@pytest.fixture(scope="module")
def role(principals: Principals) -> str:
    services = ("lambda", "states", "events", "scheduler", "ecs-tasks", "glue", "ec2")
    return principals.role(trust({"Service": [f"{name}.amazonaws.com" for name in services]}))


@pytest.mark.holds(
    "A caller that passes a role to a service needs iam:PassRole on it, for that service."
)
@pytest.mark.parametrize(
    "what",
    [
        *("function", "state machine", "rule", "target", "schedule", "task", "crawler", "profile"),
        "target of scaling",
    ],
)
def test_a_role_is_passed_only_by_who_may(principals: Principals, role: str, what: str) -> None:
    user = principals.user()
    action, service, call = calls(user, role)[what]
    user.may(allow(action))
    assert denied(call)
    _, _, call = calls(user, role)[what]
    elsewhere = when(StringEquals={"iam:PassedToService": "other.amazonaws.com"})
    user.may(allow(action), allow("iam:PassRole", role, **elsewhere))
    assert denied(call)
    _, _, call = calls(user, role)[what]
    here = when(StringEquals={"iam:PassedToService": service})
    user.may(allow(action), allow("iam:PassRole", role, **here))
    assert not denied(call)


@pytest.mark.holds(
    "A role cannot be changed to one that may not be passed, nor named by another path."
)
def test_a_function_is_not_given_another_role(principals: Principals, role: str) -> None:
    user = principals.user()
    other = principals.role(trust({"Service": "lambda.amazonaws.com"}), allow("*"))
    name = other.rpartition("/")[2]
    user.may(allow("lambda:*"), allow("iam:PassRole", [role, "arn:aws:iam::*:role/mine/*"]))
    _, _, create = calls(user, role)["function"]
    function = create()["FunctionName"]

    def change(arn: str) -> bool:
        functions = user.client("lambda")
        return denied(
            lambda: functions.update_function_configuration(FunctionName=function, Role=arn)
        )

    assert change(other)
    assert change(f"arn:aws:iam::{ACCOUNT}:role/mine/{name}")
    assert change(f"arn:aws:iam::111111111111:role/mine/{name}")
    assert not change(role)


@pytest.mark.holds("An operation that is not listed is asked for the role that it takes.")
def test_roles_are_found_in_operations_that_are_not_listed() -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/r"

    def found(service: str, operation: str, member: str) -> list[str]:
        roles = passed_roles.passed(service, operation, [(member, arn)])
        return [role.service for role in roles]

    assert found("pipes", "CreatePipe", "RoleArn") == ["pipes.amazonaws.com"]
    assert found("firehose", "CreateDeliveryStream", "RoleARN") == ["firehose.amazonaws.com"]
    assert found("codebuild", "CreateProject", "serviceRole") == ["codebuild.amazonaws.com"]
    assert found("cognito-idp", "CreateUserPool", "SnsCallerArn") == ["cognito-idp.amazonaws.com"]
    assert found("batch", "RegisterJobDefinition", "jobRoleArn") == ["ecs-tasks.amazonaws.com"]
    assert found("lambda", "SomethingOfNextYear", "Whatever") == ["lambda.amazonaws.com"]
    assert found("apigateway", "POST", "value") == []
    assert found("apigateway", "PUT", "credentials") == ["apigateway.amazonaws.com"]
    assert found("lambda", "ListFunctions", "Role") == []
    assert found("lambda", "CreateFunction", "ROLE_IN_A_VARIABLE") == []
    assert found("kms", "CreateGrant", "GranteePrincipal") == []
