"""The artifact of PCA, and its answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit import arrays, content
from algorithms.toolkit.errors import CustomerError

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Answers
    from algorithms.toolkit.formats.table import Table

MODEL_FILE = "pca-model.npz"
FORMAT = "sagemaker-platform/pca"
FORMAT_VERSION = 1


class Model:
    """Components in ascending order, the strongest last, on which requests are projected."""

    accepts: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES, content.RECORDIO)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.CSV, content.RECORDIO)
    json_key = "projections"

    def __init__(
        self,
        vectors: npt.NDArray[Any],
        values: npt.NDArray[Any],
        mean: npt.NDArray[Any] | None,
    ) -> None:
        """Features x components, the singular value of each, and the mean where it is taken off."""
        self.vectors = vectors.astype(np.float64)
        self.values = values.astype(np.float64)
        self.mean = None if mean is None else mean.astype(np.float64)
        self.width = len(vectors)

    def centred(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Rows from which the mean of the training data is taken off."""
        wide = rows.astype(np.float64)
        if self.mean is not None:
            wide -= self.mean
        return wide

    def predict(self, table: Table) -> Answers:
        """Where each record is along each component."""
        found = (self.centred(table.dense()) @ self.vectors).astype(np.float32)
        return [{"projection": row} for row in found.tolist()]

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """One line a record."""
        lines = [",".join(map(str, answer["projection"])) for answer in answers]
        return "\n".join(lines) + ("\n" if batch else "")


def save(folder: Path, model: Model) -> None:
    """Write the artifact under the names that AWS's own has: `v`, `s` and, if taken off, `mean`."""
    mean = {} if model.mean is None else {"mean": model.mean[None].astype(np.float32)}
    arrays.save(
        folder / MODEL_FILE,
        FORMAT,
        FORMAT_VERSION,
        v=model.vectors.astype(np.float32),
        s=model.values.astype(np.float32),
        **mean,
    )


def load(folder: Path) -> Model:
    """The components that `train` left."""
    parts = arrays.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "PCA")
    vectors: Any = parts.get("v")
    values: Any = parts.get("s")
    mean: Any = parts.get("mean")
    right = (
        _numbers(vectors, 2)
        and _numbers(values, 1)
        and len(values) == vectors.shape[1]
        and (mean is None or (_numbers(mean, 2) and mean.shape == (1, len(vectors))))
    )
    if not right:
        raise CustomerError(f"{MODEL_FILE} holds no components of finite numbers")
    return Model(vectors, values, None if mean is None else mean[0])


def _numbers(array: Any, dimensions: int) -> bool:
    return (
        array is not None
        and array.dtype == np.float32
        and array.ndim == dimensions
        and array.size > 0
        and bool(np.isfinite(array).all())
    )
