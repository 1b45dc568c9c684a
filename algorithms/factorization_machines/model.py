"""The artifact, and the answers that it gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.factorization_machines.machine import Parts, scores, sigmoid
from algorithms.factorization_machines.settings import BINARY
from algorithms.toolkit import arrays, content
from algorithms.toolkit.errors import CustomerError

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Answers
    from algorithms.toolkit.formats.table import Table

MODEL_FILE = "factorization-machines-model.npz"
FORMAT = "sagemaker-platform/factorization-machines"
FORMAT_VERSION = 1
_PREDICTORS = {BINARY, "regressor"}


class Model:
    """A trained machine."""

    # As with AWS, text/csv is neither read nor written.
    accepts: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.RECORDIO)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.RECORDIO)

    def __init__(self, predictor: str, parts: Parts) -> None:
        self.predictor = predictor
        self.parts = parts
        self.width = len(parts.linear)

    def predict(self, table: Table) -> Answers:
        """The score of each record; for two classes a probability, and the class it stands for."""
        found = scores(self.parts, table.features)
        if self.predictor != BINARY:
            return [{"score": score} for score in found.tolist()]
        return [
            {"score": score, "predicted_label": label}
            for score, label in zip(
                sigmoid(found).tolist(), (found >= 0).astype(int).tolist(), strict=True
            )
        ]

    def save(self, folder: Path) -> None:
        """Write plain arrays in a zip, with the name and version of the format."""
        arrays.save(
            folder / MODEL_FILE,
            FORMAT,
            FORMAT_VERSION,
            predictor_type=np.array(self.predictor),
            bias=self.parts.bias,
            linear=self.parts.linear,
            factors=self.parts.factors,
        )


def load(folder: Path) -> Model:
    """The machine that `train` left."""
    found = arrays.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "Factorization Machines")
    if not _fit_together(found):
        raise CustomerError(f"{MODEL_FILE} holds no factorization machine of finite numbers")
    return Model(
        str(found["predictor_type"]), Parts(found["bias"], found["linear"], found["factors"])
    )


def _fit_together(found: dict[str, npt.NDArray[Any]]) -> bool:
    if not {"predictor_type", "bias", "linear", "factors"} <= found.keys():
        return False
    parts = [found[name] for name in ("bias", "linear", "factors")]
    return (
        str(found["predictor_type"]) in _PREDICTORS
        and [part.ndim for part in parts] == [1, 1, 2]
        and len(parts[0]) == 1
        and len(parts[1]) == len(parts[2])
        and all(part.dtype == np.float32 and np.isfinite(part).all() for part in parts)
    )
