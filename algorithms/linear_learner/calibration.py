"""The threshold that serves a criterion best, and the score that it reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]


def calibrate(
    scores: Scores,
    labels: npt.NDArray[Any],
    criterion: str,
    settings: Mapping[str, Any],
    natural: float,
) -> tuple[float, float]:
    """The threshold from which on a record is positive, and the criterion with it.

    Thresholds lie in the middle between two scores that occur. Of equally good ones the nearest to
    `natural` is taken, where the loss itself would cut.

    A target precision that no threshold reaches gives the threshold of the highest precision, and
    a score below zero, so that any model that reaches it is better.
    """
    cuts, hits, guessed = _cuts(scores, labels, natural)
    positives = int(labels.sum())
    precision = np.divide(hits, guessed, out=np.zeros(len(cuts)), where=guessed > 0)
    recall = hits / positives if positives else np.zeros(len(cuts))
    if criterion == "accuracy":
        value = (hits + len(labels) - positives - (guessed - hits)) / len(labels)
    elif criterion in ("f1", "f_beta"):
        value = f_score(hits, guessed, positives, beta(criterion, settings))
    elif criterion == "precision_at_target_recall":
        # Some threshold always reaches it: the one below all scores finds every positive record.
        value = np.where(recall >= float(settings["target_recall"]), precision, recall - 2)
    else:
        reached = (precision >= float(settings["target_precision"])) & (guessed > 0)
        value = np.where(reached, recall, precision - 2)
    best = np.flatnonzero(value == value.max())
    chosen = best[np.abs(cuts[best] - natural).argmin()]
    return float(cuts[chosen]), float(value[chosen])


def beta(criterion: str, settings: Mapping[str, Any]) -> float:
    """How much more recall counts than precision."""
    return 1.0 if criterion == "f1" else float(settings["f_beta"])


def f_score(hits: Any, guessed: Any, met: Any, weight: float) -> Any:
    """The weighted harmonic mean of precision and recall; 0 where there is nothing to find."""
    below = np.asarray(weight**2 * met + guessed, dtype=np.float64)
    return np.divide((1 + weight**2) * hits, below, out=np.zeros_like(below), where=below > 0)


def _cuts(
    scores: Scores, labels: npt.NDArray[Any], natural: float
) -> tuple[Scores, npt.NDArray[Any], npt.NDArray[Any]]:
    """All thresholds that differ in effect, and the hits and positives that each would give."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    guessed = np.append(0, last + 1)
    hits = np.append(0, np.cumsum(labels[order] > 0)[last])
    distinct = ranked[last]
    # Beyond all scores as far as the natural threshold, which keeps a tie there where it is.
    above = max(np.nextafter(distinct[0], np.inf), natural)
    below = min(distinct[-1], natural)
    middles = distinct[1:] + (distinct[:-1] - distinct[1:]) / 2
    # Where two scores are neighbours, their middle is rounded to one of them.
    middles = np.where(middles > distinct[1:], middles, distinct[:-1])
    # A gap that holds the natural threshold is cut there.
    inside = (distinct[1:] < natural) & (natural <= distinct[:-1])
    middles = np.where(inside, natural, middles)
    return np.concatenate([[above], middles, [below]]), hits, guessed
