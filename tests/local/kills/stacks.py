"""A stack on a platform that is killed."""

import json
import random
from typing import Any

from botocore.exceptions import ClientError

from tests.local.kills.workload import Actor
from tests.local.support import until
from tests.platform import LocalPlatform


class Stacks(Actor):
    """Creates, updates and deletes a stack whose resources are of several services."""

    def __init__(self, platform: LocalPlatform, name: str) -> None:
        super().__init__(platform, name)
        self.stacks = platform.client("cloudformation")
        self.ssm = platform.client("ssm")
        self.sagemaker = platform.client("sagemaker")
        # The value that the stack has when nothing is in hand; None when there is no stack.
        self.known: str | None = None
        self.in_hand: list[str | None] = []

    def template(self) -> str:
        resources = {
            "Parameter": {
                "Type": "AWS::SSM::Parameter",
                "Properties": {
                    "Name": f"/{self.name}",
                    "Type": "String",
                    "Value": {"Ref": "Value"},
                },
            },
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": self.name}},
            "Group": {
                "Type": "AWS::SageMaker::ModelPackageGroup",
                "DependsOn": ["Parameter"],
                "Properties": {"ModelPackageGroupName": self.name},
            },
            "Topic": {
                "Type": "AWS::SNS::Topic",
                "DependsOn": ["Group"],
                "Properties": {"DisplayName": {"Ref": "Value"}},
            },
        }
        outputs = {
            "Out": {"Value": {"Ref": "Parameter"}, "Export": {"Name": f"{self.name}-export"}}
        }
        document = {
            "Parameters": {"Value": {"Type": "String"}},
            "Resources": resources,
            "Outputs": outputs,
        }
        return json.dumps(document)

    def act(self, chance: random.Random) -> None:
        value = None if self.known and chance.random() < 0.4 else str(chance.randrange(10**6))
        self.in_hand = [self.known, value]
        given = {
            "StackName": self.name,
            "TemplateBody": self.template(),
            "Parameters": [{"ParameterKey": "Value", "ParameterValue": value}],
        }
        if value is None:
            self.stacks.delete_stack(StackName=self.name)
        elif self.known is None:
            self.stacks.create_stack(**given)
        else:
            self.stacks.update_stack(**given)
        status = self.settled()
        assert status in (None, "CREATE_COMPLETE", "UPDATE_COMPLETE"), status
        self.known, self.in_hand = value, []

    def settled(self) -> str | None:
        def look() -> list[str | None]:
            try:
                found = self.stacks.describe_stacks(StackName=self.name)["Stacks"][0]
            except ClientError as error:
                assert "does not exist" in str(error), error
                return [None]
            status = str(found["StackStatus"])
            return [] if status.endswith("_IN_PROGRESS") else [status]

        return until(look, f"the end of what {self.name} is doing")[0]

    def verify(self) -> None:
        status = self.settled()
        if status == "ROLLBACK_COMPLETE":
            # Of a create that was cut off nothing is left; whoever wants it makes it again.
            assert self._there() == [], self._story()
            self.stacks.delete_stack(StackName=self.name)
            status = self.settled()
        assert status in (
            *(None, "CREATE_COMPLETE", "UPDATE_COMPLETE"),
            *("UPDATE_ROLLBACK_COMPLETE",),
        ), status
        value = None
        if status:
            stack = self.stacks.describe_stacks(StackName=self.name)["Stacks"][0]
            value = stack["Parameters"][0]["ParameterValue"]
            assert self.ssm.get_parameter(Name=f"/{self.name}")["Parameter"]["Value"] == value
        everything = ["parameter", "queue", "group", "export"]
        assert self._there() == (everything if status else []), self._story()
        assert value in (self.in_hand or [self.known]), (value, self._story())
        self.known, self.in_hand = value, []

    def _story(self) -> str:
        """What the stack was doing, and what became of it."""
        events = self.stacks.describe_stack_events(StackName=self.name)["StackEvents"]
        lines = [
            f"{one['ResourceType']} {one['ResourceStatus']} {one.get('ResourceStatusReason', '')}"
            for one in reversed(events)
        ]
        return "\n".join([f"{self.known} {self.in_hand} {self._there()}", *lines])

    def _there(self) -> list[str]:
        exports = self.stacks.list_exports()["Exports"]
        looks = {
            "parameter": lambda: self.ssm.get_parameter(Name=f"/{self.name}"),
            "queue": lambda: self.platform.client("sqs").get_queue_url(QueueName=self.name),
            "group": lambda: self.sagemaker.describe_model_package_group(
                ModelPackageGroupName=self.name
            ),
        }
        there = [what for what, look in looks.items() if exists(look)]
        exported = any(one["Name"] == f"{self.name}-export" for one in exports)
        return [*there, *(["export"] if exported else [])]


def exists(look: Any) -> bool:
    """Whether a look finds anything."""
    try:
        look()
    except ClientError as error:
        code, text = error.response["Error"]["Code"], str(error)
        known = ("NotFound" in code, "NonExistent" in code, "does not exist" in text)
        assert any(known) or "resource not found" in text, error
        return False
    return True
