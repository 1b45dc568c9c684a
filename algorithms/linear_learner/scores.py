"""What is measured of the chosen model on each channel, in AWS's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.linear_learner.calibration import f_score
from algorithms.toolkit.classification import Confusion, roc_auc
from algorithms.toolkit.training import log

Scores = dict[str, float]


def regression(predicted: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Scores:
    """Losses in the unit of the label, and of its square."""
    error = predicted - labels
    mse = float((error**2).mean())
    return {"mse": mse, "rmse": mse**0.5, "absolute_loss": float(np.abs(error).mean())}


def binary(
    scores: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    settings: Mapping[str, Any],
) -> Scores:
    """How well two classes are told apart."""
    hits = int(((predicted == 1) & (labels == 1)).sum())
    guessed, met = int((predicted == 1).sum()), int((labels == 1).sum())
    weight = float(settings["f_beta"])
    found = {
        "binary_classification_accuracy": float((predicted == labels).mean()),
        f"binary_f_{weight:.3f}": float(f_score(hits, guessed, met, weight)),
        "precision": hits / guessed if guessed else 0.0,
        "recall": hits / met if met else 0.0,
    }
    area = roc_auc(scores, labels)
    if area is None:
        log.info("roc_auc_score is not defined: all records have the same label")
        return found
    return found | {"roc_auc_score": area}


def ranks(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """How many classes have a better score than the right one; with the same, the first has."""
    own = scores[np.arange(len(labels)), labels]
    before = np.arange(scores.shape[1]) < labels[:, None]
    return np.asarray(((scores > own[:, None]) | ((scores == own[:, None]) & before)).sum(axis=1))


def multiclass(
    rank: npt.NDArray[Any],
    predicted: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    settings: Mapping[str, Any],
) -> Scores:
    """How well many classes are told apart; means are over the classes that occur."""
    confusion = Confusion(labels, predicted)
    weight, top = float(settings["f_beta"]), int(settings["accuracy_top_k"])
    fs = f_score(confusion.hit, confusion.guessed, confusion.met, weight)
    return {
        "multiclass_accuracy": confusion.accuracy(),
        f"multiclass_top_k_accuracy_{top}": float((rank < top).mean()),
        "dcg": float((1 / np.log2(rank + 2)).mean()),
        "macro_recall": confusion.recall("macro"),
        "macro_precision": confusion.precision("macro"),
        f"macro_f_{weight:.3f}": float(fs.mean()),
    }
