"""The operations on training jobs, and the record of each."""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.sagemaker import quotas, threads
from local.sagemaker.errors import in_use, internal_reason, invalid
from local.sagemaker.events import Events
from local.sagemaker.faults import Faults
from local.sagemaker.resources import Resources, without_tags
from local.sagemaker.roles import Role
from local.sagemaker.store import Document, Store
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.tags import Tags
from local.sagemaker.training.artifacts import MODEL
from local.sagemaker.training.checks import check, check_access
from local.sagemaker.training.instances import LONGEST_BY_DEFAULT
from local.sagemaker.training.run import PREPARING, Run

KIND = "training-job"
_TERMINAL = ("Completed", "Failed", "Stopped")
_MESSAGES = {
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job exceeded MaxWaitTimeInSeconds provided",
}


class TrainingJobs:
    """Creates, runs, stops and shows training jobs."""

    def __init__(
        self,
        store: Store,
        tags: Tags,
        events: Events,
        faults: Faults,
        around: Surroundings,
        folder: Path,
    ) -> None:
        self._jobs = Resources(
            store,
            around.arns,
            tags,
            kind=KIND,
            noun="TrainingJob",
            taken=_name_taken,
            missing=lambda _: invalid("Requested resource not found."),
        )
        self._events = events
        self._faults = faults
        self._around = around
        self._folder = folder
        self._runs: dict[str, tuple[Run, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._closing = False

    def start(self) -> None:
        """Declare failed what was running when the platform ended."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for job in self._jobs.all():
            if job["TrainingJobStatus"] not in _TERMINAL:
                self._finish(
                    job["TrainingJobName"],
                    "Failed",
                    "",
                    FailureReason="InternalServerError: "
                    + internal_reason("The local platform was stopped while the job ran."),
                )

    def close(self) -> None:
        """End every job's process and wait for the runs to be over."""
        with self._lock:
            self._closing = True
            runs = [*self._runs.values()]
        for run, _ in runs:
            run.close()
        threads.join([thread for _, thread in runs], self._around.limits.close)
        shutil.rmtree(self._folder, ignore_errors=True)

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateTrainingJob; the job runs in the background."""
        around = self._around
        check(params, around.programs, around.limits)
        name = params["TrainingJobName"]
        self._jobs.refuse_taken(name)
        role = Role(around.aws, around.arns, params["RoleArn"])
        check_access(params, role, around.arns)
        now = time.time()
        members: Document = {
            "EnableNetworkIsolation": False,
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": False,
            **without_tags(params),
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [_transition("Starting", PREPARING, now)],
            "ModelArtifacts": {"S3ModelArtifacts": _artifact(params)},
            "LastModifiedTime": now,
        }
        if params["ResourceConfig"].get("KeepAlivePeriodInSeconds"):
            members["WarmPoolStatus"] = {"Status": "InUse"}
        self._complete(members)
        with around.quotas.room(quotas.of_job(params)):
            job = self._jobs.create(params, members)
        self._tell(job)
        self._begin(name, job)
        return {"TrainingJobArn": job["TrainingJobArn"]}

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeTrainingJob."""
        return self._jobs.get(params["TrainingJobName"])

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListTrainingJobs; a page is cut, newest first, before status and name filter it.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ListTrainingJobs.html
        """
        if params.get("TrainingPlanArnEquals"):
            return {"TrainingJobSummaries": []}
        return self._jobs.page(
            params,
            "TrainingJobSummaries",
            (
                "TrainingEndTime",
                "LastModifiedTime",
                "TrainingJobStatus",
                "SecondaryStatus",
                "WarmPoolStatus",
            ),
            # AWS documents it of the status; users have reported it of the name as well, with empty
            # pages that have a NextToken.
            late=("StatusEquals", "WarmPoolStatusEquals", "NameContains"),
        )

    def stop(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer StopTrainingJob; what the model folder holds is uploaded all the same."""
        name = params["TrainingJobName"]
        self._jobs.get(name)

        def edit(job: Document) -> None:
            status = job["TrainingJobStatus"]
            if status in _TERMINAL or status == "Stopping":
                raise invalid(
                    f"The request was rejected because the training job is in status {status}."
                )
            job["TrainingJobStatus"] = "Stopping"
            _move(job, "Stopping", "Stopping the training job")

        self._change(name, edit)
        with self._lock:
            running = self._runs.get(name)
        if running:
            running[0].stop("Stopped")
        return {}

    def lose_host(self, name: str) -> None:
        """End a job's processes as if a host of theirs were lost."""
        with self._lock:
            running = self._runs.get(name)
        if running:
            running[0].lose()

    def wait(self, name: str, timeout: float) -> None:
        """Wait until a run is over."""
        with self._lock:
            running = self._runs.get(name)
        if running:
            running[1].join(timeout)

    def _complete(self, job: Document) -> None:
        """Put in what a description has on AWS whether or not the request had it.

        The SDK attaches to a job by these members, and finds its metrics by them.
        """
        job["StoppingCondition"].setdefault("MaxRuntimeInSeconds", LONGEST_BY_DEFAULT)
        job["OutputDataConfig"].setdefault("KmsKeyId", "")
        specification, programs = job["AlgorithmSpecification"], self._around.programs
        image = specification["TrainingImage"]
        if not programs.is_own(image) and not programs.runs_script(job):
            specification["MetricDefinitions"] = programs.metric_definitions(image)

    def _begin(self, name: str, job: Document) -> None:
        run = Run(
            self._around,
            job,
            self._folder / name,
            self._faults,
            advance=lambda status, message, **changes: self._advance(
                name, status, message, changes
            ),
            finish=lambda status, stopped, **changes: self._finish(
                name, status, stopped, **changes
            ),
        )

        def work() -> None:
            try:
                run.run()
            finally:
                with self._lock:
                    self._runs.pop(name, None)

        thread = threading.Thread(target=work, name=f"job-{name}", daemon=True)
        with self._lock:
            # `close` has ended all runs that it found; this one would outlive it.
            if self._closing:
                return
            self._runs[name] = run, thread
            thread.start()

    def _advance(self, name: str, status: str, message: str, changes: Mapping[str, Any]) -> None:
        def edit(job: Document) -> None:
            job.update(changes)
            _move(job, status, message)

        self._record(name, edit)

    def _finish(self, name: str, status: str, stopped: str, **changes: object) -> None:
        """Write the end of a job, once: a stop that came before it has the last word."""

        def edit(job: Document) -> None:
            final = status
            if status == "Completed" and (stopped or job["TrainingJobStatus"] == "Stopping"):
                final = "Stopped"
            job.update(changes)
            job["TrainingJobStatus"] = final
            if "WarmPoolStatus" in job:
                # Nothing is kept warm on this machine, and so nothing is there to be reused.
                job["WarmPoolStatus"] = {
                    "Status": "Terminated",
                    "ResourceRetainedBillableTimeInSeconds": 0,
                }
            secondary = stopped if final == "Stopped" and stopped else final
            message = str(changes.get("FailureReason") or _MESSAGES[secondary])
            _move(job, secondary, message)
            job["SecondaryStatusTransitions"][-1]["EndTime"] = job["LastModifiedTime"]

        self._record(name, edit)

    def _record(self, name: str, edit: Callable[[Document], None]) -> None:
        with self._lock:
            # A job that is cut off by the end of the platform is declared failed at its next
            # start, when there is a bus again to send the event to.
            if self._closing:
                return
        self._change(name, edit)

    def _change(self, name: str, edit: Callable[[Document], None]) -> None:
        changed = self._jobs.change(name, edit)
        if changed:
            self._tell(changed)

    def _tell(self, job: Document) -> None:
        self._events.training_job(job, self._jobs.tags(job["TrainingJobName"]))


def _name_taken(arn: str) -> Exception:
    return in_use(
        "Training job names must be unique within an AWS account and region, and a training job "
        f"with this name already exists ({arn})"
    )


def _artifact(params: Mapping[str, Any]) -> str:
    """Where the model goes; as on AWS it is told from the start, whether or not it gets there."""
    path = params["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    return f"{path}/{params['TrainingJobName']}/output/{MODEL}"


def _transition(status: str, message: str, at: float) -> dict[str, Any]:
    return {"Status": status, "StartTime": at, "StatusMessage": message}


def _move(job: Document, status: str, message: str) -> None:
    now = time.time()
    transitions = job["SecondaryStatusTransitions"]
    transitions[-1].setdefault("EndTime", now)
    transitions.append(_transition(status, message, now))
    job["SecondaryStatus"] = status
    job["LastModifiedTime"] = now
