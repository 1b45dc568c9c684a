"""The artifact, and the answers that it gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.lda.documents import mixtures
from algorithms.toolkit import arrays, content
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Answers
    from algorithms.toolkit.formats.table import Table

MODEL_FILE = "lda-model.npz"
FORMAT = "sagemaker-platform/lda"
FORMAT_VERSION = 1

Matrix = npt.NDArray[np.float64]


class Model:
    """Topics, and how weighty each is."""

    accepts: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.CSV, content.RECORDIO)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.CSV, content.RECORDIO)

    def __init__(self, topics: Matrix, alpha: Matrix) -> None:
        self.topics = topics
        self.alpha = alpha
        self.width = topics.shape[1]

    def predict(self, table: Table) -> Answers:
        """The share of each topic in each document; together they are 1."""
        counts: Any = counted(table).features
        weights = mixtures(counts.astype(np.float64), self.topics, self.alpha).weights
        shares = weights / weights.sum(axis=1, keepdims=True)
        return [{"topic_mixture": mixture} for mixture in shares.tolist()]

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """One line a document: the share of each topic."""
        lines = [",".join(map(str, answer["topic_mixture"])) for answer in answers]
        return "\n".join(lines) + ("\n" if batch else "")

    def save(self, folder: Path) -> None:
        """Write plain arrays in a zip, with the name and version of the format."""
        arrays.save(
            folder / MODEL_FILE, FORMAT, FORMAT_VERSION, topics=self.topics, alpha=self.alpha
        )


def counted(table: Table) -> Table:
    """Documents, sparse, of which each number is how often a word occurs.

    Raises:
        FormatError: One is less than nothing.
    """
    from scipy.sparse import csr_matrix

    counts = csr_matrix(table.features)
    wrong = np.flatnonzero(counts.data < 0)
    if len(wrong):
        row = int(np.searchsorted(counts.indptr, wrong[0], side="right")) - 1
        raise FormatError(
            f"{table.place(row)}, feature {counts.indices[wrong[0]]}: a word occurs "
            f"{counts.data[wrong[0]]:g} times; 0 and more is allowed"
        )
    return replace(table, features=counts)


def load(folder: Path) -> Model:
    """The topics that `train` left."""
    parts = arrays.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "LDA")
    topics, alpha = parts.get("topics"), parts.get("alpha")
    if (
        topics is None
        or alpha is None
        or any(part.dtype != np.float64 for part in (topics, alpha))
        or (topics.ndim, alpha.ndim) != (2, 1)
        or not topics.size
        or len(topics) != len(alpha)
        or not all(np.isfinite(part).all() and (part > 0).all() for part in (topics, alpha))
    ):
        raise CustomerError(f"{MODEL_FILE} holds no topics")
    return Model(topics, alpha)
