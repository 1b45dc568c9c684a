"""The artifact of Random Cut Forest, and the answers that it gives.

It holds the rows of each tree and nothing to execute. The trees are cut again when it is loaded, as
they were in training: their cuts follow from the rows and the number of the tree.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from algorithms.randomcutforest.forest import Forest
from algorithms.toolkit import arrays, content
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FloatArray

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Answers
    from algorithms.toolkit.formats.table import Table

MODEL_FILE = "randomcutforest-model.npz"
FORMAT = "sagemaker-platform/randomcutforest"
FORMAT_VERSION = 1


def save(folder: Path, samples: FloatArray) -> None:
    """Write the rows of each tree, with the name and version of the format."""
    arrays.save(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, samples=samples)


class Model:
    """A forest, which tells how unusual records are."""

    accepts: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES, content.RECORDIO)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.CSV, content.RECORDIO)
    json_key = "scores"

    def __init__(self, samples: FloatArray) -> None:
        self.width = samples.shape[2]
        self._forest = Forest(samples)

    def predict(self, table: Table) -> Answers:
        """The score of each record."""
        return [{"score": score} for score in self._forest.scores(table.dense()).tolist()]

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """One score a line."""
        lines = [str(answer["score"]) for answer in answers]
        return "\n".join(lines) + ("\n" if batch else "")


def load(folder: Path) -> Model:
    """The forest that `train` left."""
    parts = arrays.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "Random Cut Forest")
    samples = parts.get("samples")
    if (
        samples is None
        or samples.dtype != np.float32
        or samples.ndim != 3
        or not samples.size
        or not np.isfinite(samples).all()
    ):
        raise CustomerError(f"{MODEL_FILE} holds no finite rows for each tree")
    return Model(samples)
