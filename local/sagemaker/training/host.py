"""One host of a training job: its folder, its log, its metrics and its process."""

import contextlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from local.sagemaker import s3
from local.sagemaker.errors import REASON_LIMIT
from local.sagemaker.logs import LogStream
from local.sagemaker.ports import Credentials
from local.sagemaker.processes import Running
from local.sagemaker.programs import Program
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.training import channels, container, inputs, left
from local.sagemaker.training.checkpoints import Checkpoints
from local.sagemaker.training.checkpoints import inside as checkpoint_folder
from local.sagemaker.training.cluster import Place
from local.sagemaker.training.metrics import Metrics

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_PREFIXES = ("AlgorithmError:", "ClientError:", "InternalServerError:", "CapacityError:")
_OUT_OF_MEMORY = (
    "ClientError: Please use an instance type with more memory, or reduce the size of training "
    "data processed on an instance."
)


class Host:
    """A host on which a job's image runs once; `on_failure` hears of what ends it."""

    def __init__(
        self,
        around: Surroundings,
        job: Mapping[str, Any],
        role: Role,
        storage: s3.Storage,
        place: Place,
        folder: Path,
        program: Program,
        *,
        definitions: Sequence[Mapping[str, str]],
        on_failure: Callable[[CallFailed | inputs.InputError], None],
    ) -> None:
        self.name = place.host
        self.folder = folder
        self.process: Running | None = None
        self._program = program
        self._job = job
        self._role = role
        self._storage = storage
        self._place = place
        self._on_failure = on_failure
        self._inputs: inputs.Inputs | None = None
        self._checkpoints: Checkpoints | None = None
        if config := job.get("CheckpointConfig"):
            self._checkpoints = Checkpoints(
                config["S3Uri"],
                storage,
                folder,
                checkpoint_folder(config),
                # Beside the folder: what the job may write to could be a link by now.
                folder.with_name(f"{folder.name}.sent"),
                interval=around.limits.checkpoint_interval,
                on_failure=on_failure,
            )
        self._unmeasured = False
        called = f"{job['TrainingJobName']}/{place.host}"
        self.metrics = Metrics(role, called, definitions)
        self._logs = LogStream(
            role,
            around.arns,
            group=LOG_GROUP,
            stream=f"{called}-{int(time.time())}",
            on_failure=on_failure,
        )

    def prepare(self) -> None:
        """Lay out the files of the container, open the log, fetch checkpoints and data.

        Raises:
            CallFailed: for a log that the role may not write.
            InputError: for data that cannot be had.
        """
        container.lay_out(self.folder, self._job, self._place, self._program.interface)
        self._logs.open()
        self._inputs = inputs.Inputs(
            channels.of(self._job, self._place),
            self._storage,
            self.folder / "input" / "data",
            self._place,
            on_failure=self._on_failure,
        )
        if self._checkpoints is not None:
            self._restore(self._checkpoints)
        self._inputs.bring()

    def start(self, credentials: Credentials | None) -> None:
        """Start the image; without credentials, isolated.

        Raises:
            CannotStart: when it cannot be started.
        """
        self.process = self._program.train(
            self.folder, self._job, self._place, credentials, self._line
        )
        if self._checkpoints is not None:
            self._checkpoints.begin()

    def wait(self) -> int:
        """Wait until the image has ended and all that it left is stored; return its exit code."""
        code = self.process.wait() if self.process else 0
        if self._checkpoints is not None:
            self._checkpoints.close()
        try:
            self.metrics.flush()
        except CallFailed as error:
            self._on_failure(error)
        return code

    def stop(self, grace: float) -> None:
        """Ask the image to end, and kill it when that takes too long; returns at once."""
        if self.process is not None:
            self.process.stop(grace)

    def kill(self) -> None:
        """End the image at once."""
        if self.process is not None:
            self.process.kill()

    def close(self) -> None:
        """End the streams of data, and write what is left of the log."""
        if self._inputs is not None:
            self._inputs.close()
        self._logs.close()

    def reason(self) -> str:
        """Word the FailureReason: a prefix once, the failure file, the exit code."""
        code = self.process.exit_code if self.process else 0
        text = ""
        with (
            contextlib.suppress(FileNotFoundError),
            left.opened(self.folder, PurePosixPath("output")) as output,
            output.file(PurePosixPath("failure")) as file,
        ):
            # A character takes at most four bytes.
            text = file.read(4 * REASON_LIMIT).decode("utf-8", "replace").strip()[:REASON_LIMIT]
        where = f" on {self.name}" if len(self._place.cluster.hosts) > 1 else ""
        if self.process and self.process.out_of_memory:
            text = _OUT_OF_MEMORY
        if not text and code > 128:
            names = {number.value: number.name for number in signal.Signals}
            name = names.get(code - 128, f"signal {code - 128}")
            text = f"The training process{where} was ended by {name}"
        if not text:
            text = f"The training process{where} wrote no failure file; see its log"
        if not text.startswith(_PREFIXES):
            text = f"AlgorithmError: {text}"
        tail = f", exit code: {code}"
        return text[: REASON_LIMIT - len(tail)] + tail

    @staticmethod
    def _restore(checkpoints: Checkpoints) -> None:
        try:
            checkpoints.restore()
        except (CallFailed, ValueError) as error:
            raise CallFailed(f"Failed to download checkpoints. {error}") from error

    def _line(self, line: str) -> None:
        self._logs.add(line)
        if self._unmeasured:
            return
        try:
            self.metrics.read(line)
        except CallFailed as error:
            self._unmeasured = True
            self._on_failure(error)
