"""What runs against a platform that is killed: each actor knows what was acknowledged.

A call that the kill cut off may have happened or not, so each actor keeps the one call it has in
hand, and takes for the truth what it finds afterwards; a third thing is an error.
"""

import functools
import hashlib
import json
import random
import time
from abc import ABC, abstractmethod
from typing import Any

from botocore.exceptions import ClientError

from tests.local.conftest import LocalPlatform
from tests.local.support import ALGORITHMS, job_request, until

CUT_OFF = "The local platform was stopped"


class Actor(ABC):
    """One user of the platform, who does one thing after the other."""

    def __init__(self, platform: LocalPlatform, name: str) -> None:
        self.platform = platform
        self.name = name

    @abstractmethod
    def act(self, chance: random.Random) -> None:
        """Do one thing; raises whatever the kill makes of it."""

    @abstractmethod
    def verify(self) -> None:
        """All that was acknowledged is there, and nothing is half-made."""


class Mapping(Actor):
    """Puts and deletes values under a few keys."""

    keys = 8

    def __init__(self, platform: LocalPlatform, name: str) -> None:
        super().__init__(platform, name)
        self.known: dict[str, Any] = {}
        self.in_hand: tuple[str, Any] | None = None
        self.make()

    def act(self, chance: random.Random) -> None:
        key = f"{self.name}-{chance.randrange(self.keys)}"
        value = None if key in self.known and chance.random() < 0.3 else self.value(chance)
        self.in_hand = key, value
        if value is None:
            self.delete(key)
        else:
            self.put(key, value)
        self._settle(key, value)

    def verify(self) -> None:
        found = self.found()
        if self.in_hand is not None:
            key, wanted = self.in_hand
            assert found.get(key) in (self.known.get(key), wanted), (key, self.in_hand, found)
            self._settle(key, found.get(key))
        assert found == self.known

    def _settle(self, key: str, value: Any) -> None:
        self.in_hand = None
        if value is None:
            self.known.pop(key, None)
        else:
            self.known[key] = value

    @abstractmethod
    def make(self) -> None: ...

    @abstractmethod
    def value(self, chance: random.Random) -> Any: ...

    @abstractmethod
    def put(self, key: str, value: Any) -> None: ...

    @abstractmethod
    def delete(self, key: str) -> None: ...

    @abstractmethod
    def found(self) -> dict[str, Any]: ...


class Objects(Mapping):
    """Objects of a versioned bucket, short and long."""

    def make(self) -> None:
        self.s3 = self.platform.client("s3")
        self.contents: dict[str, bytes] = {}
        self.s3.create_bucket(Bucket=self.name)
        self.s3.put_bucket_versioning(
            Bucket=self.name, VersioningConfiguration={"Status": "Enabled"}
        )

    def value(self, chance: random.Random) -> Any:
        content = chance.randbytes(chance.choice((0, 40, 3_000, 120_000)))
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self.contents[digest] = content
        return digest

    def put(self, key: str, value: Any) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=self.contents[value])

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.name, Key=key)

    def found(self) -> dict[str, Any]:
        listed = self.s3.list_objects_v2(Bucket=self.name).get("Contents", [])
        for one in listed:
            content = self.s3.get_object(Bucket=self.name, Key=one["Key"])["Body"].read()
            assert hashlib.md5(content, usedforsecurity=False).hexdigest() == one["ETag"].strip('"')
        return {one["Key"]: one["ETag"].strip('"') for one in listed}


class Parameters(Mapping):
    """Parameters of SSM."""

    def make(self) -> None:
        self.ssm = self.platform.client("ssm")

    def value(self, chance: random.Random) -> Any:
        return str(chance.random())

    def put(self, key: str, value: Any) -> None:
        self.ssm.put_parameter(
            Name=f"/{self.name}/{key}", Value=value, Type="String", Overwrite=True
        )

    def delete(self, key: str) -> None:
        self.ssm.delete_parameter(Name=f"/{self.name}/{key}")

    def found(self) -> dict[str, Any]:
        pages = self.ssm.get_paginator("get_parameters_by_path").paginate(Path=f"/{self.name}/")
        return {
            one["Name"].rpartition("/")[2]: one["Value"]
            for page in pages
            for one in page["Parameters"]
        }


