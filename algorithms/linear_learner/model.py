"""The artifact, and the answers that it gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.linear_learner.losses import sigmoid, softmax
from algorithms.linear_learner.settings import LOSSES, MULTICLASS, REGRESSOR
from algorithms.toolkit import arrays, content
from algorithms.toolkit.errors import CustomerError

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Answers
    from algorithms.toolkit.formats.table import Table

MODEL_FILE = "linear-learner-model.npz"
FORMAT = "sagemaker-platform/linear-learner"
FORMAT_VERSION = 1

Wide = npt.NDArray[np.float64]


class Model:
    """One linear model on records as they come: normalisation is part of its weights."""

    accepts: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES, content.RECORDIO)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.CSV, content.RECORDIO)

    def __init__(
        self, predictor: str, loss: str, weights: Wide, bias: Wide, threshold: float = 0.0
    ) -> None:
        self.predictor = predictor
        self.loss = loss
        self.weights = weights
        self.bias = bias
        self.threshold = threshold
        self.width = len(weights)

    def scores(self, table: Table) -> Wide:
        """A number for each record; for many classes, one for each class.

        Probabilities with the losses logistic and softmax_loss, else what the model computes.
        """
        raw = np.asarray(table.features.astype(np.float64) @ self.weights) + self.bias
        if self.predictor == MULTICLASS:
            return np.asarray(softmax(raw))
        return np.asarray(sigmoid(raw[:, 0]) if self.loss == "logistic" else raw[:, 0])

    def labels(self, scores: Wide) -> npt.NDArray[np.int64]:
        """The class that scores stand for."""
        if self.predictor == MULTICLASS:
            return np.asarray(scores.argmax(axis=1))
        return (scores >= self.threshold).astype(np.int64)

    def predict(self, table: Table) -> Answers:
        """The score of each record, and the class that it stands for."""
        scores = self.scores(table)
        if self.predictor == REGRESSOR:
            return [{"score": score} for score in scores.tolist()]
        return [
            {"score": score, "predicted_label": label}
            for score, label in zip(scores.tolist(), self.labels(scores).tolist(), strict=True)
        ]

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """One line a record: the score or scores, then the predicted label if there is one."""
        lines = []
        for answer in answers:
            score = answer["score"]
            values = list(score) if isinstance(score, list) else [score]
            values += [answer["predicted_label"]] if "predicted_label" in answer else []
            lines.append(",".join(map(str, values)))
        return "\n".join(lines) + ("\n" if batch else "")

    def save(self, folder: Path) -> None:
        """Write plain arrays in a zip, with the name and version of the format."""
        arrays.save(
            folder / MODEL_FILE,
            FORMAT,
            FORMAT_VERSION,
            predictor_type=np.array(self.predictor),
            loss=np.array(self.loss),
            weights=self.weights,
            bias=self.bias,
            threshold=np.array(self.threshold),
        )


def load(folder: Path) -> Model:
    """The model that `train` left."""
    parts = arrays.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "Linear Learner")
    model = _model(parts)
    if model is None:
        raise CustomerError(f"{MODEL_FILE} holds no linear model of finite numbers")
    return model


def _model(parts: dict[str, npt.NDArray[Any]]) -> Model | None:
    """A model of arrays that fit together; None of others."""
    if not {"predictor_type", "loss", "weights", "bias", "threshold"} <= parts.keys():
        return None
    weights, bias, threshold = parts["weights"], parts["bias"], parts["threshold"]
    predictor = str(parts["predictor_type"])
    numbers = (weights, bias, threshold)
    several = predictor == MULTICLASS
    if (
        str(parts["loss"]) not in LOSSES.get(predictor, ())
        or any(part.dtype != np.float64 for part in numbers)
        or (weights.ndim, bias.ndim, threshold.ndim) != (2, 1, 0)
        or not weights.size
        or weights.shape[1] != len(bias)
        or (len(bias) < 3 if several else len(bias) != 1)
        or not all(np.isfinite(part).all() for part in numbers)
    ):
        return None
    return Model(predictor, str(parts["loss"]), weights, bias, float(threshold))
