"""A forest of random cuts over samples of the data, one for each tree.

After "Robust Random Cut Forest Based Anomaly Detection on Streams" (Guha, Mishra, Roy, Schrijvers;
ICML 2016), by krcf, the Rust library of AWS's authors. As in AWS's own algorithm, one sample is
drawn from all data without replacement and shared out among the trees, so that no two trees know
the same row, and no tree sees a row that is not in its share. Building the trees costs only
that, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from krcf import RandomCutForest

from algorithms.toolkit.formats.table import FloatArray

# Distances are differences of 32 bits, which must stay finite. From here on a point is as far
# away as can be.
_FARTHEST = 1e38


class Forest:
    """Some or all of the trees of a forest; scoring never changes them.

    Args:
        samples: the rows of each tree: trees x rows x features.
        numbers: which trees of the whole forest these are. The cuts of a tree follow from its
            number and its rows.
    """

    def __init__(self, samples: FloatArray, numbers: Iterable[int] | None = None) -> None:
        numbers = range(len(samples)) if numbers is None else numbers
        self._trees = [_tree(rows, number) for rows, number in zip(samples, numbers, strict=True)]

    def totals(self, points: FloatArray) -> npt.NDArray[np.float64]:
        """The sum of the scores that each tree gives to each point."""
        rows = _bounded(points).tolist()
        found = np.zeros(len(rows))
        for tree in self._trees:
            found += np.fromiter(map(tree.score, rows), np.float64, len(rows))
        return found

    def scores(self, points: FloatArray) -> npt.NDArray[np.float64]:
        """The mean score of all trees for each point; about 1 is usual, and more is less so."""
        return self.totals(points) / len(self._trees)


def _tree(rows: FloatArray, number: int) -> Any:
    tree = RandomCutForest(
        {
            "dimensions": rows.shape[1],
            "shingle_size": 1,
            "num_trees": 1,
            "sample_size": len(rows),
            "output_after": 1,
            "random_seed": number + 1,
            "parallel_execution_enabled": False,
            # It takes every row that it is shown, and none is shown that it need not keep.
            "initial_accept_fraction": 1.0,
        }
    )
    for row in _bounded(rows).tolist():
        tree.update(row)
    return tree


def _bounded(points: FloatArray) -> FloatArray:
    return np.clip(points, -_FARTHEST, _FARTHEST)


def rows_per_tree(records: int, trees: int, wanted: int) -> int:
    """How many rows each tree gets: those wanted, as far as the records go round.

    AWS's algorithm shares 4032 records among 50 trees as 80 for each, where 512 were wanted.
    """
    return min(wanted, records // trees)


def drawn(counts: Iterable[int], wanted: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """How many of the wanted rows come from each part, when all rows are equally likely."""
    ends = np.cumsum(list(counts))
    chosen = random.choice(int(ends[-1]), size=wanted, replace=False, shuffle=False)
    return np.bincount(np.searchsorted(ends, chosen, side="right"), minlength=len(ends))
