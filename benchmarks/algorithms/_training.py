"""Training in this process, which says what training itself takes of the processor."""

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
from benchmarks.algorithms._processes import lay_out


@dataclass(frozen=True)
class Trained:
    """A job that has completed; its model is there as long as its context."""

    model: Path
    log: str
    seconds: float
    """Of the processor, so that what else the machine does weighs little."""


@contextmanager
def trained(
    name: str,
    channels: Mapping[str, tuple[str, Mapping[str, bytes]]],
    hyperparameters: Mapping[str, Any],
) -> Iterator[Trained]:
    """Train an algorithm; a job that fails ends the benchmark with its log."""
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder), channels, hyperparameters)
        os.environ["SAGEMAKER_BASE_DIR"] = folder
        log, began = StringIO(), time.process_time()
        with redirect_stdout(log):
            code = training.run(name)
        seconds = time.process_time() - began
        if code:
            raise RuntimeError(log.getvalue())
        yield Trained(Path(folder) / "model", log.getvalue(), seconds)
