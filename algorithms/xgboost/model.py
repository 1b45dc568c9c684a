"""The trained model as endpoints ask it, and the outputs that may be selected of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
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
    "reg:absoluteerror": {"predicted_score"},
    "reg:logistic": {"predicted_score"},
    "reg:gamma": {"predicted_score"},
    "reg:tweedie": {"predicted_score"},
}
_ALL_KEYS = set[str]().union(*_SELECTABLE.values())


# Whose models vote; those of all others are averaged, as AWS's container does.
_VOTED = {"multi:softmax", "binary:hinge"}
_OUTPUT, _ENSEMBLE = "SAGEMAKER_INFERENCE_OUTPUT", "SAGEMAKER_INFERENCE_ENSEMBLE"


class Model:
    """One booster, or several, such as those of a cross validation, which answer together."""

    accepts: tuple[str, ...] = (content.CSV, content.LIBSVM, content.RECORDIO)
    answers: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES, content.RECORDIO)
    missing = True
    any_delimiter = True
    label_sizes = ("1",)

    def __init__(self, boosters: Mapping[str, Any], selected: Sequence[str] = ()) -> None:
        self._boosters = [*boosters.values()]
        learners = [json.loads(each.save_config())["learner"] for each in self._boosters]
        self.width, self._objective, self._num_class = _common(boosters, learners)
        # gblinear cannot predict without a copy of its input, and dart sums in another order then,
        # which shows in the last bit.
        self._in_place = all(each["gradient_booster"]["name"] == "gbtree" for each in learners)
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
        """What the library predicts: of several models the mean, or what most of them say.

        Where as many say one class as another, it is the lower one.
        """
        found = [self._score(booster, table) for booster in self._boosters]
        if len(found) == 1:
            return found[0]
        if self._objective not in _VOTED:
            return np.mean(found, axis=0)
        votes = np.stack(found)
        classes = np.unique(votes)
        return classes[np.argmax([(votes == each).sum(axis=0) for each in classes], axis=0)]

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


def _common(
    boosters: Mapping[str, Any], learners: Sequence[Mapping[str, Any]]
) -> tuple[int, str, int]:
    """The width, the objective and the number of classes that all models of an archive have.

    Raises:
        CustomerError: They have not, and no answer could be made of theirs.
    """
    told = [
        (
            int(booster.num_features()),
            str(learner["objective"]["name"]),
            int(learner["learner_model_param"]["num_class"]),
        )
        for booster, learner in zip(boosters.values(), learners, strict=True)
    ]
    first = next(iter(boosters))
    for name, own in zip(boosters, told, strict=True):
        if own != told[0]:
            described, other = (
                f"{width} features, objective {objective} and {max(classes, 1)} outputs"
                for width, objective, classes in (own, told[0])
            )
            raise CustomerError(
                f"the models of the archive answer together, and {name} has {described}, where "
                f"{first} has {other}; leave one of them in the archive, or set {_ENSEMBLE} to "
                "false"
            )
    return told[0]


def load(folder: Path) -> Model:
    """The model or models of an archive: every file of its first level, as AWS's container has it.

    Raises:
        CustomerError: There is none, a file is no model, or they do not go together.
    """
    paths = sorted(
        (path for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")),
        key=lambda path: _parts(path.name),
    )
    if not paths:
        found = ", ".join(sorted(path.name for path in folder.glob("*"))) or "nothing"
        raise CustomerError(f"the model has no file {MODEL_FILE}; it holds {found}")
    if os.environ.get(_ENSEMBLE, "true") != "true":
        paths = paths[:1]
    boosters = {path.name: read(path) for path in paths}
    for booster in boosters.values():
        booster.set_param({"nthread": 1, "device": "cpu"})
    selected = os.environ.get(_OUTPUT, "").replace(" ", "").lower()
    return Model(boosters, selected.split(",") if selected else ())


def _parts(name: str) -> list[str | int]:
    """A name cut at its numbers, so that model-10 comes after model-9."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
