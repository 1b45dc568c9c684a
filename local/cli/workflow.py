"""Following one execution of the training workflow through its states."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError

from local.cli.aws import Aws
from local.cli.tailing import TRAINING_GROUP, Metrics, Tail, metrics_of
from local.platform.errors import PlatformError

PAUSE = 0.25
TRAIN = "Train"
# States that a person need not tell apart from the step to which they belong.
STEPS = {"WaitForStack": "Deploy", "CheckDeployment": "Deploy"}
# States that tell of a failure and are not its reason.
EPILOGUE = ("ReportFailure", "Failed")


class Follower(Protocol):
    """Something that shows the states of an execution as they come."""

    def begin(self, step: str) -> None:
        """A state is entered."""

    def update(self, step: str, detail: str) -> None:
        """How far the state is."""

    def end(self, step: str, detail: str = "") -> None:
        """The state is left."""

    def fail(self, step: str) -> None:
        """The execution ended in this state."""


@dataclass(frozen=True)
class Outcome:
    """An execution that succeeded."""

    execution_arn: str
    job: str
    # What the last state gave out.
    output: Mapping[str, Any]


def start(aws: Aws, request: Mapping[str, Any]) -> str:
    """Start the workflow with a job request; return the ARN of the execution."""
    machine = aws.parameter("training/state-machine-arn")
    answer = aws.stepfunctions.start_execution(stateMachineArn=machine, input=json.dumps(request))
    return answer["executionArn"]


def follow(aws: Aws, execution: str, shown: Follower) -> Outcome:
    """Show the execution until it ends; raise PlatformError with its reason when it fails."""
    tracker = _Tracker(aws, execution, shown)
    while True:
        # Described first: a state entered after that is shown in the next round.
        described = aws.stepfunctions.describe_execution(executionArn=execution)
        tracker.look()
        if described["status"] == "SUCCEEDED":
            tracker.close(failed=False)
            return Outcome(execution, tracker.job, json.loads(described.get("output") or "{}"))
        if described["status"] != "RUNNING":
            tracker.close(failed=True)
            raise PlatformError(
                f"{tracker.state or 'start'} (of the training workflow)",
                _reason(described.get("error", described["status"]), described.get("cause", "")),
                _remedy(tracker),
            )
        time.sleep(PAUSE)


class _Tracker:
    """What has been shown of an execution so far."""

    def __init__(self, aws: Aws, execution: str, shown: Follower) -> None:
        self.state = ""
        self.job = ""
        self._aws = aws
        self._execution = execution
        self._shown = shown
        self._seen = 0
        self._tail: Tail | None = None
        self._metrics: Metrics | None = None

    def look(self) -> None:
        """Take in the events and log lines that came."""
        pages = self._aws.stepfunctions.get_paginator("get_execution_history").paginate(
            executionArn=self._execution
        )
        events = [event for page in pages for event in page["events"]]
        for event in events[self._seen :]:
            # Choices and passes take no time, and mean nothing to the one who waits.
            if event["type"] in ("TaskStateEntered", "WaitStateEntered"):
                entered = event["stateEnteredEventDetails"]
                self._enter(entered["name"], entered.get("input", ""))
        self._seen = len(events)
        self._measure()

    def close(self, *, failed: bool) -> None:
        """Show the end of the last state."""
        self._measure()
        if not self.state:
            return
        if failed:
            self._shown.fail(self.state)
        else:
            self._shown.end(self.state)

    def _enter(self, name: str, given: str) -> None:
        name = STEPS.get(name, name)
        if name == self.state or name in EPILOGUE:
            return
        if self.state:
            self._measure()
            self._shown.end(self.state, self._values())
        self.state = name
        self._shown.begin(name)
        self.job = self.job or _job_name(given)

    def _values(self) -> str:
        return self._metrics.words() if self._metrics and self.state == TRAIN else ""

    def _measure(self) -> None:
        if not self.job or self.state != TRAIN:
            return
        if self._metrics is None:
            try:
                self._metrics = metrics_of(self._aws, self.job)
            except ClientError:
                # The state is entered before its function has created the job.
                return
            self._tail = Tail(self._aws, TRAINING_GROUP, f"{self.job}/")
        if self._tail and self._metrics.read(self._tail.lines()):
            self._shown.update(self.state, self._metrics.words())


def _job_name(text: str) -> str:
    """The first training job's name in a state's input."""
    try:
        found = [json.loads(text)]
    except ValueError:
        return ""
    while found:
        value = found.pop(0)
        if isinstance(value, dict):
            name = value.get("TrainingJobName")
            if isinstance(name, str):
                return name
            found += value.values()
        elif isinstance(value, list):
            found += value
    return ""


def _reason(error: str, cause: str) -> str:
    """The cause as a sentence: a function's error comes as JSON with a message in it."""
    try:
        document = json.loads(cause)
    except ValueError:
        return f"{error}: {cause}" if cause else error
    message = document.get("errorMessage") if isinstance(document, dict) else None
    return f"{error}: {message or cause}"


def _remedy(tracker: _Tracker) -> str:
    if tracker.job and tracker.state == TRAIN:
        return f"What the job printed: smp logs {tracker.job}"
    return "Correct the request; docs/schemas/job-request.schema.json says what may stand in it."
