"""What begins things on a platform that is killed: messages, executions, packages, jobs."""

import functools
import json
import random
import time
from typing import Any

from tests.local.kills.stacks import exists
from tests.local.kills.workload import Actor, policy
from tests.local.support import ALGORITHMS, job_request, until
from tests.platform import LocalPlatform

CUT_OFF = "The local platform was stopped"


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
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": policy(allowed)})
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
        # Some kill must meet a job that runs, however few they are.
        if not self.cut_off or chance.random() < 0.3:
            self.count += 1
            self.in_hand = name = f"{self.name}-{self.count}"
            self.sagemaker.create_training_job(**{**self.request, "TrainingJobName": name})
            self.begun.append(name)
            self.in_hand = ""
        time.sleep(0.2)

    def verify(self) -> None:
        if self.in_hand and exists(
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
