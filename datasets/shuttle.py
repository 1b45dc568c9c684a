"""Statlog (Shuttle): 49,097 rows of nine sensors of a space shuttle, of which 3,511 are unusual.

The set of the UCI repository as outlier detection uses it, where class 1 is usual, the five small
classes are not, and class 4 is left out. It comes with river.
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
    "river",
    "0.26.1",
    "6a11e1a9749beec3ea138efeb0205b2c5cea8d424e9deee306c8980faec01bef",
    tag="cp311-cp311-manylinux_2_28_x86_64",
)
_ROWS = "river/datasets/shuttle.csv.gz"


@dataclass(frozen=True)
class Rows:
    """What the sensors said, and whether it was unusual."""

    features: npt.NDArray[np.float32]
    unusual: npt.NDArray[np.bool_]


@cache
def rows() -> Rows:
    """All rows, in the order of the file."""
    text = gzip.decompress(WHEEL.read(_ROWS)[_ROWS]).decode()
    numbers = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=1)
    return Rows(numbers[:, :-1].astype(np.float32), numbers[:, -1] == 1)
