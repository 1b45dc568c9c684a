"""BlazingText: word vectors, and a fast classifier of short texts, on the engine of fastText.

Modes skipgram, cbow and supervised are fastText's own, and their models are its binaries. What
fastText does not have is ours: batch_skipgram, whose words share their wrong ones so that matrices
are multiplied, on one host or many, and early stopping.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from algorithms.blazingtext.model import TextModel
    from algorithms.toolkit.job import Job

__all__ = ["load", "train"]


def train(job: Job) -> None:
    """Train on the channel `train`; the artifact is model.bin, or vectors.txt and vectors.bin."""
    from algorithms.blazingtext.job import run

    run(job)


def load(folder: Path) -> TextModel:
    """Read model.bin or vectors.bin, the binary files of fastText."""
    from algorithms.blazingtext.model import read

    return read(folder)
