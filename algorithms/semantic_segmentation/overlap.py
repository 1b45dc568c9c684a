"""How well classes of pixels are told: mean intersection over union, and pixel accuracy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def counted(truth: npt.NDArray[np.uint8], told: npt.NDArray[np.uint8], num_classes: int) -> Counts:
    """How many pixels of each class (by row) were told to be of each class (by column).

    Pixels whose truth is no class are left out.
    """
    known = truth < num_classes
    pairs = truth[known].astype(np.int64) * num_classes + told[known]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def pixel_accuracy(counts: Counts) -> float:
    """The share of pixels that were told right."""
    return float(np.trace(counts) / max(1, counts.sum()))


def mean_overlap(counts: Counts) -> float:
    """The mean over classes of intersection over union; of those in the truth or the answer."""
    common = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - common
    there = union > 0
    return float(np.mean(common[there] / union[there])) if there.any() else 0.0