class Items(Mapping):
    """Items of a table."""

    def make(self) -> None:
        self.table = self.platform.client("dynamodb")
        self.table.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def value(self, chance: random.Random) -> Any:
        return str(chance.random())

    def put(self, key: str, value: Any) -> None:
        self.table.put_item(TableName=self.name, Item={"id": {"S": key}, "value": {"S": value}})

    def delete(self, key: str) -> None:
        self.table.delete_item(TableName=self.name, Key={"id": {"S": key}})

    def found(self) -> dict[str, Any]:
        items = self.table.scan(TableName=self.name, ConsistentRead=True)["Items"]
        return {item["id"]["S"]: item["value"]["S"] for item in items}


class Roles(Mapping):
    """Roles with a policy each."""

    keys = 3

    def make(self) -> None:
        self.iam = self.platform.client("iam")

    def value(self, chance: random.Random) -> Any:
        return str(chance.randrange(10**9))

    def put(self, key: str, value: Any) -> None:
        if key not in self.known:
            trust = {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
            try:
                self.iam.create_role(RoleName=key, AssumeRolePolicyDocument=_policy(trust))
            except self.iam.exceptions.EntityAlreadyExistsException:
                # A kill between the two calls left the role alone.
                assert self.found().get(key) is None
        allowed = {"Sid": value, "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
        self.iam.put_role_policy(RoleName=key, PolicyName="policy", PolicyDocument=_policy(allowed))

    def delete(self, key: str) -> None:
        self.iam.delete_role_policy(RoleName=key, PolicyName="policy")

    def found(self) -> dict[str, Any]:
        found = {}
        for number in range(self.keys):
            key = f"{self.name}-{number}"
            try:
                policy = self.iam.get_role_policy(RoleName=key, PolicyName="policy")
            except self.iam.exceptions.NoSuchEntityException:
                continue
            found[key] = policy["PolicyDocument"]["Statement"][0]["Sid"]
        return found


class Messages(Actor):
    """Publishes to a topic that a queue subscribes to."""

    def __init__(self, platform: LocalPlatform, name: str) -> None:
        super().__init__(platform, name)
        self.sns, self.sqs = platform.client("sns"), platform.client("sqs")
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": "*",
        }
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": _policy(allowed)})
        self.topic = self.sns.create_topic(Name=name)["TopicArn"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        self.sns.subscribe(
            TopicArn=self.topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"]
        )
        self.published: set[str] = set()
        self.count = 0

    def act(self, chance: random.Random) -> None:
        self.count += 1
        self.sns.publish(TopicArn=self.topic, Message=str(self.count))
        self.published.add(str(self.count))

    def verify(self) -> None:
        received = set()
        while found := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for one in found:
                received.add(json.loads(one["Body"])["Message"])
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=one["ReceiptHandle"])
        assert received - self.published <= {str(self.count)}
        assert self.published <= received
        self.published = set()


class Executions(Actor):
    """Starts executions of a state machine; the kill ends those that run."""

    def __init__(self, platform: LocalPlatform, name: str) -> None:
        super().__init__(platform, name)
        self.states = platform.client("stepfunctions")
        definition = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}
        self.machine = self.states.create_state_machine(
            name=name,
            definition=json.dumps(definition),
            roleArn=platform.parameter("training/execution-role-arn"),
        )["stateMachineArn"]
        self.started: list[str] = []

    def act(self, chance: random.Random) -> None:
        arn = self.states.start_execution(stateMachineArn=self.machine)["executionArn"]
        self.started.append(arn)
        time.sleep(chance.random() / 10)

    def verify(self) -> None:
        for arn in self.started:
            found = until(functools.partial(self._ended, arn), f"the end of {arn}")
            assert found
            if found["status"] != "SUCCEEDED":
                assert (found["status"], found["cause"]) == (
                    "FAILED",
                    "The local platform was stopped while the execution ran.",
                )
        self.started = []

    def _ended(self, arn: str) -> dict[str, Any] | None:
        found: dict[str, Any] = self.states.describe_execution(executionArn=arn)
        return found if found["status"] != "RUNNING" else None


