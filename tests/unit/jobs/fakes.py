"""SageMaker, Step Functions and CloudFormation as far as the workflow sees them.

DynamoDB is moto's, since conditions are what the table is about.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from jobs.deployment import PARAMETER


def refusal(code: str, message: str, operation: str = "CreateTrainingJob") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Killed(BaseException):
    """The function's process is gone: nothing in it may catch this."""


@dataclass
class SageMaker:
    """Training jobs that end when a test says so."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    refuse: ClientError | None = None
    kill: bool = False

    def create_training_job(self, **parameters: Any) -> dict[str, str]:
        if self.refuse:
            raise self.refuse
        name = parameters["TrainingJobName"]
        if name in self.jobs:
            raise refusal("ResourceInUse", f"Training job names must be unique: {name}")
        self.created.append(name)
        arn = f"arn:aws:sagemaker:eu-west-1:111122223333:training-job/{name}"
        self.jobs[name] = {
            **parameters,
            "TrainingJobArn": arn,
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
        }
        if self.kill:
            self.kill = False
            raise Killed
        return {"TrainingJobArn": arn}

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        if TrainingJobName not in self.jobs:
            raise refusal(
                "ValidationException", "Requested resource not found.", "DescribeTrainingJob"
            )
        return self.jobs[TrainingJobName]

    def complete(self, name: str) -> None:
        self.jobs[name] |= {
            "TrainingJobStatus": "Completed",
            "SecondaryStatus": "Completed",
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://models/jobs/{name}/output/model.tar.gz"},
            "FinalMetricDataList": [{"MetricName": "validation:merror", "Value": 0.03}],
            "TrainingTimeInSeconds": 12,
            "BillableTimeInSeconds": 12,
        }

    def fail(self, name: str, reason: str) -> None:
        self.jobs[name] |= {"TrainingJobStatus": "Failed", "FailureReason": reason}


@dataclass
class Tasks:
    """Tasks that wait; each can be answered once, as with Step Functions."""

    waiting: set[str] = field(default_factory=set)
    answers: list[tuple[str, str, str]] = field(default_factory=list)
    broken: ClientError | None = None
    kill: bool = False

    def send_task_success(self, taskToken: str, output: str) -> None:
        self._answer(taskToken, "success", output)

    def send_task_failure(self, taskToken: str, error: str, cause: str) -> None:
        self._answer(taskToken, error, cause)

    def send_task_heartbeat(self, taskToken: str) -> None:
        if taskToken not in self.waiting:
            raise refusal("TaskTimedOut", "Task Timed Out", "SendTaskHeartbeat")

    def _answer(self, token: str, how: str, what: str) -> None:
        if self.kill:
            self.kill = False
            raise Killed
        if self.broken:
            raise self.broken
        if token not in self.waiting:
            raise refusal("TaskTimedOut", "Provided task does not exist anymore", "SendTaskSuccess")
        self.waiting.remove(token)
        self.answers.append((token, how, what))


@dataclass
class Endpoint:
    """One endpoint and its stack: an update takes one look, and may fail or go bad."""

    package: str = "none"
    status: str = "CREATE_COMPLETE"
    name: str = "sagemaker-platform-dev-digits"
    stack: str = "sagemaker-platform-dev-endpoint-digits"
    fail_with: str | None = None
    bad: frozenset[str] = frozenset()
    served: str | None = None
    answer: bytes = b"7.0"
    refuse: ClientError | None = None
    asked: list[str] = field(default_factory=list)
    events: list[dict[str, str]] = field(default_factory=list)
    _next: str | None = None

    # CloudFormation
    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        assert StackName == self.stack
        shown = self._next or self.package
        parameters = {PARAMETER: shown, "Other": "kept"}
        answer = {
            "StackStatus": self.status,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
        }
        return {"Stacks": [answer]}

    def update_stack(
        self,
        StackName: str,
        UsePreviousTemplate: bool,
        Parameters: list[dict[str, Any]],
    ) -> None:
        assert StackName == self.stack and UsePreviousTemplate
        if self.refuse:
            raise self.refuse
        values = {one["ParameterKey"]: one.get("ParameterValue") for one in Parameters}
        assert {"ParameterKey": "Other", "UsePreviousValue": True} in Parameters
        wanted = str(values[PARAMETER])
        if wanted == self.package and self.status.endswith("_COMPLETE"):
            raise refusal("ValidationError", "No updates are to be performed.", "UpdateStack")
        self.asked.append(wanted)
        self.status, self._next = "UPDATE_IN_PROGRESS", wanted
        self._event(self.stack, "UPDATE_IN_PROGRESS", "User Initiated")

    def settle(self) -> None:
        """Let the update end."""
        if self.fail_with:
            self._event("Endpoint", "UPDATE_FAILED", self.fail_with)
            self._event("Alarm", "UPDATE_FAILED", "Resource update cancelled")
            self.status, self._next = "UPDATE_ROLLBACK_COMPLETE", None
        else:
            self.package, self._next = self._next or self.package, None
            self.status = "UPDATE_COMPLETE"

    def get_paginator(self, name: str) -> "Endpoint":
        assert name == "describe_stack_events"
        return self

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:
        assert StackName == self.stack
        for event in reversed(self.events):
            yield {"StackEvents": [event]}

    def _event(self, resource: str, status: str, reason: str) -> None:
        self.events.append(
            {
                "LogicalResourceId": resource,
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            }
        )

    # SageMaker
    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        assert EndpointName == self.name
        return {"EndpointStatus": "InService", "EndpointConfigName": "config"}

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        assert EndpointConfigName == "config"
        return {"ProductionVariants": [{"ModelName": "model"}]}

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        assert ModelName == "model"
        return {"PrimaryContainer": {"ModelPackageName": self.served or self.package}}

    def invoke_endpoint(
        self,
        EndpointName: str,
        ContentType: str,
        Body: bytes,
    ) -> dict[str, Any]:
        assert (EndpointName, ContentType, Body) == (self.name, "text/csv", b"0,1,2")
        if self.package in self.bad:
            message = 'Received client error (400) from model with message "64 columns are wanted"'
            raise refusal("ModelError", message, "InvokeEndpoint")
        return {"Body": _Body(self.answer)}


@dataclass
class _Body:
    content: bytes

    def read(self) -> bytes:
        return self.content
