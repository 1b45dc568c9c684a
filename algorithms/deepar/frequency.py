"""How far apart the points of a series are, and what follows from it: lags and features of time."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from algorithms.deepar.gluon import (
    get_lags_for_frequency,
    time_feature,
    time_features_from_frequency_str,
)
from algorithms.toolkit.errors import CustomerError

# As the contract spells a unit: as pandas spells its periods, and steps from one to the next.
_UNITS = {"M": ("M", "ME"), "W": ("W", "W"), "D": ("D", "D"), "H": ("h", "h"), "min": ("min",) * 2}


@dataclass(frozen=True)
class Frequency:
    """So many months, weeks, days, hours or minutes; parsed from `time_freq`."""

    multiple: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Frequency:
        """Read a value such as D or 15min.

        Raises:
            CustomerError: It is none.
        """
        found = re.fullmatch(r"([0-9]*)(M|W|D|H|min)", text)
        if not found or (found[1] and not int(found[1])):
            raise CustomerError(
                f"time_freq is '{text}'; a whole number from 1 and M, W, D, H or min are allowed, "
                "such as D or 15min"
            )
        return cls(int(found[1] or 1), found[2])

    def ordinal(self, start: datetime) -> int:
        """The number of the period that a moment lies in, in units since 1970."""
        return int(pd.Period(start, freq=_UNITS[self.unit][0]).ordinal)

    def lags(self) -> list[int]:
        """How far back the network looks besides the context: the same hour of days before, ..."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [int(lag) for lag in get_lags_for_frequency(self._steps())]

    def time_features(self) -> list[str]:
        """The names of what GluonTS tells its network of a moment: hour_of_day, ..."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [one.__name__ for one in time_features_from_frequency_str(self._steps())]

    def table(self, names: Sequence[str], start: int, length: int) -> npt.NDArray[np.float32]:
        """The features of so many moments from an ordinal on, one moment a row."""
        ordinals = start + self.multiple * np.arange(length)
        index = pd.PeriodIndex.from_ordinals(ordinals, freq=_UNITS[self.unit][0])
        features: list[Callable[[Any], Any]] = [getattr(time_feature, name) for name in names]
        columns = [np.asarray(feature(index), dtype=np.float32) for feature in features]
        return np.stack(columns, axis=1) if columns else np.empty((length, 0), np.float32)

    def _steps(self) -> str:
        return f"{self.multiple}{_UNITS[self.unit][1]}"
