"""One run of a training job: from starting to the artifacts in S3."""

import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local.sagemaker import s3
from local.sagemaker.errors import REASON_LIMIT, internal_reason
from local.sagemaker.images import is_own
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.training import artifacts, inputs
from local.sagemaker.training.cluster import cluster
from local.sagemaker.training.host import Host
from local.sagemaker.training.metrics import final

CAPACITY_ERROR = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)

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
        self._hosts: list[Host] = []
        self._started = False
        self._stopping = ""
        self._killed = False
        self._call_failure = ""
        self._failure = ""
        self._began = 0.0

    def stop(self, secondary: str) -> None:
        """End the job as Stopped, its secondary status then being the one given."""
        with self._lock:
            self._stopping = self._stopping or secondary
        for host in self._hosts:
            host.stop(self._around.limits.job_stop)

    def kill(self) -> None:
        """End the processes at once, as if their hosts were lost, or let none begin."""
        with self._lock:
            self._killed = True
        for host in self._hosts:
            host.kill()

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
        self._role.pull(self._job["AlgorithmSpecification"]["TrainingImage"])
        definitions = self._definitions()
        self._hosts = [
            Host(
                self._around,
                self._job,
                self._role,
                place,
                self._folder / place.host,
                definitions=definitions,
                on_failure=self._end_for,
            )
            for place in cluster(self._job["ResourceConfig"]).places()
        ]
        try:
            self._prepare()
            if not self._stopping:
                self._train()
        finally:
            for host in self._hosts:
                host.kill()
                host.close()
        if self._call_failure:
            raise JobFailed(f"ClientError: {self._call_failure}")
        if self._started:
            self._upload()
        elif self._killed and not self._stopping:
            raise JobFailed(f"InternalServerError: {internal_reason('The host was lost.')}")
        if self._failure:
            raise JobFailed(self._failure)
        self._end("Completed")

    def _prepare(self) -> None:
        """Make every host ready, all at the same time."""
        with ThreadPoolExecutor(max_workers=len(self._hosts)) as pool:
            ready = [pool.submit(host.prepare, self._storage) for host in self._hosts]
        for one in ready:
            try:
                one.result()
            except inputs.InputError as error:
                raise JobFailed(
                    f"ClientError: Data download failed:Failed to download data. {error}"
                ) from error

    def _train(self) -> None:
        self._advance("Training", "Training image download completed. Training in progress.")
        isolated = self._job.get("EnableNetworkIsolation", False)
        credentials = None if isolated else self._role.credentials()
        image = self._job["AlgorithmSpecification"]["TrainingImage"]
        algorithm = self._around.runtime.resolve(image) or ""
        with self._lock:
            if self._stopping or self._killed:
                return
            self._started = True
            for host in self._hosts:
                host.start(credentials, algorithm)
        longest = self._job["StoppingCondition"]["MaxRuntimeInSeconds"]
        timer = threading.Timer(
            max(self._began + longest - time.time(), 0), self.stop, ["MaxRuntimeExceeded"]
        )
        timer.daemon = True
        timer.start()
        self._wait()
        timer.cancel()
        if self._call_failure:
            raise JobFailed(f"ClientError: {self._call_failure}")

    def _wait(self) -> None:
        """Wait for all hosts; the first that fails decides what the job fails of, and ends all."""
        ended: queue.SimpleQueue[tuple[Host, int]] = queue.SimpleQueue()
        for host in self._hosts:
            threading.Thread(
                target=lambda host=host: ended.put((host, host.wait())), daemon=True
            ).start()
        for _ in self._hosts:
            host, exit_code = ended.get()
            if exit_code and not self._stopping and not self._failure:
                # As on AWS, what a job that fails has written so far is uploaded all the same.
                self._failure = host.reason()
                for other in self._hosts:
                    other.stop(self._around.limits.peer_stop)

    def _upload(self) -> None:
        """Store what lies in the model and output folders, both at the same time."""
        self._advance("Uploading", "Uploading generated training model")
        key = self._job["OutputDataConfig"].get("KmsKeyId", "")
        model = self._job["ModelArtifacts"]["S3ModelArtifacts"]
        bucket, base = s3.parse(model.rpartition("/")[0])

        def store(folders: Sequence[Path], name: str) -> None:
            artifacts.pack(folders, self._folder / name)
            self._storage.upload(self._folder / name, bucket, f"{base}/{name}", key)

        folders = [host.folder for host in self._hosts]
        with ThreadPoolExecutor(max_workers=2) as pool:
            stored = [
                pool.submit(store, [f / "model" for f in folders], artifacts.MODEL),
                pool.submit(store, [f / "output" / "data" for f in folders], artifacts.OUTPUT),
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
        if metrics := final(host.metrics for host in self._hosts):
            changes["FinalMetricDataList"] = metrics
        self._finish(status, self._stopping, **changes)

    def _definitions(self) -> list[dict[str, str]]:
        """Choose the metric definitions: AWS's images have their own, others bring them."""
        specification = self._job["AlgorithmSpecification"]
        image = specification["TrainingImage"]
        if is_own(image, self._around.aws.account):
            return list(specification.get("MetricDefinitions", []))
        return self._around.runtime.metric_definitions(self._around.runtime.resolve(image) or "")

    def _end_for(self, error: CallFailed | inputs.InputError) -> None:
        """End the job because a call in the name of its role was refused, or its data broke off."""
        self._call_failure = self._call_failure or str(error)
        self.kill()
