"""The trained model as endpoints ask it, and the outputs that may be selected of it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.toolkit import content
from algorithms.toolkit.errors import CustomerError
from algorithms.xgboost.artifact import MODEL_FILE, read
from algorithms.xgboost.library import library

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Answers
    from algorithms.toolkit.formats.table import Table

_OF_CLASSES = {"predicted_label", "labels", "raw_score", "raw_scores"}
_OF_PROBABILITIES = _OF_CLASSES | {"probability", "probabilities"}
# Which outputs of SAGEMAKER_INFERENCE_OUTPUT each objective has.
_SELECTABLE = {
    "binary:logistic": _OF_PROBABILITIES,
    "binary:logitraw": _OF_CLASSES,
    "binary:hinge": _OF_CLASSES,
    "multi:softmax": _OF_CLASSES,
    "multi:softprob": _OF_PROBABILITIES,
    "reg:squarederror": {"predicted_score"},
    "reg:linear": {"predicted_score"},
    "reg:logistic": {"predicted_score"},
    "reg:gamma": {"predicted_score"},
    "reg:tweedie": {"predicted_score"},
}
_ALL_KEYS = set[str]().union(*_SELECTABLE.values())


class Model:
    """One booster, or those of a cross validation, whose mean is the answer."""

    accepts: tuple[str, ...] = (content.CSV, content.LIBSVM, content.RECORDIO)
    answers: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES, content.RECORDIO)
    missing = True

    def __init__(self, boosters: Sequence[Any], selected: Sequence[str] = ()) -> None:
        self._boosters = boosters
        self.width = int(boosters[0].num_features())
        learner = json.loads(boosters[0].save_config())["learner"]
        self._objective = str(learner["objective"]["name"])
        self._num_class = int(learner["learner_model_param"]["num_class"])
        # gblinear cannot predict without a copy of its input, and dart sums in another order then,
        # which shows in the last bit.
        self._in_place = learner["gradient_booster"]["name"] == "gbtree"
        self._selected = selected
        if unknown := set(selected) - _ALL_KEYS:
            raise CustomerError(
                f"SAGEMAKER_INFERENCE_OUTPUT names {', '.join(sorted(unknown))}; "
                f"{', '.join(sorted(_ALL_KEYS))} are allowed"
            )
        if selected and self._objective not in _SELECTABLE:
            raise CustomerError(
                f"SAGEMAKER_INFERENCE_OUTPUT is not supported for objective {self._objective}"
            )

    def scores(self, table: Table) -> Any:
        """What the library predicts, averaged over the boosters."""
        found = [self._score(booster, table) for booster in self._boosters]
        return found[0] if len(found) == 1 else np.mean(found, axis=0)

    def _score(self, booster: Any, table: Table) -> Any:
        if self._in_place:
            return booster.inplace_predict(table.features, validate_features=False)
        return booster.predict(
            library().DMatrix(table.features, nthread=1), validate_features=False
        )

    def predict(self, table: Table) -> Answers:
        """The score of each record, or what SAGEMAKER_INFERENCE_OUTPUT asks for."""
        scores = self.scores(table)
        if self._selected:
            return [self._select(score) for score in scores]
        return [{"score": score} for score in scores.tolist()]

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """Scores joined by commas, or one a line in batch; selected outputs always one a line."""
        if not self._selected:
            texts = [str(answer["score"]) for answer in answers]
            return "\n".join(texts) + "\n" if batch else ",".join(texts)
        lines = [
            ",".join(
                f'"{answer[key]}"' if isinstance(answer[key], list) else str(answer[key])
                for key in self._selected
            )
            for answer in answers
        ]
        return "\n".join(lines) + ("\n" if batch else "")

    def _select(self, score: Any) -> dict[str, Any]:
        """The selected outputs of a record; NaN for what the objective does not have."""
        allowed, several = _SELECTABLE[self._objective], np.ndim(score) > 0
        values: dict[str, Any] = {"predicted_score": score.tolist()}
        if allowed >= _OF_CLASSES:
            best = float(score.max()) if several else float(score)
            pair = score.tolist() if several else [1.0 - best, best]
            values |= {
                "predicted_label": self._label(score),
                "labels": list(range(max(self._num_class, 2))),
                "probability": best,
                "probabilities": pair,
                "raw_score": best,
                "raw_scores": pair,
            }
        return {key: values[key] if key in allowed else float("nan") for key in self._selected}

    def _label(self, score: Any) -> int | float:
        if np.ndim(score) > 0:
            return int(np.argmax(score))
        if self._objective in {"binary:hinge", "multi:softmax"}:
            return float(score)
        return int(score > (0 if self._objective == "binary:logitraw" else 0.5))


def load(folder: Path) -> Model:
    """The model or models that `train` left, or that AWS's image of XGBoost 3.0 did."""
    paths = sorted(folder.glob(f"{MODEL_FILE}-*"), key=lambda path: path.name) or [
        folder / MODEL_FILE
    ]
    if not paths[0].is_file():
        found = ", ".join(sorted(path.name for path in folder.glob("*"))) or "nothing"
        raise CustomerError(f"the model has no file {MODEL_FILE}; it holds {found}")
    if os.environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true").lower() == "false":
        paths = paths[:1]
    boosters = [read(path) for path in paths]
    for booster in boosters:
        booster.set_param({"nthread": 1, "device": "cpu"})
    selected = os.environ.get("SAGEMAKER_INFERENCE_OUTPUT", "").replace(" ", "").lower()
    return Model(boosters, selected.split(",") if selected else ())
