"""Two long series of measurements, as statsmodels ships them; both are in the public domain.

The temperature of the sea off Peru, by the month, which El Nino disturbs (NOAA), and carbon dioxide
in the air over Mauna Loa, by the week, with gaps (Keeling and Whorf, 2004).
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from datasets.wheels import Wheel

WHEEL = Wheel(
    "statsmodels",
    "0.15.0",
    "b67886b66d9c7ca118526accedb5c6de7ffd74c015dc0492ea0b1690192b65da",
    tag="cp311-cp311-manylinux_2_28_x86_64",
)
_EL_NINO = "statsmodels/datasets/elnino/elnino.csv"
_CO2 = "statsmodels/datasets/co2/co2.csv"


@dataclass(frozen=True)
class Measurements:
    """One series; what is missing is NaN."""

    start: str
    values: npt.NDArray[np.float64]
    season: int
    """Points of a year."""


@cache
def el_nino() -> Measurements:
    """Degrees Celsius in each month from 1950 to 2010."""
    values = [float(value) for row in _rows(_EL_NINO) for value in row[1:]]
    return Measurements("1950-01-01 00:00:00", np.array(values), 12)


@cache
def co2() -> Measurements:
    """Parts per million in each week from March 1958 to December 2001."""
    values = [float(value or "nan") for _, value in _rows(_CO2)]
    return Measurements("1958-03-29 00:00:00", np.array(values), 52)


def _rows(path: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(WHEEL.read(path)[path].decode())))[1:]


def ends(
    series: Measurements, length: int, count: int
) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]:
    """What to learn from, and the series up to each of so many later ends.

    The last `length` points of each are to be forecast from those before, and none was learnt from.
    """
    cut = len(series.values) - length * count
    return series.values[:cut], [
        series.values[: cut + length * (number + 1)] for number in range(count)
    ]
