"""Scores of class predictions, macro-averaged over the classes that occur.

The same values as scikit-learn's, whose import takes longer than many a training job.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.errors import CustomerError

Labels = npt.NDArray[np.int64]


class Confusion:
    """How often each class was met, predicted, and both."""

    def __init__(self, truth: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> None:
        self._truth = np.asarray(truth)
        self._predicted = np.asarray(predicted)
        self.classes, codes = np.unique(
            np.concatenate([self._truth, self._predicted]), return_inverse=True
        )
        met, guessed = np.split(codes, [len(self._truth)])
        size = len(self.classes)
        self.met = np.bincount(met, minlength=size)
        self.guessed = np.bincount(guessed, minlength=size)
        self.hit = np.bincount(met[met == guessed], minlength=size)

    def accuracy(self) -> float:
        """The share of records whose class was predicted."""
        return float(self.hit.sum() / len(self._truth))

    def balanced_accuracy(self) -> float:
        """The mean over the classes that were met of the share that was found."""
        met = self.met > 0
        return float((self.hit[met] / self.met[met]).mean())

    def precision(self, average: str) -> float:
        """How many of those predicted as a class are of it."""
        return self._averaged(self.hit, self.guessed, average)

    def recall(self, average: str) -> float:
        """How many of a class are predicted as it."""
        return self._averaged(self.hit, self.met, average)

    def f1(self, average: str) -> float:
        """The harmonic mean of precision and recall."""
        return self._averaged(2 * self.hit, self.met + self.guessed, average)

    def _averaged(
        self, above: npt.NDArray[np.int64], below: npt.NDArray[np.int64], average: str
    ) -> float:
        if average == "micro":
            return float(above.sum() / below.sum())
        scores = np.divide(above, below, out=np.zeros(len(above)), where=below > 0)
        if average == "macro":
            return float(scores.mean())
        if not np.isin(self.classes, (0, 1)).all():
            raise CustomerError(
                "Target is multiclass but average='binary'; choose the macro or micro metric"
            )
        positive = np.flatnonzero(self.classes == 1)
        return float(scores[positive[0]]) if len(positive) else 0.0


def roc_auc(scores: npt.NDArray[np.floating[Any]], labels: npt.NDArray[Any]) -> float | None:
    """The share of pairs that are in the right order; None with records of one class alone."""
    positive = labels > 0
    found, missed = int(positive.sum()), int((~positive).sum())
    if not found or not missed:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # The mean rank of records with the same score.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - found * (found + 1) / 2) / (found * missed))


def folds(
    labels: npt.NDArray[Any] | None, rows: int, count: int, random: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """The rows of each fold of a cross validation, every class spread evenly over them."""
    if count > rows:
        raise CustomerError(f"_kfold is {count}, but there are only {rows} records")
    order = random.permutation(rows)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    return [np.sort(order[start::count]) for start in range(count)]
