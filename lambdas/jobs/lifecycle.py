"""The life of a job's task: begun, ended, and found again when nobody told that it ended.

The order is what loses no job. The token is in the table before the job exists, so that whoever is
killed in between leaves a row that the sweep finishes. The job's name follows from the execution,
so that creating it twice makes it once. A task is answered before its row is finished, so that
whoever is killed there leaves a claim that expires.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from common.log import decided
from jobs.outcome import Failure, Outcome, Success, of
from jobs.table import BUSY_SECONDS, Job, JobTable

if TYPE_CHECKING:
    from types_boto3_sagemaker import SageMakerClient
    from types_boto3_stepfunctions import SFNClient

# Step Functions' words for a task that nobody waits for any more.
_NOBODY_WAITS = frozenset({"InvalidToken", "TaskDoesNotExist", "TaskTimedOut"})
_NAME_EXISTS = "ResourceInUse"
_LONGEST_ERROR = 256
_LONGEST_CAUSE = 32768
# What passes by itself, so that it is no answer to a request. Quotas come to be parked here.
_PASSING = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "ServiceUnavailable",
        "ThrottlingException",
    }
)


class SweepFailed(RuntimeError):
    """Some jobs could not be looked after; the others were."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What a function does for a job, with the table and the two services it acts on."""

    table: JobTable
    sagemaker: "SageMakerClient"
    tasks: "SFNClient"

    def begin(self, *, token: str, execution: str, parameters: Mapping[str, Any], now: int) -> None:
        """Keep the token, then create the job; a retry finds both and goes on from there."""
        name = parameters["TrainingJobName"]
        self.table.put(name, token=token, execution=execution, parameters=parameters, now=now)
        self._create(Job(name, "starting", token, execution, parameters, now), now)

    def settle(self, name: str, now: int) -> None:
        """Answer the task of a job that has ended; harmless when it is answered, or not ours."""
        job = self.table.get(name)
        if job is None or job.status is None:
            decided("nobody waits", job=name)
            return
        described = self._describe(name)
        if described is not None:
            self._settle(job, described, now)

    def sweep(self, now: int, grace_seconds: int = BUSY_SECONDS) -> list[str]:
        """Look after every job that nobody is at work on; creating one may take `grace_seconds`.

        Raises:
            SweepFailed: For some it did not work; their rows are as they were.
        """
        looked_after, problems = [], []
        for name in self.table.unfinished(now, grace_seconds):
            try:
                self._look_after(name, now)
                looked_after.append(name)
            except Exception as error:
                problems.append(f"{name}: {error}")
        if problems:
            raise SweepFailed("; ".join(problems))
        return looked_after

    def _look_after(self, name: str, now: int) -> None:
        job = self.table.get(name)
        if job is None or job.status is None:
            return
        described = self._describe(name)
        if described is not None:
            self._settle(job, described, now)
        elif job.status != "starting":
            self._answer(job, Failure("TrainingJobLost", f"SageMaker knows no job {name}"), now)
        elif self._somebody_waits(job):
            decided("create what was never created", job=name, execution=job.execution)
            self._create(job, now)
        else:
            decided("not created, nobody waits", job=name, execution=job.execution)
            self.table.finish(name, job.token, "never created, and nobody waited", now)

    def _create(self, job: Job, now: int) -> None:
        try:
            self.sagemaker.create_training_job(**job.parameters)
        except ClientError as error:
            code, message = _code(error), _message(error)
            if code == _NAME_EXISTS:
                self._adopt(job, message, now)
                return
            if code in _PASSING:
                # The row stays as it is, and the next sweep tries again.
                decided("left for the sweep", job=job.name, error=code, cause=message)
                return
            decided("refused by SageMaker", job=job.name, error=code, cause=message)
            self._answer(job, Failure(code, message), now)
            return
        decided("created", job=job.name, execution=job.execution)
        self.table.begun(job.name, job.token, now)

    def _adopt(self, job: Job, message: str, now: int) -> None:
        """Go on with a job that exists: an earlier try of this execution made it, or a stranger."""
        described = self._describe(job.name)
        if described is None or not _made_from(job.parameters, described):
            self._answer(job, Failure(_NAME_EXISTS, message), now)
            return
        decided("found what an earlier try created", job=job.name, execution=job.execution)
        self._settle(job, described, now)

    def _settle(self, job: Job, described: Mapping[str, Any], now: int) -> None:
        outcome = of(described)
        if outcome is not None:
            self._answer(job, outcome, now)
        elif job.status == "starting":
            self.table.begun(job.name, job.token, now)

    def _answer(self, job: Job, outcome: Outcome, now: int) -> None:
        if not self.table.claim(job.name, job.token, now):
            decided("somebody else answers", job=job.name)
            return
        result = "failed" if isinstance(outcome, Failure) else "completed"
        try:
            self._send(job.token, outcome)
        except ClientError as error:
            if _code(error) not in _NOBODY_WAITS:
                raise
            result = f"{result}, and nobody waited: {_code(error)}"
        self.table.finish(job.name, job.token, result, now)
        decided("answered", job=job.name, execution=job.execution, result=result)

    def _send(self, token: str, outcome: Outcome) -> None:
        if isinstance(outcome, Success):
            self.tasks.send_task_success(taskToken=token, output=json.dumps(outcome.output))
        else:
            self.tasks.send_task_failure(
                taskToken=token,
                error=outcome.error[:_LONGEST_ERROR],
                cause=outcome.cause[:_LONGEST_CAUSE],
            )

    def _somebody_waits(self, job: Job) -> bool:
        """Whether the execution still runs; a job that is created for nobody costs all the same."""
        try:
            self.tasks.send_task_heartbeat(taskToken=job.token)
        except ClientError as error:
            if _code(error) not in _NOBODY_WAITS:
                raise
            return False
        return True

    def _describe(self, name: str) -> Mapping[str, Any] | None:
        try:
            return self.sagemaker.describe_training_job(TrainingJobName=name)
        except ClientError as error:
            # SageMaker says it as a ValidationException, where one would look for ResourceNotFound.
            if "Requested resource not found" in _message(error):
                return None
            raise


def _made_from(parameters: Mapping[str, Any], described: Mapping[str, Any]) -> bool:
    """Whether a job is what `parameters` ask for; its name alone could be a coincidence."""
    image = parameters["AlgorithmSpecification"]["TrainingImage"]
    return bool(
        described["AlgorithmSpecification"].get("TrainingImage") == image
        and described["RoleArn"] == parameters["RoleArn"]
        and described.get("HyperParameters", {}) == parameters["HyperParameters"]
        and described["OutputDataConfig"]["S3OutputPath"]
        == parameters["OutputDataConfig"]["S3OutputPath"]
    )


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _message(error: ClientError) -> str:
    return str(error.response["Error"]["Message"])
