"""What the counts of words tell about topics: moments, whitened, and the topics of their tensor.

A. Anandkumar, R. Ge, D. Hsu, S. Kakade, M. Telgarsky, Tensor Decompositions for Learning Latent
Variable Models, JMLR 2014. How often two words meet in a document, and how often three do, are
once corrected by `alpha0` sums over the topics alone: of a topic times itself, and of a topic
three times. The pairs whiten the triples, whose parts are then orthogonal, and few enough numbers
to take apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.lda.tensor import decomposed
from algorithms.toolkit.errors import CustomerError

Matrix = npt.NDArray[np.float64]

# Three words of a document are drawn apart from one another.
WORDS = 3
# Up to so many words, the pairs are a matrix in memory.
_DENSE = 2000
# A direction of the pairs below this share of the largest is noise.
_NOISE = 1e-7
# Numbers of rows by pairs of directions that are held at once.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Found:
    """Topics, the weightiest first: the odds of their words, and their weights."""

    topics: Matrix
    alpha: Matrix


def topics(
    counts: Any,
    count: int,
    *,
    alpha0: float,
    restarts: int,
    iterations: int,
    tolerance: float,
    random: np.random.Generator,
) -> list[Found]:
    """Topics of the documents with three words at least, found in two ways or one.

    First `count` are looked for, and then a quarter more, as AWS's does, of which the weightiest
    are kept. The rest take up what is no topic; but where the documents hold no more than `count`,
    they are noise, which spoils the others.

    None come back where the documents do not tell `count` topics apart.
    """
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    long = lengths >= WORDS
    counts, lengths = counts[np.flatnonzero(long)], lengths[long]
    if not len(lengths):
        raise CustomerError(f"No document has {WORDS} words, which a topic is found from")
    mean = np.asarray(counts.multiply(1 / lengths[:, None]).mean(axis=0)).ravel()
    values, vectors = _pairs(counts, lengths, mean, alpha0, -(-5 * count // 4))
    if len(values) < count:
        return []
    tensor = _triples(counts, lengths, mean, alpha0, vectors / np.sqrt(values))
    found = []
    for size in sorted({count, len(values)}):
        sizes, parts = decomposed(
            tensor[:size, :size, :size],
            restarts=restarts,
            iterations=iterations,
            tolerance=tolerance,
            random=random,
        )
        alpha = 4 * alpha0 * (alpha0 + 1) / ((alpha0 + 2) * sizes) ** 2
        kept = np.argsort(-alpha, kind="stable")[:count]
        words = np.maximum((vectors * np.sqrt(values))[:, :size] @ parts[:, kept], 0).T
        total = words.sum(axis=1, keepdims=True)
        odds = np.where(total > 0, words / np.where(total > 0, total, 1), mean)
        found.append(Found(odds, alpha[kept]))
    return found


def _pairs(
    counts: Any, lengths: Matrix, mean: Matrix, alpha0: float, count: int
) -> tuple[Matrix, Matrix]:
    """The largest eigenvalues of the corrected pairs, and their vectors."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import LinearOperator, eigsh

    rows, width = counts.shape
    weights = 1 / (lengths * (lengths - 1) * rows)
    same = counts.T @ weights
    share = alpha0 / (alpha0 + 1)
    count = min(count, width, rows)
    if width <= _DENSE:
        pairs = (counts.T @ (diags_array(weights) @ counts)).toarray()
        pairs -= np.diag(same) + share * np.outer(mean, mean)
        values, vectors = np.linalg.eigh(pairs)
    else:

        def product(vector: Any) -> Any:
            flat = np.asarray(vector).ravel()
            found = counts.T @ (weights * (counts @ flat)) - same * flat
            return found - share * (mean @ flat) * mean

        operator = LinearOperator((width, width), matvec=product, dtype=np.float64)
        start = np.random.default_rng(0).normal(size=width)
        values, vectors = eigsh(operator, k=min(count, width - 1), which="LA", v0=start)
    order = np.argsort(-values)[:count]
    order = order[values[order] > _NOISE * abs(values[order[0]])]
    return values[order], vectors[:, order]


def _triples(
    counts: Any, lengths: Matrix, mean: Matrix, alpha0: float, whitening: Matrix
) -> Matrix:
    """The corrected triples, seen along the columns of the whitening."""
    rows, size = counts.shape[0], whitening.shape[1]
    weights = 1 / (lengths * (lengths - 1) * (lengths - 2) * rows)
    seen = counts @ whitening
    found = _summed(seen, seen, seen * weights[:, None])
    # The same word cannot be drawn twice: without the triples that hold one twice, or thrice.
    found -= _either(_summed(whitening, whitening, counts.T @ (seen * weights[:, None])))
    found += _summed(whitening, whitening, whitening * (2 * (counts.T @ weights))[:, None])
    middle = whitening.T @ mean
    pairs = np.eye(size) + alpha0 / (alpha0 + 1) * np.outer(middle, middle)
    found -= alpha0 / (alpha0 + 2) * _either(np.einsum("ij,k->ijk", pairs, middle))
    share = 2 * alpha0**2 / ((alpha0 + 1) * (alpha0 + 2))
    found += share * np.einsum("i,j,k->ijk", middle, middle, middle)
    return np.asarray(found)


def _summed(first: Matrix, second: Matrix, third: Matrix) -> Matrix:
    """The sum over rows of the products of all their numbers."""
    size = first.shape[1]
    found = np.zeros((size * size, size))
    step = max(1, _BLOCK // size**2)
    for start in range(0, len(first), step):
        rows = slice(start, start + step)
        pairs = first[rows, :, None] * second[rows, None, :]
        found += pairs.reshape(-1, size * size).T @ third[rows]
    return found.reshape(size, size, size)


def _either(tensor: Matrix) -> Matrix:
    """The sum over which of the three places is the last one."""
    return tensor + tensor.transpose(0, 2, 1) + tensor.transpose(2, 0, 1)
