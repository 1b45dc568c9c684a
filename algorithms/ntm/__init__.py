"""Neural Topic Model: topics of documents, by a variational auto-encoder of their word counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from algorithms.ntm.model import Model
    from algorithms.toolkit.job import Job

__all__ = ["load", "train"]


def train(job: Job) -> None:
    """Find topics in the channel `train`, and measure them there, on `validation` and `test`."""
    from algorithms.ntm.job import run

    run(job)


def load(folder: Path) -> Model:
    """Read the artifact that `train` left."""
    from algorithms.ntm.model import read

    return read(folder)
