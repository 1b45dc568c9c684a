"""How well scores tell what is unusual, held against labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.formats.table import FormatError, Table

Flags = npt.NDArray[np.bool_]


def unusual(table: Table) -> Flags:
    """What the labels of records say: 1 is unusual, 0 is not.

    Raises:
        FormatError: One is neither.
    """
    labels = np.zeros(table.rows) if table.labels is None else table.labels
    wrong = (labels != 0) & (labels != 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise FormatError(
            f"{table.label_place(row)}: the label is {labels[row]:g}; 1 (unusual) or 0 is allowed"
        )
    return np.asarray(labels == 1)


def threshold(scores: npt.NDArray[np.float64]) -> float:
    """Above what a score is told to be unusual: three standard deviations over their mean."""
    return float(scores.mean() + 3 * scores.std())


def measures(truth: Flags, found: Flags, wanted: Sequence[str]) -> dict[str, float]:
    """The measures that `eval_metrics` names; a ratio of nothing to nothing is 0."""
    values = {}
    if "accuracy" in wanted:
        values["accuracy"] = float((truth == found).mean())
    if "precision_recall_fscore" in wanted:
        values |= _of_class(truth, found, "")
        values |= _of_class(~truth, ~found, "negative ")
    return values


def _of_class(truth: Flags, found: Flags, lead: str) -> dict[str, float]:
    hits = int((truth & found).sum())
    precision = _ratio(hits, int(found.sum()))
    recall = _ratio(hits, int(truth.sum()))
    return {
        f"{lead}precision": precision,
        f"{lead}recall": recall,
        f"{lead}f1": _ratio(2 * precision * recall, precision + recall),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
