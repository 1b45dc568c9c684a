"""MovieLens-100k: 100,000 ratings that 943 people gave to 1,682 films.

F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, 2015. Its licence
forbids handing it on, so it is read out of the wheel of RecBole, and never committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from datasets.wheels import Wheel

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WHEEL = Wheel(
    "recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
)
_RATINGS = "recbole/dataset_example/ml-100k/ml-100k.inter"
USERS = 943
ITEMS = 1682

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ratings:
    """Ratings from 1 to 5, with users and items counted from 0."""

    users: Numbers
    items: Numbers
    ratings: npt.NDArray[np.float32]
    timestamps: Numbers

    def __len__(self) -> int:
        return len(self.ratings)

    def take(self, rows: slice | Numbers) -> Ratings:
        """Some of the ratings."""
        return Ratings(
            self.users[rows], self.items[rows], self.ratings[rows], self.timestamps[rows]
        )


@cache
def ratings() -> Ratings:
    """All ratings, in the order of the file."""
    rows = np.loadtxt(
        WHEEL.read(_RATINGS)[_RATINGS].decode().splitlines()[1:], dtype=np.int64, ndmin=2
    )
    return Ratings(rows[:, 0] - 1, rows[:, 1] - 1, rows[:, 2].astype(np.float32), rows[:, 3])


@cache
def split(test: float = 0.1, seed: int = 0) -> tuple[Ratings, Ratings]:
    """The ratings in a new order, cut into those to learn from and a share to be tested on."""
    everything = ratings()
    order = np.random.default_rng(seed).permutation(len(everything))
    cut = round(len(everything) * (1 - test))
    return everything.take(order[:cut]), everything.take(order[cut:])


def one_hot(ratings: Ratings) -> csr_matrix:
    """A row for each rating: a one at its user, and one at its item behind all users."""
    from scipy.sparse import csr_matrix

    rows = len(ratings)
    return csr_matrix(
        (
            np.ones(2 * rows, dtype=np.float32),
            np.stack([ratings.users, USERS + ratings.items], axis=1).ravel(),
            np.arange(0, 2 * rows + 1, 2),
        ),
        shape=(rows, USERS + ITEMS),
    )
