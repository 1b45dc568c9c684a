"""Mean average precision, as Pascal VOC measures detections since 2010.

Source: Everingham et al., The Pascal Visual Object Classes Challenge: A Retrospective, 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]


def mean_average_precision(
    found: Sequence[Rows], truths: Sequence[Rows], overlap_threshold: float
) -> float:
    """The mean of the classes' average precision; of those that appear in the truth.

    Args:
        found: of each image, rows of class, score and box (left, top, right, bottom).
        truths: of each image, rows of class and box.
        overlap_threshold: intersection over union above which a box counts as found.
    """
    there = [truth[:, 0] for truth in truths if len(truth)]
    if not there:
        return 0.0
    kinds = np.unique(np.concatenate(there))
    return float(
        np.mean([average_precision(found, truths, kind, overlap_threshold) for kind in kinds])
    )


def average_precision(
    found: Sequence[Rows], truths: Sequence[Rows], kind: float, overlap_threshold: float
) -> float:
    """The area below the curve of precision over recall of one class.

    From the surest detection to the weakest, each takes the object that it overlaps most: right if
    by enough, and if that object was not taken before.
    """
    scores, rights, objects = [], [], 0
    for seen, truth in zip(found, truths, strict=True):
        own = truth[truth[:, 0] == kind][:, 1:]
        objects += len(own)
        of_kind = seen[seen[:, 0] == kind]
        of_kind = of_kind[np.argsort(-of_kind[:, 1], kind="stable")]
        taken = np.zeros(len(own), dtype=bool)
        overlaps = overlap(of_kind[:, 2:], own)
        for score, row in zip(of_kind[:, 1], overlaps, strict=True):
            best = int(row.argmax()) if len(row) else -1
            right = best >= 0 and row[best] > overlap_threshold and not taken[best]
            if right:
                taken[best] = True
            scores.append(score)
            rights.append(right)
    if not objects or not scores:
        return 0.0
    right_so_far = np.cumsum(np.array(rights)[np.argsort(-np.array(scores), kind="stable")])
    recall = right_so_far / objects
    precision = right_so_far / np.arange(1, len(recall) + 1)
    # At each recall the best precision that is reached there or beyond.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def overlap(one: Rows, other: Rows) -> Rows:
    """Intersection over union of each box of one with each of the other."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    area = np.prod(one[:, 2:] - one[:, :2], axis=1), np.prod(other[:, 2:] - other[:, :2], axis=1)
    union = area[0][:, None] + area[1][None, :] - common
    return np.asarray(common / np.maximum(union, 1e-12))
