"""The spread of rows round their mean, gathered batch by batch and merged exactly.

T. Chan, G. Golub and R. LeVeque, Updating formulae and a pairwise algorithm for computing sample
variances, 1979; J. Tropp, A. Yurtsever, M. Udell and V. Cevher, Fixed-rank approximation of a
positive-semidefinite matrix from streaming data, 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


class Scatter:
    """The scatter matrix of the rows seen so far, or what it makes of some directions.

    The scatter matrix is the sum over all rows x of (x - mean)(x - mean)', whose eigenvalues are
    the squared singular values of the centred rows. With `directions` (features x some), only its
    product with these is held, which is smaller. Without `centred` the mean counts as zero.
    """

    def __init__(self, width: int, directions: Matrix | None = None, *, centred: bool) -> None:
        self._directions = directions
        self._centred = centred
        self.rows = 0
        self.mean: Matrix = np.zeros(width)
        self.product: Matrix = np.zeros(
            (width, width if directions is None else directions.shape[1])
        )

    def add(self, batch: Any) -> None:
        """Take rows, dense or sparse."""
        rows = int(batch.shape[0])
        if not rows:
            return
        wide = batch.astype(np.float64)
        mean = np.asarray(wide.mean(axis=0), dtype=np.float64).ravel()
        if isinstance(wide, np.ndarray):
            if self._centred:
                wide -= mean
            product = wide.T @ self._along(wide)
        else:
            product = wide.T @ self._along(wide)
            # Centring first would fill every zero.
            product = product.toarray() if hasattr(product, "toarray") else product
            if self._centred:
                product -= rows * np.outer(mean, self._along(mean))
        self.merge({"rows": np.array(rows), "mean": mean, "product": product})

    def merge(self, other: dict[str, Any]) -> None:
        """Take the rows that another one has seen, which has the same directions."""
        rows = int(other["rows"])
        if not rows:
            return
        total = self.rows + rows
        shift = other["mean"] - self.mean
        self.product += other["product"]
        if self._centred:
            self.product += np.outer(shift, self._along(shift)) * (self.rows * rows / total)
        self.mean = self.mean + shift * (rows / total)
        self.rows = total

    def parts(self) -> dict[str, Any]:
        """What `merge` takes."""
        return {"rows": np.array(self.rows), "mean": self.mean, "product": self.product}

    def _along(self, rows: Any) -> Any:
        return rows if self._directions is None else rows @ self._directions


def principal(scatter: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """The largest singular values, ascending, and their directions, one a column."""
    width = len(scatter)
    from scipy.linalg import eigh

    values, vectors = eigh(
        (scatter + scatter.T) / 2, subset_by_index=(width - count, width - 1), overwrite_a=True
    )
    return np.sqrt(np.maximum(values, 0)), signed(vectors)


def from_sketch(product: Matrix, directions: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """The same, told from the product of the scatter matrix with orthonormal directions."""
    from scipy.linalg import cholesky, solve_triangular

    norm = float(np.linalg.norm(product))
    if not norm:
        return np.zeros(count), signed(directions[:, -count:])
    # A little more spread everywhere, taken away again below, makes the factor exist.
    shift = np.sqrt(len(product)) * np.finfo(float).eps * norm
    shifted = product + shift * directions
    core = directions.T @ shifted
    factor = cholesky((core + core.T) / 2, lower=False)
    left, values, _ = np.linalg.svd(
        solve_triangular(factor, shifted.T, trans="T", lower=False).T, full_matrices=False
    )
    values = np.sqrt(np.maximum(values**2 - shift, 0))
    return values[:count][::-1].copy(), signed(left[:, :count][:, ::-1])


def signed(vectors: Matrix) -> Matrix:
    """Vectors whose greatest part is positive: either sign would do, and one must be chosen."""
    greatest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    found: Matrix = vectors * np.where(greatest < 0, -1.0, 1.0)
    return found
