"""Keeps the checkpoints of a host and those in S3 the same while its job runs.

As on AWS, what S3 holds is there before the image starts, files go to S3 while it runs and once
more when it has ended, and a file that the image deletes stays in S3. All hosts of a job share one
prefix.
"""

import contextlib
import shutil
import stat
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from local.sagemaker import s3
from local.sagemaker.errors import invalid
from local.sagemaker.roles import CallFailed
from local.sagemaker.training import left

DEFAULT_PATH = "/opt/ml/checkpoints"
_BASE = PurePosixPath("/opt/ml")
_TAKEN = ("code", "input", "model", "output", "tmp")
_LONGEST_NAME = 255
# A file that was not written to for so many nanoseconds is taken to be whole.
_SETTLED = 100_000_000
_COPIED = 1 << 20

Version = tuple[int, int]


def check(config: Mapping[str, str]) -> None:
    """Refuse a CheckpointConfig that names no place in S3, or none that a job may write to.

    Raises:
        ServiceError: with what is allowed.
    """
    try:
        s3.parse(config["S3Uri"])
    except ValueError as error:
        raise invalid(f"CheckpointConfig: {error}") from error
    path = PurePosixPath(config.get("LocalPath") or DEFAULT_PATH)
    parts = path.relative_to(_BASE).parts if path.is_relative_to(_BASE) else ()
    if (
        not parts
        or parts[0] in _TAKEN
        or ".." in parts
        or not str(path).isprintable()
        or any(len(part.encode()) > _LONGEST_NAME for part in parts)
    ):
        raise invalid(
            f"CheckpointConfig has the LocalPath {path}: choose a folder below {_BASE} other than "
            f"{', '.join(_TAKEN)}, such as {DEFAULT_PATH}."
        )


def inside(config: Mapping[str, str]) -> PurePosixPath:
    """Name the folder of checkpoints below /opt/ml."""
    return PurePosixPath(config.get("LocalPath") or DEFAULT_PATH).relative_to(_BASE)


class Checkpoints:
    """The checkpoints of one host; `on_failure` hears when they cannot be stored."""

    def __init__(
        self,
        uri: str,
        storage: s3.Storage,
        base: Path,
        inside: PurePosixPath,
        spare: Path,
        *,
        interval: float,
        on_failure: Callable[[CallFailed], object],
    ) -> None:
        self._bucket, prefix = s3.parse(uri)
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        self._storage = storage
        self._base = base
        self._inside = inside
        self._spare = spare
        self._interval = interval
        self._on_failure = on_failure
        self._stored: dict[str, Version] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def restore(self) -> None:
        """Fetch what S3 holds.

        Raises:
            CallFailed: when the role may not list or read it.
            ValueError: for a key that cannot become a file.
        """
        here = self._base / self._inside
        here.mkdir(parents=True, exist_ok=True)
        for key in self._storage.keys(self._bucket, self._prefix):
            if not key.endswith("/"):
                path = s3.local_path(here, key.removeprefix(self._prefix))
                self._storage.download(self._bucket, key, path)
        with left.opened(self._base, self._inside) as folder:
            self._stored = _files(folder)

    def begin(self) -> None:
        """Store what changes, from now on."""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Store what is left, when the image has ended."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        try:
            while not self._ended.wait(self._interval):
                self._store(settled=True)
            self._store(settled=False)
        except CallFailed as error:
            self._on_failure(error)
        except OSError as error:
            self._on_failure(CallFailed(f"A checkpoint cannot be copied: {error}"))

    def _store(self, *, settled: bool) -> None:
        """Store what is new; if only what has settled, not what was just written to."""
        latest = time.time_ns() - (_SETTLED if settled else 0)
        # The image may have removed the folder: then it has nothing to store.
        with (
            contextlib.suppress(FileNotFoundError),
            left.opened(self._base, self._inside) as folder,
        ):
            for name, version in _files(folder).items():
                if self._stored.get(name) != version and (not settled or version[0] <= latest):
                    # The file may go or grow while it is sent.
                    with contextlib.suppress(FileNotFoundError):
                        self._send(folder, name)
                        self._stored[name] = version

    def _send(self, folder: left.Folder, name: str) -> None:
        with folder.file(PurePosixPath(name)) as file, self._spare.open("wb") as copy:
            shutil.copyfileobj(file, copy, _COPIED)
        self._storage.upload(self._spare, self._bucket, self._prefix + name)


def _files(folder: left.Folder) -> dict[str, Version]:
    """List the regular files: what a link points to is none of the job's."""
    return {
        name.as_posix(): (status.st_mtime_ns, status.st_size)
        for name, status in folder.entries()
        if stat.S_ISREG(status.st_mode)
    }
