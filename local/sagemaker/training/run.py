"""One training job, from starting to the artifacts in S3, over as many attempts as it takes."""

import errno
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local.containers.container import CannotStart
from local.sagemaker import s3
from local.sagemaker.containers import ImageMissing
from local.sagemaker.errors import REASON_LIMIT, internal_reason
from local.sagemaker.faults import Faults
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.training import artifacts
from local.sagemaker.training.attempt import Attempt
from local.sagemaker.training.cluster import cluster
from local.sagemaker.training.inputs import InputError
from local.sagemaker.training.metrics import Metrics, final

CAPACITY_ERROR = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)
PREPARING = "Preparing the instances for training"
# What AWS charges for spot instances changes by the minute and is up to 90 % off; nothing is
# charged here, and this stands for a usual discount of 70 %.
_SPOT_SHARE = 0.3

# What the system says of a disk that is full, or of all that one may use of it.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

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
        faults: Faults,
        *,
        advance: Callable[..., None],
        finish: Callable[..., None],
    ) -> None:
        self._around = around
        self._job = job
        self._folder = folder
        self._faults = faults
        self._advance = advance
        self._finish = finish
        self._spot = bool(job.get("EnableManagedSpotTraining"))
        self._role = Role(around.aws, around.arns, job["RoleArn"])
        self._storage = s3.Storage(self._role)
        self._cluster = cluster(job["ResourceConfig"])
        self._lock = threading.Lock()
        self._attempt: Attempt | None = None
        # Of the hosts of all attempts: each goes on where the one before it ended.
        self._metrics: list[Metrics] = []
        self._stopping = ""
        self._over = threading.Event()
        # When training began, and this attempt at it; how long those before it took.
        self._began = 0.0
        self._attempt_began = 0.0
        self._trained = 0.0

    def stop(self, secondary: str) -> None:
        """End the job as Stopped, its secondary status then being the one given."""
        with self._lock:
            self._stopping = self._stopping or secondary
            attempt = self._attempt
        self._over.set()
        if attempt is not None:
            attempt.stop()

    def lose(self) -> None:
        """End the processes at once, as if a host of theirs were lost, or let none begin."""
        with self._lock:
            attempt = self._attempt
        if attempt is not None:
            attempt.lose()

    def close(self) -> None:
        """End the processes at once and for good."""
        self._over.set()
        self.lose()

    def run(self) -> None:
        """Do the whole job; never raises."""
        waiting = self._limit_waiting()
        try:
            self._steps()
        except JobFailed as error:
            self._end("Failed", str(error)[:REASON_LIMIT])
        except CallFailed as error:
            self._end("Failed", f"ClientError: {error}"[:REASON_LIMIT])
        except Exception as error:
            self._end("Failed", self._unforeseen(error)[:REASON_LIMIT])
        finally:
            if waiting is not None:
                waiting.cancel()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _steps(self) -> None:
        # Spot training waits for capacity for as long as it may; other training fails without.
        if not self._spot and self._faults.out_of_capacity():
            raise JobFailed(CAPACITY_ERROR)
        retries = int(self._job.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0))
        attempt = self._next_attempt()
        while attempt is not None and not self._over.is_set():
            if attempt.interrupted:
                self._advance("Interrupted", "The managed spot training instances were reclaimed")
            elif attempt.lost and retries:
                retries -= 1
            else:
                break
            attempt.remove()
            self._advance("Starting", PREPARING)
            attempt = self._next_attempt()
        if attempt is not None:
            self._conclude(attempt)
        self._end("Completed")

    def _conclude(self, attempt: Attempt) -> None:
        """Store what the last attempt has made, and fail the job if that has failed."""
        if attempt.refused:
            raise JobFailed(f"ClientError: {attempt.refused}")
        if attempt.lost and not self._stopping:
            raise JobFailed(f"InternalServerError: {internal_reason('The host was lost.')}")
        if attempt.started:
            # As on AWS, what a job that fails has written so far is uploaded all the same.
            self._upload(attempt)
        if attempt.failure:
            raise JobFailed(attempt.failure)

    def _unforeseen(self, error: Exception) -> str:
        """The reason of a failure that is neither the algorithm's nor a refused call."""
        if isinstance(error, OSError) and error.errno in _FULL:
            return (
                f"ClientError: {os.strerror(error.errno)}. The disk that the local platform gives "
                "its jobs is full; free some space and train again."
            )
        _log.error("training job %s", self._job["TrainingJobName"], exc_info=error)
        # The folders of this machine are none of the job's owner.
        words = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"InternalServerError: {internal_reason(f'{type(error).__name__}: {words}')}"

    def _next_attempt(self) -> Attempt | None:
        """Wait for instances and train on them; None when the job is over before there are any."""
        if self._spot and self._faults.spot_wait_seconds:
            self._over.wait(self._faults.spot_wait_seconds)
        attempt = Attempt(
            self._around,
            self._job,
            self._role,
            self._storage,
            self._cluster,
            self._folder,
            self._job["AlgorithmSpecification"].get("MetricDefinitions", []),
        )
        with self._lock:
            if self._over.is_set():
                return None
            self._attempt = attempt
        self._metrics += [host.metrics for host in attempt.hosts]
        self._attempt_began = time.time()
        self._began = self._began or self._attempt_began
        self._advance(
            "Downloading", "Downloading the training image", TrainingStartTime=self._began
        )
        try:
            attempt.prepare()
            self._train(attempt)
        except ImageMissing as error:
            raise JobFailed(
                "ClientError: Cannot pull algorithm container. Either the image does not exist or "
                f"its permissions are incorrect. {error}"
            ) from error
        except CannotStart as error:
            raise JobFailed(
                "ClientError: CannotStartContainerError. Please make sure the container can be run "
                f"with 'docker run <image> train'. {error}"
            ) from error
        except InputError as error:
            raise JobFailed(
                f"ClientError: Data download failed:Failed to download data. {error}"
            ) from error
        finally:
            attempt.close()
            if attempt.interrupted or attempt.lost:
                self._trained += time.time() - self._attempt_began
                self._attempt_began = 0.0
        return attempt

    def _train(self, attempt: Attempt) -> None:
        if self._over.is_set():
            return
        self._advance("Training", "Training image download completed. Training in progress.")
        isolated = self._job.get("EnableNetworkIsolation", False)
        credentials = None if isolated else self._role.credentials()
        longest = self._job["StoppingCondition"]["MaxRuntimeInSeconds"]
        timer = _timer(
            self._attempt_began + longest - self._trained,
            lambda: self.stop(self._overdue()),
        )
        try:
            attempt.train(credentials, watch=lambda: self._watch(attempt))
        finally:
            timer.cancel()

    def _watch(self, attempt: Attempt) -> None:
        if self._over.is_set() or attempt.interrupted or attempt.lost:
            return
        if self._spot and self._faults.interrupts_spot(self._job["TrainingJobName"]):
            attempt.interrupt()
        elif self._faults.loses_host():
            attempt.lose()

    def _limit_waiting(self) -> threading.Timer | None:
        """Stop spot training that takes too long, what it waits for instances included."""
        longest = self._longest_with_waiting()
        if longest is None:
            return None
        return _timer(self._job["CreationTime"] + longest, lambda: self.stop("MaxWaitTimeExceeded"))

    def _longest_with_waiting(self) -> float | None:
        longest: float | None = self._job["StoppingCondition"].get("MaxWaitTimeInSeconds")
        return longest if self._spot else None

    def _overdue(self) -> str:
        """Which limit ends training whose own time is over; of two that are, the earlier."""
        longest = self._longest_with_waiting()
        waited = longest is not None and time.time() >= self._job["CreationTime"] + longest
        return "MaxWaitTimeExceeded" if waited else "MaxRuntimeExceeded"

    def _upload(self, attempt: Attempt) -> None:
        """Store what lies in the model and output folders, both at the same time."""
        self._advance("Uploading", "Uploading generated training model")
        key = self._job["OutputDataConfig"].get("KmsKeyId", "")
        model = self._job["ModelArtifacts"]["S3ModelArtifacts"]
        bucket, base = s3.parse(model.rpartition("/")[0])

        def store(inside: str, name: str) -> None:
            artifacts.pack(folders, inside, self._folder / name)
            self._storage.upload(self._folder / name, bucket, f"{base}/{name}", key)

        folders = [host.folder for host in attempt.hosts]
        with ThreadPoolExecutor(max_workers=2) as pool:
            stored = [
                pool.submit(store, "model", artifacts.MODEL),
                pool.submit(store, "output/data", artifacts.OUTPUT),
            ]
        for one in stored:
            try:
                one.result()
            except CallFailed:
                # Why the algorithm failed is what its owner must know first.
                if not attempt.failure:
                    raise

    def _end(self, status: str, reason: str = "") -> None:
        changes: dict[str, Any] = {}
        if self._began:
            ended = time.time()
            current = ended - self._attempt_began if self._attempt_began else 0
            seconds = max(round(self._trained + current), 1)
            changes = {
                "TrainingEndTime": ended,
                "TrainingTimeInSeconds": seconds,
                "BillableTimeInSeconds": max(int(seconds * _SPOT_SHARE), 1)
                if self._spot
                else seconds,
            }
        if reason:
            changes["FailureReason"] = reason
        if metrics := final(self._metrics):
            changes["FinalMetricDataList"] = metrics
        self._finish(status, self._stopping, **changes)


def _timer(at: float, action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(max(at - time.time(), 0), action)
    timer.daemon = True
    timer.start()
    return timer
