"""A factorization machine of degree two: its scores, its gradients, and the steps that it takes.

S. Rendle, Factorization Machines, ICDM 2010: besides a bias and a weight for each feature, every
pair of features has a weight, the product of their vectors of factors. All pairs together cost no
more than the factors of the features that a record has.

A mini-batch moves only the rows of the features that it holds, so that a step costs what the
mini-batch costs, however many features there are. The steps are Adam's (D. Kingma and J. Ba, 2015),
which has the epsilon of AWS's `eps`, and whose usual step sizes are the defaults of AWS's rates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Columns = npt.NDArray[np.int64]

# Of Adam: how long the means of the gradients, and of their squares, remember.
_MEAN = 0.9
_SQUARE = 0.999
# Records whose scores are computed at once.
_SCORED = 16_384


@dataclass(frozen=True)
class Parts:
    """One array for each of the three groups of parameters."""

    bias: Matrix
    linear: Matrix
    factors: Matrix


@dataclass(frozen=True)
class Gradient:
    """The gradient of the sum of the losses of some records, for the features that they hold."""

    columns: Columns
    parts: Parts
    rows: int


def scores(model: Parts, features: Any) -> Matrix:
    """What the machine says of each record, dense or sparse."""
    found = np.empty(features.shape[0], dtype=np.float32)
    for start in range(0, len(found), _SCORED):
        rows = slice(start, start + _SCORED)
        columns, batch = held(features[rows])
        found[rows] = _Batch(model, columns, batch).scores
    return found


def held(features: Any) -> tuple[Columns, Any]:
    """The features that some records hold at all, and the records cut to these."""
    if isinstance(features, np.ndarray):
        columns = np.flatnonzero(features.any(axis=0))
        return columns, features if len(columns) == features.shape[1] else features[:, columns]
    from scipy.sparse import csr_matrix

    columns, places = np.unique(features.indices, return_inverse=True)
    shape = (features.shape[0], len(columns))
    return columns, csr_matrix((features.data, places, features.indptr), shape=shape)


class _Batch:
    """Some records, with the rows of the model that they meet."""

    def __init__(self, model: Parts, columns: Columns, features: Any) -> None:
        self._features = features
        self._squares = (
            features * features if isinstance(features, np.ndarray) else _squared(features)
        )
        self._factors = model.factors[columns]
        self._sums = np.asarray(features @ self._factors)
        pairs = np.einsum("ij,ij->i", self._sums, self._sums)
        pairs -= np.asarray(self._squares @ np.einsum("ij,ij->i", self._factors, self._factors))
        self.scores: Matrix = model.bias + features @ model.linear[columns] + pairs / 2

    def back(self, slopes: Matrix) -> Parts:
        """The gradients of the parameters, from those of the scores."""
        factors = np.asarray(self._features.T @ (slopes[:, None] * self._sums))
        factors -= np.asarray(self._squares.T @ slopes)[:, None] * self._factors
        return Parts(slopes.sum(keepdims=True), np.asarray(self._features.T @ slopes), factors)


def _squared(features: Any) -> Any:
    if isinstance(features, np.ndarray):
        return features * features
    squares = features.copy()
    squares.data **= 2
    return squares


def gradient(
    model: Parts, features: Any, labels: Matrix, *, binary: bool
) -> tuple[Matrix, Gradient]:
    """The scores of some records, and the gradient of their losses.

    The loss is half the squared error, or for two classes the cross entropy.
    """
    columns, batch = held(features)
    met = _Batch(model, columns, batch)
    slopes = (sigmoid(met.scores) if binary else met.scores) - labels
    return met.scores, Gradient(columns, met.back(slopes), len(labels))


def merged(gradients: list[Gradient]) -> Gradient:
    """The gradient of the records of several hosts."""
    if len(gradients) == 1:
        return gradients[0]
    columns, places = np.unique(
        np.concatenate([each.columns for each in gradients]), return_inverse=True
    )
    parts = [each.parts for each in gradients]
    linear = np.zeros(len(columns), dtype=np.float32)
    factors = np.zeros((len(columns), parts[0].factors.shape[1]), dtype=np.float32)
    start = 0
    for each in gradients:
        # Within one host every feature comes once.
        here = places[start : start + len(each.columns)]
        linear[here] += each.parts.linear
        factors[here] += each.parts.factors
        start += len(each.columns)
    bias = np.stack([part.bias for part in parts]).sum(axis=0)
    return Gradient(columns, Parts(bias, linear, factors), sum(each.rows for each in gradients))


def sigmoid(values: Matrix) -> Matrix:
    """The logistic function, without overflow."""
    return np.asarray((1 + np.tanh(values / 2)) / 2, dtype=values.dtype)


@dataclass(frozen=True)
class Rule:
    """How one group of parameters learns."""

    rate: float
    decay: float


@dataclass
class Adam:
    """Steps for the three groups, each with its own rule.

    `rescale` multiplies the gradient of the sum of a mini-batch; without it the mean is taken. The
    decay is added after that, and `clip` then cuts what remains on both sides of zero.
    """

    rules: dict[str, Rule]
    rescale: float | None = None
    clip: float | None = None
    eps: float = 1e-8
    _means: dict[str, Matrix] = field(default_factory=dict)
    _squares: dict[str, Matrix] = field(default_factory=dict)
    _steps: int = 0

    def step(self, model: Parts, found: Gradient) -> None:
        """Move the parameters that a gradient is about."""
        self._steps += 1
        # Of both means, which begin at zero.
        correction = np.sqrt(1 - _SQUARE**self._steps) / (1 - _MEAN**self._steps)
        scale = np.float32(1 / found.rows if self.rescale is None else self.rescale)
        for name, rule in self.rules.items():
            values: Matrix = getattr(model, name)
            if name not in self._means:
                # Rows of zeros are not in memory before they are met.
                self._means[name] = np.zeros(values.shape, dtype=np.float32)
                self._squares[name] = np.zeros(values.shape, dtype=np.float32)
            mean, square = self._means[name], self._squares[name]
            rows: Any = slice(None) if name == "bias" else found.columns
            now = values[rows]
            slope = getattr(found.parts, name) * scale + np.float32(rule.decay) * now
            if self.clip is not None:
                np.clip(slope, -self.clip, self.clip, out=slope)
            first = np.float32(_MEAN) * mean[rows] + np.float32(1 - _MEAN) * slope
            second = np.float32(_SQUARE) * square[rows] + np.float32(1 - _SQUARE) * slope**2
            mean[rows], square[rows] = first, second
            size = np.sqrt(second, out=second)
            size += np.float32(self.eps)
            first *= np.float32(rule.rate * correction)
            values[rows] = now - first / size
