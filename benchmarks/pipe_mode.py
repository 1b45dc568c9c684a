"""Pipe mode: its speed beside reading a file, and the memory of an algorithm that streams."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import numpy as np

from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from benchmarks.measuring import RUNS, Figure
from local.cli.aws import Aws
from local.sagemaker import s3
from local.sagemaker.roles import Role
from local.sagemaker.training import content
from local.sagemaker.training.objects import Object
from local.sagemaker.training.pipes import Pipe

_OBJECTS, _BYTES = 4, 64 * 2**20
_READER = "import sys\nwith open(sys.argv[1], 'rb', 0) as f:\n    while f.read(1 << 20): pass\n"
# 64 MB of records, and eight times as much.
_WIDTH, _RECORDS, _TIMES = 64, 16_000, (16, 128)
Content = Callable[[int], Generator[bytes]]


class _Administrator:
    """Reads as whoever measures: what a role may do is not what is measured here."""

    def __init__(self, aws: Aws) -> None:
        self._client = aws.s3

    def client(self, service: str) -> Any:  # noqa: ANN401 (boto3 makes the class)
        return self._client


def measure(aws: Aws) -> list[Figure]:
    """Stream objects from S3 to another process, and let it read as much from a file."""
    # First, since a process that is forked counts the pages of its parent as its own.
    memory = _memory()
    storage = s3.Storage(cast("Role", _Administrator(aws)))
    bucket = f"pipes-{uuid4().hex[:8]}"
    aws.s3.create_bucket(Bucket=bucket)
    body = os.urandom(_BYTES)
    objects = [Object(bucket, f"{number}") for number in range(_OBJECTS)]
    for each in objects:
        aws.s3.put_object(Bucket=bucket, Key=each.key, Body=body)

    def stream(_: int) -> Generator[bytes]:
        return content.stream(objects, storage, gzip=False, wrapped=False)

    megabytes = _OBJECTS * _BYTES / 1e6
    pipe, file, mode, ratio = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for _ in range(RUNS):
            began = time.perf_counter()
            for each in objects:
                storage.download(bucket, each.key, Path(folder) / each.key)
            downloaded = time.perf_counter() - began
            with path.open("wb") as whole:
                whole.writelines((Path(folder) / each.key).read_bytes() for each in objects)
            piped = _piped(Path(folder), stream, [sys.executable, "-c", _READER])
            read = _timed([sys.executable, "-c", _READER, str(path)])
            pipe.append(megabytes / piped)
            file.append(megabytes / read)
            mode.append(megabytes / (downloaded + read))
            ratio.append(read / piped)
    return [
        Figure("Pipe mode, from S3 to a reader", "MB/s", pipe),
        Figure("reading the same bytes from a file", "MB/s", file, "from the page cache"),
        Figure("File mode, downloaded and then read", "MB/s", mode),
        Figure("Pipe mode beside the file", "x", ratio),
        *memory,
    ]


def _piped(folder: Path, stream: Content, command: list[str]) -> float:
    pipe = Pipe(folder, "train", stream, lambda _, error: sys.exit(f"broken: {error}"))
    try:
        return _timed([*command, str(folder / "train_0")])
    finally:
        pipe.close()
        for left in folder.glob("train_*"):
            left.unlink()


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def _memory() -> list[Figure]:
    """The peak memory of k-means over a channel, and over one that is eight times as large."""
    random = np.random.default_rng(0)
    block = recordio.write(Table(random.random((_RECORDS, _WIDTH), dtype=np.float32)))
    found = []
    for times in _TIMES:
        with tempfile.TemporaryDirectory() as folder:
            peak = _peak(Path(folder), block, times)
        name = f"peak memory of k-means in Pipe mode, {len(block) * times / 1e6:.0f} MB"
        found.append(Figure(name, "MB", [peak / 1e6]))
    return found


def _peak(base: Path, block: bytes, times: int) -> float:
    config, data = base / "input" / "config", base / "input" / "data"
    config.mkdir(parents=True)
    data.mkdir()
    kind = "application/x-recordio-protobuf"
    (config / "hyperparameters.json").write_text(
        json.dumps({"k": "10", "feature_dim": str(_WIDTH)})
    )
    (config / "inputdataconfig.json").write_text(
        json.dumps({"train": {"TrainingInputMode": "Pipe", "ContentType": kind}})
    )

    def stream(_: int) -> Generator[bytes]:
        for _ in range(times):
            yield block

    pipe = Pipe(data, "train", stream, lambda _, error: sys.exit(f"broken: {error}"))
    process = subprocess.Popen(
        [sys.executable, "-m", "algorithms", "train"],
        env={**os.environ, "ALGORITHM_NAME": "kmeans", "SAGEMAKER_BASE_DIR": str(base)},
        stdout=subprocess.DEVNULL,
    )
    try:
        _, status, usage = os.wait4(process.pid, 0)
    finally:
        pipe.close()
    if status:
        sys.exit(f"k-means failed: {(base / 'output' / 'failure').read_text()}")
    # Linux counts in KiB, macOS in bytes.
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