class Packages(Actor):
    """Registers versions of a model, and approves them."""

    def __init__(self, platform: LocalPlatform, name: str, model: str) -> None:
        super().__init__(platform, name)
        self.model = model
        self.sagemaker = platform.client("sagemaker")
        self.sagemaker.create_model_package_group(ModelPackageGroupName=name)
        self.known: dict[str, str] = {}
        self.approving = ""
        self.creating = False

    def act(self, chance: random.Random) -> None:
        pending = [arn for arn, status in self.known.items() if status != "Approved"]
        if pending and chance.random() < 0.5:
            self.approving = chance.choice(pending)
            self.sagemaker.update_model_package(
                ModelPackageArn=self.approving, ModelApprovalStatus="Approved"
            )
            self.known[self.approving], self.approving = "Approved", ""
            return
        self.creating = True
        containers = [{"Image": ALGORITHMS["kmeans"]["image"], "ModelDataUrl": self.model}]
        arn = self.sagemaker.create_model_package(
            ModelPackageGroupName=self.name,
            InferenceSpecification={
                "Containers": containers,
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        )["ModelPackageArn"]
        self.known[arn], self.creating = "PendingManualApproval", False

    def verify(self) -> None:
        pages = self.sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self.name
        )
        found = {
            one["ModelPackageArn"]: one["ModelApprovalStatus"]
            for page in pages
            for one in page["ModelPackageSummaryList"]
        }
        assert len(found.keys() - self.known.keys()) <= self.creating
        if self.approving:
            self.known[self.approving] = found[self.approving]
        self.approving, self.creating = "", False
        assert {arn: found.get(arn) for arn in self.known} == self.known
        self.known = found


class Jobs(Actor):
    """Begins a training job now and then; the kill fails the one that runs."""

    def __init__(self, platform: LocalPlatform, name: str) -> None:
        super().__init__(platform, name)
        self.sagemaker = platform.client("sagemaker")
        self.request = job_request(platform, name, "kmeans")
        self.begun: list[str] = []
        self.in_hand = ""
        self.count = 0
        self.cut_off = 0

    def act(self, chance: random.Random) -> None:
        if chance.random() < 0.3:
            self.count += 1
            self.in_hand = name = f"{self.name}-{self.count}"
            self.sagemaker.create_training_job(**{**self.request, "TrainingJobName": name})
            self.begun.append(name)
            self.in_hand = ""
        time.sleep(0.2)

    def verify(self) -> None:
        if self.in_hand and _exists(
            lambda: self.sagemaker.describe_training_job(TrainingJobName=self.in_hand)
        ):
            self.begun.append(self.in_hand)
        for name in self.begun:
            job = self.sagemaker.describe_training_job(TrainingJobName=name)
            if job["TrainingJobStatus"] != "Completed":
                assert job["TrainingJobStatus"] == "Failed", job
                assert CUT_OFF in job["FailureReason"]
                self.cut_off += 1
        self.begun, self.in_hand = [], ""


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
        there = [what for what, look in looks.items() if _exists(look)]
        exported = any(one["Name"] == f"{self.name}-export" for one in exports)
        return [*there, *(["export"] if exported else [])]


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _exists(look: Any) -> bool:
    try:
        look()
    except ClientError as error:
        code, text = error.response["Error"]["Code"], str(error)
        known = ("NotFound" in code, "NonExistent" in code, "does not exist" in text)
        assert any(known) or "resource not found" in text, error
        return False
    return True
