"""What a request asks to be told of a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from algorithms.toolkit.formats.table import FormatError

_TYPES = ("mean", "quantiles", "samples")
_NAMES = ("num_samples", "output_types", "quantiles")
# More do not change a forecast, and take memory.
MOST_SAMPLES = 10_000


@dataclass(frozen=True)
class Configuration:
    """How many paths are drawn, and what is told of them; by default AWS's for batch transform."""

    num_samples: int = 100
    output_types: tuple[str, ...] = ("mean", "quantiles")
    quantiles: tuple[str, ...] = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9")

    @classmethod
    def parse(cls, value: Any, place: str) -> Configuration:
        """Read a configuration; what it leaves out is as by default.

        Raises:
            FormatError: It holds something else.
        """
        if not isinstance(value, Mapping):
            raise FormatError(f"{place}: must be an object with some of {', '.join(_NAMES)}")
        if unknown := sorted(set(value) - set(_NAMES)):
            raise FormatError(f"{place}: '{unknown[0]}' is unknown; {', '.join(_NAMES)} are known")
        found: dict[str, Any] = {}
        if "num_samples" in value:
            count = value["num_samples"]
            if type(count) is not int or not 1 <= count <= MOST_SAMPLES:
                raise FormatError(
                    f"{place}: num_samples is {count!r}; a whole number from 1 to {MOST_SAMPLES} "
                    "is allowed"
                )
            found["num_samples"] = count
        if "output_types" in value:
            types = _array(value["output_types"], f"{place}: output_types")
            if not types or any(one not in _TYPES for one in types):
                raise FormatError(
                    f"{place}: output_types is {types!r}; one or more of {', '.join(_TYPES)} are "
                    "allowed"
                )
            found["output_types"] = tuple(types)
        if "quantiles" in value:
            shares = _array(value["quantiles"], f"{place}: quantiles")
            for one in shares:
                _share(one, place)
            found["quantiles"] = tuple(map(str, shares))
        return cls(**found)

    def shown(self, paths: Any) -> dict[str, Any]:
        """What is told of the paths of one series: paths x points."""
        told: dict[str, Any] = {}
        if "quantiles" in self.output_types:
            shares = [float(one) for one in self.quantiles]
            values = np.quantile(paths, shares, axis=0).tolist() if shares else []
            told["quantiles"] = dict(zip(self.quantiles, values, strict=True))
        if "samples" in self.output_types:
            told["samples"] = paths.tolist()
        if "mean" in self.output_types:
            told["mean"] = paths.mean(axis=0, dtype=np.float64).tolist()
        return told


def _array(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise FormatError(f"{place} must be an array, and is {value!r}")
    return value


def _share(value: Any, place: str) -> None:
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError):
        number = -1.0
    if not 0 < number < 1:
        raise FormatError(
            f"{place}: quantiles holds {value!r}; numbers above 0 and below 1 are allowed, such as "
            '"0.5"'
        )
