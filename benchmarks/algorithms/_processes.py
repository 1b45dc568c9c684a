"""Training in a process of its own, as in its container, or any program held against it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
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
        result = subprocess.run(
            [sys.executable, "-c", _LAUNCHER, told.name, *arguments],
            cwd=CHECKOUT,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result.returncode:
            sys.exit(f"{' '.join(arguments)[:200]} failed:\n{result.stdout}")
        seconds, memory = map(float, told.read().split())
    # Linux counts in KiB, macOS in bytes.
    return Spent(seconds, memory / (1024 if sys.platform == "linux" else 1024**2), result.stdout)


def train(
    name: str,
    base: Path,
    channels: Mapping[str, tuple[str, Mapping[str, bytes]]],
    hyperparameters: Mapping[str, Any],
    **variables: str,
) -> Spent:
    """Train an algorithm on channels of a content type and files; the model lies in base/model."""
    lay_out(base, channels, hyperparameters)
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
