"""Training in this process, as the container of an algorithm does, with what it took."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from algorithms.toolkit import training


@dataclass(frozen=True)
class Channel:
    """The files of a channel by name, and their content type."""

    files: Mapping[str, bytes]
    content_type: str


@dataclass(frozen=True)
class Trained:
    """A job that has completed; its model is there as long as its context."""

    model: Path
    log: str
    seconds: float
    """Of the processor, so that what else the machine does weighs little."""


@contextmanager
def trained(
    name: str, channels: Mapping[str, Channel], hyperparameters: Mapping[str, Any]
) -> Iterator[Trained]:
    """Train an algorithm; a job that fails ends the benchmark with its log."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        config = base / "input" / "config"
        config.mkdir(parents=True)
        for channel, data in channels.items():
            (base / "input" / "data" / channel).mkdir(parents=True)
            for file, body in data.files.items():
                (base / "input" / "data" / channel / file).write_bytes(body)
        inputs = {
            channel: {"TrainingInputMode": "File", "ContentType": data.content_type}
            for channel, data in channels.items()
        }
        (config / "inputdataconfig.json").write_text(json.dumps(inputs))
        values = {key: str(value) for key, value in hyperparameters.items()}
        (config / "hyperparameters.json").write_text(json.dumps(values))
        os.environ["SAGEMAKER_BASE_DIR"] = folder
        log, began = StringIO(), time.process_time()
        with redirect_stdout(log):
            code = training.run(name)
        seconds = time.process_time() - began
        if code:
            raise RuntimeError(log.getvalue())
        yield Trained(base / "model", log.getvalue(), seconds)
