"""One run of a training job: from starting to the artifacts in S3."""

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local.sagemaker import s3
from local.sagemaker.errors import REASON_LIMIT, internal_reason
from local.sagemaker.images import is_own
from local.sagemaker.logs import LogStream
from local.sagemaker.processes import Process
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.training import artifacts, channels, container, inputs
from local.sagemaker.training.metrics import Metrics

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
CAPACITY_ERROR = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
_PREFIXES = ("AlgorithmError:", "ClientError:", "InternalServerError:", "CapacityError:")

_log = logging.getLogger(__name__)


class JobFailed(Exception):
    """The job has failed; the message is its FailureReason."""


class Run:
    """Runs one job; `advance` records each status, `finish` the last one."""

    def __init__(
        self,
        around: Surroundings,
        job: dict[str, Any],
        folder: Path,
        *,
        advance: Callable[..., None],
        finish: Callable[..., None],
        out_of_capacity: bool = False,
    ) -> None:
        self._around = around
        self._job = job
        self._folder = folder
        self._advance = advance
        self._finish = finish
        self._out_of_capacity = out_of_capacity
        self._role = Role(around.aws, around.arns, job["RoleArn"])
        self._storage = s3.Storage(self._role)
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._stopping = ""
        self._killed = False
        self._call_failure = ""
        self._failure = ""
        self._began = 0.0
        host = f"{job['TrainingJobName']}/{container.HOST}"
        self._metrics = Metrics(self._role, host, self._definitions())
        self._logs = LogStream(
            self._role,
            around.arns,
            group=LOG_GROUP,
            stream=f"{host}-{int(time.time())}",
            on_failure=self._end_for,
        )

    def stop(self, secondary: str) -> None:
        """End the job as Stopped, its secondary status then being the one given."""
        with self._lock:
            self._stopping = self._stopping or secondary
            process = self._process
        if process is not None:
            process.stop(self._around.limits.job_stop)

    def kill(self) -> None:
        """End the process at once, as if its host were lost, or let none begin."""
        with self._lock:
            self._killed = True
            process = self._process
        if process is not None:
            process.kill()

    def run(self) -> None:
        """Do the whole job; never raises."""
        try:
            self._steps()
        except JobFailed as error:
            self._end("Failed", str(error)[:REASON_LIMIT])
        except CallFailed as error:
            self._end("Failed", f"ClientError: {error}"[:REASON_LIMIT])
        except Exception as error:
            _log.exception("training job %s", self._job["TrainingJobName"])
            reason = internal_reason(f"{type(error).__name__}: {error}")
            self._end("Failed", f"InternalServerError: {reason}"[:REASON_LIMIT])
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _steps(self) -> None:
        if self._out_of_capacity:
            raise JobFailed(CAPACITY_ERROR)
        self._began = time.time()
        self._advance(
            "Downloading", "Downloading the training image", TrainingStartTime=self._began
        )
        container.lay_out(self._folder, self._job)
        self._role.pull(self._job["AlgorithmSpecification"]["TrainingImage"])
        self._logs.open()
        data = inputs.Inputs(
            channels.of(self._job),
            self._storage,
            self._folder / "input" / "data",
            on_failure=self._end_for,
        )
        try:
            try:
                data.bring()
            except inputs.InputError as error:
                raise JobFailed(
                    f"ClientError: Data download failed:Failed to download data. {error}"
                ) from error
            if not self._stopping:
                self._train()
        finally:
            data.close()
            self._logs.close()
        if self._call_failure:
            raise JobFailed(f"ClientError: {self._call_failure}")
        if self._process is not None:
            self._upload()
        elif self._killed and not self._stopping:
            raise JobFailed(f"InternalServerError: {internal_reason('The host was lost.')}")
        if self._failure:
            raise JobFailed(self._failure)
        self._end("Completed")

    def _train(self) -> None:
        self._advance("Training", "Training image download completed. Training in progress.")
        around, job = self._around, self._job
        isolated = job.get("EnableNetworkIsolation", False)
        environment = container.environment(
            self._folder,
            job,
            region=around.aws.region,
            endpoint_url=around.aws.endpoint_url,
            credentials=None if isolated else self._role.credentials(),
        )
        algorithm = around.runtime.resolve(job["AlgorithmSpecification"]["TrainingImage"]) or ""
        with self._lock:
            if self._stopping or self._killed:
                return
            self._process = process = around.processes.start(
                around.runtime.command("train"),
                environment={**environment, **around.runtime.environment(algorithm)},
                folder=self._folder,
                on_line=self._line,
            )
        longest = job["StoppingCondition"]["MaxRuntimeInSeconds"]
        timer = threading.Timer(
            max(self._began + longest - time.time(), 0), self.stop, ["MaxRuntimeExceeded"]
        )
        timer.daemon = True
        timer.start()
        exit_code = process.wait()
        timer.cancel()
        try:
            self._metrics.flush()
        except CallFailed as error:
            self._end_for(error)
        if self._call_failure:
            raise JobFailed(f"ClientError: {self._call_failure}")
        if exit_code and not self._stopping:
            # As on AWS, what a job that fails has written so far is uploaded all the same.
            self._failure = self._reason(exit_code)

    def _upload(self) -> None:
        """Store what lies in the model and output folders, both at the same time."""
        self._advance("Uploading", "Uploading generated training model")
        key = self._job["OutputDataConfig"].get("KmsKeyId", "")
        model = self._job["ModelArtifacts"]["S3ModelArtifacts"]
        bucket, base = s3.parse(model.rpartition("/")[0])

        def store(folder: Path, name: str) -> None:
            artifacts.pack(folder, self._folder / name)
            self._storage.upload(self._folder / name, bucket, f"{base}/{name}", key)

        with ThreadPoolExecutor(max_workers=2) as pool:
            stored = [
                pool.submit(store, self._folder / "model", artifacts.MODEL),
                pool.submit(store, self._folder / "output" / "data", artifacts.OUTPUT),
            ]
        for one in stored:
            try:
                one.result()
            except CallFailed:
                # Why the algorithm failed is what its owner must know first.
                if not self._failure:
                    raise

    def _end(self, status: str, reason: str = "") -> None:
        changes: dict[str, Any] = {}
        if self._began:
            ended = time.time()
            seconds = max(round(ended - self._began), 1)
            changes = {
                "TrainingEndTime": ended,
                "TrainingTimeInSeconds": seconds,
                "BillableTimeInSeconds": seconds,
            }
        if reason:
            changes["FailureReason"] = reason
        if metrics := self._metrics.final():
            changes["FinalMetricDataList"] = metrics
        self._finish(status, self._stopping, **changes)

    def _definitions(self) -> list[dict[str, str]]:
        """Choose the metric definitions: AWS's images have their own, others bring them."""
        specification = self._job["AlgorithmSpecification"]
        image = specification["TrainingImage"]
        if is_own(image, self._around.aws.account):
            return list(specification.get("MetricDefinitions", []))
        return self._around.runtime.metric_definitions(self._around.runtime.resolve(image) or "")

    def _line(self, line: str) -> None:
        self._logs.add(line)
        if self._call_failure:
            return
        try:
            self._metrics.read(line)
        except CallFailed as error:
            self._end_for(error)

    def _end_for(self, error: CallFailed | inputs.InputError) -> None:
        """End the job because a call in the name of its role was refused, or its data broke off."""
        self._call_failure = self._call_failure or str(error)
        self.kill()

    def _reason(self, exit_code: int) -> str:
        """Word the FailureReason: a prefix once, the failure file, the exit code."""
        file = self._folder / "output" / "failure"
        text = ""
        if file.is_file() and not file.is_symlink():
            with file.open(errors="replace") as opened:
                text = opened.read(REASON_LIMIT).strip()
        if not text and exit_code > 128:
            names = {number.value: number.name for number in signal.Signals}
            name = names.get(exit_code - 128, f"signal {exit_code - 128}")
            text = f"The training process was ended by {name}"
        if not text:
            text = "The training process wrote no failure file; see its log"
        if not text.startswith(_PREFIXES):
            text = f"AlgorithmError: {text}"
        tail = f", exit code: {exit_code}"
        return text[: REASON_LIMIT - len(tail)] + tail
