"""Notebook instances of the running platform, from template to a cell's own AWS calls."""

import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import LocalPlatform
from tests.local.support import until

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
ALLOWED = {
    "Effect": "Allow",
    "Action": [
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sagemaker:DescribeNotebookInstance",
        "sagemaker:StopNotebookInstance",
    ],
    "Resource": "*",
}


@pytest.fixture(scope="module")
def role(platform: LocalPlatform) -> Iterator[str]:
    iam, name = platform.client("iam"), f"notebook-{uuid4().hex[:8]}"
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    policy = {"Version": "2012-10-17", "Statement": [ALLOWED]}
    iam.put_role_policy(RoleName=name, PolicyName="notebook", PolicyDocument=json.dumps(policy))
    yield made["Arn"]
    iam.delete_role_policy(RoleName=name, PolicyName="notebook")
    iam.delete_role(RoleName=name)


def described(platform: LocalPlatform, name: str) -> dict[str, Any]:
    found: dict[str, Any] = platform.client("sagemaker").describe_notebook_instance(
        NotebookInstanceName=name
    )
    return found


def reached(platform: LocalPlatform, name: str, *statuses: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = described(platform, name)
        return found if found["NotebookInstanceStatus"] in statuses else None

    found = until(look, f"{name} {statuses}", 90)
    assert found
    return found


def encoded(script: str) -> str:
    return base64.b64encode(script.encode()).decode()


def template(role: str, **changes: Any) -> str:
    """A notebook with its script and its repository, as a team would declare them."""
    on_start = f"#!/bin/bash\nset -e\necho started {changes.pop('word', 'first')}\n"
    url = changes.pop("url", "https://git.example.com/team/a.git")
    resources = {
        "Scripts": {
            "Type": "AWS::SageMaker::NotebookInstanceLifecycleConfig",
            "Properties": {"OnStart": [{"Content": encoded(on_start)}]},
        },
        "Repository": {
            "Type": "AWS::SageMaker::CodeRepository",
            "Properties": {"GitConfig": {"RepositoryUrl": url, "Branch": "main"}},
        },
        "Notebook": {
            "Type": "AWS::SageMaker::NotebookInstance",
            "Properties": {
                "InstanceType": "ml.t3.medium",
                "RoleArn": role,
                "VolumeSizeInGB": "10",
                "LifecycleConfigName": {
                    "Fn::GetAtt": ["Scripts", "NotebookInstanceLifecycleConfigName"]
                },
                "Tags": [{"Key": "team", "Value": "a"}],
                **changes,
            },
        },
    }
    outputs = {
        "Notebook": {"Value": {"Ref": "Notebook"}},
        "NotebookName": {"Value": {"Fn::GetAtt": ["Notebook", "NotebookInstanceName"]}},
        "Scripts": {"Value": {"Ref": "Scripts"}},
        "RepositoryName": {"Value": {"Fn::GetAtt": ["Repository", "CodeRepositoryName"]}},
    }
    return json.dumps({"Resources": resources, "Outputs": outputs})


class Stack:
    def __init__(self, platform: LocalPlatform) -> None:
        self.client = platform.client("cloudformation")
        self.name = f"notebooks-{uuid4().hex[:8]}"

    def create(self, body: str) -> dict[str, str]:
        self.client.create_stack(StackName=self.name, TemplateBody=body)
        return self._settled("CREATE_COMPLETE")

    def update(self, body: str, wanted: str = "UPDATE_COMPLETE") -> dict[str, str]:
        self.client.update_stack(StackName=self.name, TemplateBody=body)
        return self._settled(wanted)

    def delete(self) -> None:
        self.client.delete_stack(StackName=self.name)
        self.client.get_waiter("stack_delete_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    def reasons(self) -> list[str]:
        events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
        return [e["ResourceStatusReason"] for e in events if e.get("ResourceStatusReason")]

    def _settled(self, wanted: str) -> dict[str, str]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client.describe_stacks(StackName=self.name)["Stacks"][0]
            return None if found["StackStatus"].endswith("_IN_PROGRESS") else found

        found = until(look, f"stack {self.name}", 120)
        assert found
        assert found["StackStatus"] == wanted, self.reasons()
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


def test_a_stack_makes_changes_replaces_and_removes_a_notebook(
    platform: LocalPlatform, role: str
) -> None:
    sagemaker, stack = platform.client("sagemaker"), Stack(platform)
    first = stack.create(template(role))
    name = first["NotebookName"]
    made = described(platform, name)
    assert made["NotebookInstanceStatus"] == "InService"
    assert made["NotebookInstanceArn"] == first["Notebook"]
    assert made["VolumeSizeInGB"] == 10
    tags = sagemaker.list_tags(ResourceArn=first["Notebook"])["Tags"]
    assert {"Key": "team", "Value": "a"} in tags

    # A new script is no change of the instance; it runs from the next start on.
    second = stack.update(template(role, word="second"))
    assert (second["Notebook"], second["Scripts"]) == (first["Notebook"], first["Scripts"])
    # A new type is, after a stop and with a start; another repository replaces the old.
    third = stack.update(
        template(
            role, word="second", InstanceType="ml.t3.large", url="https://git.example.com/b.git"
        )
    )
    assert third["Notebook"] == first["Notebook"]
    assert third["RepositoryName"] != first["RepositoryName"]
    changed = described(platform, name)
    assert changed["InstanceType"] == "ml.t3.large"
    assert changed["NotebookInstanceStatus"] == "InService"
    log = platform.client("logs").get_log_events(
        logGroupName="/aws/sagemaker/NotebookInstances",
        logStreamName=f"{name}/LifecycleConfigOnStart",
        startFromHead=True,
    )["events"]
    assert [event["message"] for event in log] == ["started first", "started second"]

    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    reached(platform, name, "Stopped")
    replaced = stack.update(template(role, PlatformIdentifier="notebook-al2023-v1"))
    assert replaced["Notebook"] != first["Notebook"]
    with pytest.raises(ClientError, match="RecordNotFound"):
        described(platform, name)
    stack.delete()
    with pytest.raises(ClientError, match="RecordNotFound"):
        described(platform, replaced["NotebookName"])
    with pytest.raises(ClientError, match="Cannot find CodeRepository"):
        sagemaker.describe_code_repository(CodeRepositoryName=third["RepositoryName"])


def test_a_notebook_that_fails_fails_its_stack_with_the_reason_and_is_removed(
    platform: LocalPlatform, role: str
) -> None:
    stack, name = Stack(platform), f"broken-{uuid4().hex[:8]}"
    body = template(
        role, NotebookInstanceName=name, DefaultCodeRepository="https://127.0.0.1:1/none.git"
    )
    stack.client.create_stack(StackName=stack.name, TemplateBody=body)
    stack._settled("ROLLBACK_COMPLETE")
    assert any("Cannot clone https://127.0.0.1:1/none.git" in reason for reason in stack.reasons())
    with pytest.raises(ClientError, match="RecordNotFound"):
        described(platform, name)
    stack.delete()
