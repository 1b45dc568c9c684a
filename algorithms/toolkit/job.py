"""A training job as SageMaker hands it to a container: files below /opt/ml and nothing else."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from algorithms.toolkit.content import ContentType
from algorithms.toolkit.errors import AlgorithmError, CustomerError, StopRequested

if TYPE_CHECKING:
    from algorithms.catalog import Algorithm

# How long a pipe may fail to appear, and how often is looked.
_PIPE_SECONDS = 60
_PIPE_LOOK = 0.005


def base_folder() -> Path:
    """Where the platform puts and looks for files: /opt/ml in a container."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


@dataclass(frozen=True)
class Channel:
    """One input of a job."""

    name: str
    folder: Path
    content_type: ContentType | None
    mode: str
    sharded: bool = False
    """Whether each host has other objects of it, and not all of them."""

    @property
    def piped(self) -> bool:
        """Whether the channel is a stream for each epoch, and no files."""
        return self.mode == "Pipe"

    def pipe(self, epoch: int) -> BinaryIO:
        """The stream of an epoch; they must be opened one after another, from 0 on."""
        path = self.folder.with_name(f"{self.name}_{epoch}")
        # The platform makes the next one while the one before is read.
        until = time.monotonic() + _PIPE_SECONDS
        while not path.exists():
            if time.monotonic() > until:
                raise AlgorithmError(
                    f"The pipe of channel {self.name}, epoch {epoch}, did not appear within "
                    f"{_PIPE_SECONDS} seconds"
                )
            time.sleep(_PIPE_LOOK)
        return path.open("rb", buffering=0)

    def files(self) -> list[Path]:
        """The data files by name; hidden, marked (`_SUCCESS`) and empty ones are left out."""
        found = [
            path
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
            and not any(part.startswith((".", "_")) for part in path.relative_to(self.folder).parts)
            and path.stat().st_size > 0
        ]
        if not found:
            raise CustomerError(f"No data in {self.name} channel path {self.folder}")
        return found

    def title(self, path: Path) -> str:
        """How a file is called in messages: channel and name, without this host's folders."""
        return f"{self.name}/{path.relative_to(self.folder).as_posix()}"


@dataclass
class Job:
    """Everything that an algorithm is told, and where it leaves what it makes.

    Hyperparameters are typed and under their own names: those `given`, and all with their defaults.
    What the service adds, under names that begin with an underscore, stays text in `reserved`.
    """

    name: str
    hyperparameters: dict[str, Any]
    given: dict[str, Any]
    reserved: dict[str, str]
    channels: dict[str, Channel]
    host: str
    hosts: tuple[str, ...]
    base: Path
    checkpoint_dir: Path | None = None
    stopping: bool = field(default=False, init=False)
    _deferred: bool = field(default=False, init=False)

    @property
    def model_dir(self) -> Path:
        """What lies here at the end becomes model.tar.gz."""
        return _made(self.base / "model")

    @property
    def output_dir(self) -> Path:
        """What lies here at the end becomes output.tar.gz."""
        return _made(self.base / "output" / "data")

    @contextmanager
    def between_rounds(self) -> Iterator[None]:
        """Within, a stop request only sets `stopping`, for the algorithm to look at."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def watch_signals(self) -> None:
        """End the process in an orderly way when the platform sends SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, _signal: int, _frame: object) -> None:
        self.stopping = True
        if not self._deferred:
            raise StopRequested

    def one_host(self) -> None:
        """Refuse a job over several hosts, for an algorithm that runs on one."""
        if len(self.hosts) > 1:
            raise CustomerError(
                f"Training on {len(self.hosts)} hosts is not supported by this image of "
                f"{self.name}; use one instance"
            )


def read_job(name: str, base: Path) -> Job:
    """Read and check the configuration files of a job.

    Raises CustomerError with a sentence for each thing that the job's owner must change.
    """
    from algorithms.catalog import HyperparameterError, algorithm

    config = base / "input" / "config"
    values = _object(config / "hyperparameters.json", required=False)
    inputs = _object(config / "inputdataconfig.json", required=True)
    resources = _object(config / "resourceconfig.json", required=False)
    checkpoints = _object(config / "checkpointconfig.json", required=False)

    texts = {key: _text(value) for key, value in values.items()}
    entry = algorithm(name)
    try:
        parsed = entry.parse(texts)
        given = entry.parse(texts, defaults=False)
    except HyperparameterError as error:
        raise CustomerError("; ".join(error.problems)) from None
    host = str(resources.get("current_host", "localhost"))
    return Job(
        name=name,
        hyperparameters=parsed,
        given=given,
        reserved={key: value for key, value in texts.items() if key.startswith("_")},
        channels=_channels(inputs, base, entry),
        host=host,
        hosts=tuple(map(str, resources.get("hosts") or [host])),
        base=base,
        checkpoint_dir=_checkpoints(checkpoints, base),
    )


def _channels(inputs: Mapping[str, Any], base: Path, entry: Algorithm) -> dict[str, Channel]:
    known = {channel.name: channel.required is True for channel in entry.channels}
    problems = [
        f"Missing required channel: {name}"
        for name, required in known.items()
        if required and name not in inputs
    ]
    problems += [
        f"Extraneous channel found: {name}; {', '.join(known)} are allowed"
        for name in inputs
        if name not in known
    ]
    channels = {}
    for name, settings in inputs.items():
        settings = settings if isinstance(settings, dict) else {}
        mode = settings.get("TrainingInputMode", "File")
        if mode not in entry.input_modes:
            problems.append(
                f"Channel {name}: {mode} mode is not supported by this image; use "
                + " or ".join(entry.input_modes)
            )
        text = settings.get("ContentType")
        folder = base / "input" / "data" / name
        if mode != "Pipe" and not folder.is_dir() and name in known:
            problems.append(f"No data in {name} channel path {folder}")
        sharded = settings.get("S3DistributionType") == "ShardedByS3Key"
        kind = ContentType.parse(text) if text else None
        channels[name] = Channel(name, folder, kind, mode, sharded)
    if problems:
        raise CustomerError("; ".join(problems))
    return channels


def _checkpoints(config: Mapping[str, Any], base: Path) -> Path | None:
    """The folder that the platform keeps in S3, when the job has one.

    Its name is given as seen in a container; outside of one it lies below the base folder.
    """
    path = config.get("LocalPath")
    if not path:
        return None
    folder = Path(path)
    if base != Path("/opt/ml") and folder.is_relative_to("/opt/ml"):
        folder = base / folder.relative_to("/opt/ml")
    return _made(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _object(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        if required:
            raise AlgorithmError(f"{path} is missing") from None
        return {}
    except ValueError as error:
        raise AlgorithmError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise AlgorithmError(f"{path} must hold a JSON object")
    return value


def _text(value: Any) -> str:
    """Hyperparameters are strings on the platform; the local mode of SDKs also writes numbers."""
    return value if isinstance(value, str) else json.dumps(value)
