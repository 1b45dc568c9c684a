"""The metrics that are printed after each round: the library's, and those that AWS adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.toolkit.classification import Confusion
from algorithms.toolkit.errors import CustomerError
from algorithms.xgboost.settings import listed

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

_CONFUSION_METRICS: dict[str, Callable[[Confusion], float]] = {
    "accuracy": Confusion.accuracy,
    "balanced_accuracy": Confusion.balanced_accuracy,
    "f1": partial(Confusion.f1, average="macro"),
    "f1_binary": partial(Confusion.f1, average="binary"),
    "f1_macro": partial(Confusion.f1, average="macro"),
    "precision": partial(Confusion.precision, average="binary"),
    "precision_macro": partial(Confusion.precision, average="macro"),
    "precision_micro": partial(Confusion.precision, average="micro"),
    "recall": partial(Confusion.recall, average="binary"),
    "recall_macro": partial(Confusion.recall, average="macro"),
    "recall_micro": partial(Confusion.recall, average="micro"),
}
_CUSTOM = frozenset({*_CONFUSION_METRICS, "mse", "r2"})
_MAXIMIZED = _CUSTOM - {"mse"} | {"auc", "aucpr", "map", "ndcg"}
_TWEEDIE = "tweedie-nloglik"


class Metrics:
    """Which metrics to print, who computes them, and which one decides on stopping early."""

    def __init__(self, job: Job, parameters: Mapping[str, Any]) -> None:
        asked = listed(job.given.get("eval_metric"))
        tuned = job.reserved.get("_tuning_objective_metric", "").split(":")[-1]
        self._objective = str(parameters.get("objective", "reg:squarederror"))
        names = [*dict.fromkeys([*asked, *([tuned] if tuned else [])])]
        self._custom = [name for name in names if name in _CUSTOM]
        # The library wants the power of this metric in its name, where AWS's name has none.
        power = parameters.get("tweedie_variance_power", 1.5)
        full = {_TWEEDIE: f"{_TWEEDIE}@{power:g}"}
        native = [full.get(name, name) for name in names if name not in _CUSTOM]
        self.parameters = {"eval_metric": native} if native else {}
        self.function = self._compute if self._custom else None
        decisive = tuned or (asked[-1] if asked else "")
        self.decisive = full.get(decisive, decisive) or None

    def _compute(self, predicted: Any, matrix: Any) -> list[tuple[str, float]]:
        truth = matrix.get_label()
        values = []
        confusion: Confusion | None = None
        for name in self._custom:
            if name in {"mse", "r2"}:
                values.append((name, self._regression(name, predicted, truth)))
                continue
            if confusion is None:
                classes = classes_of(self._objective, predicted)
                confusion = Confusion(truth.astype(np.int64), classes)
            values.append((name, _CONFUSION_METRICS[name](confusion)))
        return values

    @staticmethod
    def _regression(name: str, predicted: Any, truth: Any) -> float:
        if predicted.ndim != 1:
            raise CustomerError(f"Metric '{name}' needs one prediction for each record")
        truth = truth.astype(np.float64)
        error = float(np.mean((truth - predicted) ** 2))
        if name == "mse":
            return error
        spread = float(truth.var())
        return 1 - error / spread if spread else float(error == 0)


def aws_name(metric: str) -> str:
    """The name under which AWS's container prints a metric of the library."""
    return _TWEEDIE if metric.startswith(_TWEEDIE) else metric


def is_maximized(metric: str) -> bool:
    """Whether more of a metric is better; of an unknown one, less is."""
    return metric.split("@")[0] in _MAXIMIZED


def classes_of(objective: str, predicted: Any) -> Any:
    """The class that predictions stand for: the largest column, or beyond the middle."""
    if predicted.ndim > 1:
        return np.argmax(predicted, axis=1)
    if objective == "multi:softmax":
        return predicted.astype(np.int64)
    return (predicted > (0 if objective == "binary:logitraw" else 0.5)).astype(np.int64)
