"""Training in a process of its own, as in its container, or any program held against it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.platform.home import CHECKOUT


@dataclass(frozen=True)
class Spent:
    """What a process took from its start to its end."""

    seconds: float
    megabytes: float
    """Its memory at the most."""

    output: str


# A process counts as its own what the one that started it held at that time: a small one starts it.
_LAUNCHER = """
import os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen([sys.executable, *sys.argv[2:]])
_, status, usage = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    file.write(f"{time.perf_counter() - began} {usage.ru_maxrss}")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run(*arguments: str, **variables: str) -> Spent:
    """Run Python with these arguments; a program that fails ends the benchmark."""
    with tempfile.NamedTemporaryFile("r") as told:
        process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, told.name, *arguments],
            cwd=CHECKOUT,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate()
        finally:
            # Whoever ends the benchmark ends what it measures, too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode:
            sys.exit(f"{' '.join(arguments)[:200]} failed:\n{output}")
        seconds, memory = map(float, told.read().split())
    # Linux counts in KiB, macOS in bytes.
    return Spent(seconds, memory / (1024 if sys.platform == "linux" else 1024**2), output)


def train(
    name: str,
    base: Path,
    channels: Mapping[str, tuple[str, Mapping[str, bytes]]],
    hyperparameters: Mapping[str, Any],
    **variables: str,
) -> Spent:
    """Train an algorithm on channels of a content type and files; the model lies in base/model."""
    lay_out(base, channels, hyperparameters)
    return trained(name, base, **variables)


def trained(name: str, base: Path, **variables: str) -> Spent:
    """Train an algorithm on what `lay_out` has written."""
    return run(
        *("-m", "algorithms", "train"),
        ALGORITHM_NAME=name,
        SAGEMAKER_BASE_DIR=str(base),
        **variables,
    )


def lay_out(
    base: Path,
    channels: Mapping[str, tuple[str, Mapping[str, bytes]]],
    hyperparameters: Mapping[str, Any],
) -> None:
    """Write the files of a job below a folder, as the platform does."""
    config = base / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    (base / "input" / "data").mkdir(exist_ok=True)
    inputs = {}
    for channel, (content_type, files) in channels.items():
        inputs[channel] = {"TrainingInputMode": "File", "ContentType": content_type}
        for file, body in files.items():
            path = base / "input" / "data" / channel / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    for file, value in (
        ("inputdataconfig", inputs),
        ("hyperparameters", {key: str(value) for key, value in hyperparameters.items()}),
        ("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"]}),
    ):
        (config / f"{file}.json").write_text(json.dumps(value))


@contextmanager
def piped(base: Path, given: Mapping[str, Sequence[bytes]], **options: str) -> Iterator[None]:
    """Within, channels are pipes, as Pipe mode has them: one for each epoch.

    Args:
        base: the folder of `lay_out`.
        given: what comes through, by channel, one object after another.
        options: more of each channel, such as RecordWrapperType.
    """
    config = base / "input" / "config" / "inputdataconfig.json"
    inputs = json.loads(config.read_text())
    data, over = base / "input" / "data", threading.Event()
    writers = []
    for name, bodies in given.items():
        inputs[name] |= {"TrainingInputMode": "Pipe", **options}
        os.mkfifo(data / f"{name}_0")
        writers.append(
            threading.Thread(target=_write, args=(data, name, bodies, over), daemon=True)
        )
    config.write_text(json.dumps(inputs))
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        over.set()
        for name in given:
            # A writer may wait for a reader of the epoch that nobody reads any more.
            for path in data.glob(f"{name}_*"):
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        for writer in writers:
            writer.join()


def _write(folder: Path, name: str, bodies: Sequence[bytes], over: threading.Event) -> None:
    epoch = 0
    while not over.is_set():
        path = folder / f"{name}_{epoch}"
        epoch += 1
        try:
            with path.open("wb", buffering=0) as stream:
                # Before this one ends, so that its reader finds the next.
                os.mkfifo(folder / f"{name}_{epoch}")
                for body in bodies:
                    left = memoryview(body)
                    while left:
                        left = left[stream.write(left) :]
        except BrokenPipeError:
            if not over.is_set():
                raise
