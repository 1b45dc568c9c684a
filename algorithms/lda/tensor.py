"""A symmetric tensor as a sum of cubes of vectors, by alternating least squares.

The vectors are made orthogonal in the first rounds, since alternating least squares otherwise
likes to find one of them twice: V. Sharan and G. Valiant, Orthogonalized ALS, ICML 2017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

# Rounds in which the vectors are made orthogonal.
_ORTHOGONAL = 20
# The share of a tensor by which two fits of it may differ and count as one.
_SAME = 1e-9


def decomposed(
    tensor: Matrix,
    *,
    restarts: int,
    iterations: int,
    tolerance: float,
    random: np.random.Generator,
) -> tuple[Matrix, Matrix]:
    """The sizes and the unit vectors (as columns) of the cubes that come closest to the tensor.

    Args:
        tensor: of as many vectors as it has numbers along each of its three sides.
        restarts: from how many random starts at most the best is taken.
        iterations: rounds from each start at most.
        tolerance: once the vectors move less than this in a round, a start is through.
        random: where the starts come from.
    """
    flat = np.reshape(tensor, (len(tensor), -1))
    same, fits = _SAME * float((flat**2).sum()), []
    for _ in range(restarts):
        fits.append(_fitted(flat, random.normal(size=tensor.shape[:2]), iterations, tolerance))
        best, *others = sorted(fit[0] for fit in fits)
        # Two starts that lead to the same place, with none to a better one, are enough.
        if others and others[0] - best <= same:
            break
    _, sizes, vectors = min(fits, key=lambda fit: fit[0])
    # What is nothing at all has the least weight that a topic can have.
    return np.maximum(sizes, np.finfo(np.float64).tiny ** 0.25), vectors


def _fitted(
    flat: Matrix, start: Matrix, iterations: int, tolerance: float
) -> tuple[float, Matrix, Matrix]:
    """What is left of the tensor without the cubes that a start leads to, and these."""
    vectors, _ = np.linalg.qr(start)
    for iteration in range(iterations):
        before = vectors
        if iteration < _ORTHOGONAL:
            vectors, _ = np.linalg.qr(vectors)
        vectors = flat @ _pairs(vectors) @ np.linalg.pinv((vectors.T @ vectors) ** 2)
        lengths = np.linalg.norm(vectors, axis=0)
        vectors = vectors / np.where(lengths > 0, lengths, 1)
        if iteration >= _ORTHOGONAL and np.abs(vectors - before).max() < tolerance:
            break
    pairs = _pairs(vectors)
    sizes = np.linalg.pinv((vectors.T @ vectors) ** 3) @ np.einsum(
        "ir,ir->r", flat @ pairs, vectors
    )
    error = float(((flat - (vectors * sizes) @ pairs.T) ** 2).sum())
    # The cube of a vector turned around is that of the vector, turned around.
    return error, np.abs(sizes), vectors * np.where(sizes < 0, -1, 1)


def _pairs(vectors: Matrix) -> Matrix:
    """The square of each vector, flat."""
    size, count = vectors.shape
    return (vectors[:, None, :] * vectors[None, :, :]).reshape(size * size, count)
