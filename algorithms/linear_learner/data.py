"""Records as training sees them: normalised batch by batch, and sparse ones without being filled.

Labels of a regressor are normalised too, and its losses are measured on that scale: huber_delta and
loss_insensitivity count in standard deviations of the label, unless normalize_label is false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.linear_learner.losses import Matrix

if TYPE_CHECKING:
    from algorithms.linear_learner.reading import Source
    from algorithms.toolkit.peers import Peers

Wide = npt.NDArray[np.float64]
# A spread below this share of the size of the values is rounding, and not variety.
_ROUNDING = 1e-7


@dataclass(frozen=True)
class Scaler:
    """What is subtracted from every column, and by what it is then divided."""

    shift: Wide
    scale: Wide
    constant: npt.NDArray[np.bool_]

    @property
    def shifts(self) -> bool:
        """Whether anything is subtracted at all."""
        return bool(self.shift.any())


def scaler(columns: Any, *, unbias: bool, normalize: bool, peers: Peers) -> Scaler:
    """Measure columns of all hosts, dense or sparse, in numbers of 64 bits."""
    wide = columns.astype(np.float64)
    whole = peers.total(
        {"sum": np.asarray(wide.sum(axis=0)).ravel(), "rows": np.array(wide.shape[0])}
    )
    mean = whole["sum"] / whole["rows"]
    if isinstance(wide, np.ndarray):
        squares = ((wide - mean) ** 2).sum(axis=0)
    else:
        places, width = wide.indices, wide.shape[1]
        squares = np.bincount(places, (wide.data - mean[places]) ** 2, minlength=width)
        # What is not stored is zero.
        squares += (wide.shape[0] - np.bincount(places, minlength=width)) * mean**2
    deviation = np.sqrt(peers.total({"squares": squares})["squares"] / whole["rows"])
    constant = deviation <= _ROUNDING * np.abs(mean)
    # As training will subtract it, so that the artifact subtracts the same.
    narrow = mean.astype(np.float32).astype(np.float64)
    return Scaler(
        narrow if unbias else np.zeros_like(mean),
        np.where(constant, 1.0, deviation) if normalize else np.ones_like(mean),
        constant,
    )


class Block:
    """Some records, normalised: what the models are multiplied with.

    Subtracting a mean would fill a sparse matrix. It is taken from the products instead, which
    comes to the same.
    """

    def __init__(self, features: Any, scaling: Scaler) -> None:
        self._shift: Matrix | None = None
        inverse = (1 / scaling.scale).astype(np.float32)
        if isinstance(features, np.ndarray):
            # First the shift: large values with little variety would lose it in 32 bits otherwise.
            self._features: Any = (features - scaling.shift.astype(np.float32)) * inverse
            return
        self._features = features.copy()
        self._features.data *= inverse[self._features.indices]
        if scaling.shifts:
            self._shift = (scaling.shift / scaling.scale).astype(np.float32)

    def times(self, weights: Matrix) -> Matrix:
        """The product with the weights of all models."""
        found = np.asarray(self._features @ weights)
        if self._shift is not None:
            found -= self._shift @ weights
        return found

    def back(self, gradient: Matrix) -> Matrix:
        """The gradient of the weights, from that of the scores."""
        found = np.asarray(self._features.T @ gradient)
        if self._shift is not None:
            found -= np.outer(self._shift, gradient.sum(axis=0))
        return found

    def squares(self) -> float:
        """The sum of the squares of all features of all records."""
        features = self._features
        if self._shift is None:
            values = features if isinstance(features, np.ndarray) else features.data
            return float((values.astype(np.float64) ** 2).sum())
        # |x - m|^2 = |x|^2 - 2 x m + |m|^2
        squares = float((features.data.astype(np.float64) ** 2).sum())
        product = float((features @ self._shift).sum(dtype=np.float64))
        return float(squares - 2 * product + features.shape[0] * (self._shift @ self._shift))


class Examples:
    """A channel as training takes it: features normalised, labels classes or normalised numbers."""

    def __init__(self, source: Source, features: Scaler, label: Scaler | None) -> None:
        self._source = source
        self._features = features
        self._label = label

    def batches(
        self, count: int, random: np.random.Generator, peers: Peers
    ) -> Iterator[tuple[Block, npt.NDArray[Any]]]:
        """All records in a new order, in so many batches that are as even as can be.

        Where a host has fewer records than that, the others have theirs while it has none.
        """
        rows = self._source.rows
        inner = np.arange(1, count) * rows / count + peers.rank / len(peers.hosts)
        ends = inner.astype(np.int64)
        if self._source.held:
            table, labels = self._source.held
            for chosen in np.split(random.permutation(rows), ends):
                yield self._normalised(table.features[chosen], labels[chosen])
            return
        sizes = np.diff(ends, prepend=0, append=rows)
        found = self._source.batches(sizes[sizes > 0], random)
        nothing = np.zeros((0, self._source.width), dtype=np.float32)
        for size in sizes.tolist():
            if size:
                table, labels = next(found)
                yield self._normalised(table.features, labels)
            else:
                yield self._normalised(nothing, np.zeros(0, dtype=np.int64))

    def pieces(self, size: int) -> Iterator[tuple[Block, npt.NDArray[Any]]]:
        """All records in their order."""
        if self._source.held:
            table, labels = self._source.held
            for start in range(0, len(labels), size):
                rows = slice(start, start + size)
                yield self._normalised(table.features[rows], labels[rows])
            return
        for table, labels in self._source.pieces(size):
            yield self._normalised(table.features, labels)

    def _normalised(self, features: Any, labels: Any) -> tuple[Block, npt.NDArray[Any]]:
        return Block(features, self._features), normalised(labels, self._label)


def normalised(labels: npt.NDArray[Any], scaling: Scaler | None) -> npt.NDArray[Any]:
    """Labels on the scale on which losses are measured."""
    return labels if scaling is None else (labels - scaling.shift[0]) / scaling.scale[0]
