"""What series must agree in: among one another, with the settings, and with those trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.deepar.network import Settings
from algorithms.deepar.series import Series, Wanted
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError

Seen = npt.NDArray[np.bool_]

LEAST_POINTS = 300


@dataclass(frozen=True)
class Checks:
    """What the series of a model must be like."""

    likelihood: str
    prediction_length: int
    seen: tuple[Seen, ...]
    """For each categorical feature, which of its values were in the training data."""

    num_dynamic_feat: int

    @classmethod
    def of(cls, settings: Settings, seen: Sequence[Seen]) -> Checks:
        """Those of a model."""
        return cls(
            settings.likelihood,
            settings.prediction_length,
            tuple(seen),
            settings.num_dynamic_feat,
        )

    @property
    def wanted(self) -> Wanted:
        """What is read of a series; the rest, the model has not learnt to look at."""
        return Wanted(bool(self.seen), bool(self.num_dynamic_feat))

    def request(self, series: Series) -> None:
        """Refuse a series that this model cannot forecast."""
        self._categories(series)
        self._features(series, (len(series.target) + self.prediction_length,))
        support(series, self.likelihood)

    def training(self, series: Series) -> None:
        """Refuse a series that this model cannot learn from, or be scored on."""
        if not len(series.target):
            raise FormatError(f"{series.place}: target is empty")
        self._categories(series)
        length = len(series.target)
        self._features(series, (length, length + self.prediction_length))
        support(series, self.likelihood)

    def _categories(self, series: Series) -> None:
        if not self.seen:
            return
        cat = series.cat
        if cat is None:
            raise FormatError(
                f"{series.place}: 'cat' is missing; the model takes {len(self.seen)} of them"
            )
        if len(cat) != len(self.seen):
            raise FormatError(
                f"{series.place}: cat has {len(cat)} values, the model takes {len(self.seen)}"
            )
        for i, (value, seen) in enumerate(zip(cat, self.seen, strict=True)):
            if value >= len(seen) or not seen[value]:
                raise FormatError(
                    f"{series.place}, cat[{i}]: {value} is not among the categories of the "
                    "training data"
                )

    def _features(self, series: Series, lengths: Sequence[int]) -> None:
        count = self.num_dynamic_feat
        if not count:
            return
        found = series.dynamic_feat
        if found is None:
            raise FormatError(
                f"{series.place}: 'dynamic_feat' is missing; the model takes {count} of them"
            )
        if len(found) != count:
            raise FormatError(
                f"{series.place}: dynamic_feat has {len(found)} arrays, the model takes {count}"
            )
        if found.shape[1] not in lengths:
            raise FormatError(
                f"{series.place}: dynamic_feat has {found.shape[1]} values for a target of "
                f"{len(series.target)}; it must have {' or '.join(map(str, lengths))}, with a "
                f"prediction_length of {self.prediction_length}"
            )


def support(series: Series, likelihood: str) -> None:
    """Refuse a target that is impossible under a likelihood."""
    target = series.target
    with np.errstate(invalid="ignore"):
        if likelihood == "negative-binomial":
            wrong, allowed = (target < 0) | (target % 1 != 0), "whole numbers from 0"
        elif likelihood == "beta":
            wrong, allowed = (target < 0) | (target > 1), "numbers from 0 to 1"
        else:
            return
    wrong &= ~np.isnan(target)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise FormatError(
            f"{series.place}, target[{i}]: {target[i]:g} is impossible under the likelihood "
            f"{likelihood}, which is of {allowed}"
        )


def categories(series: Sequence[Series]) -> int | None:
    """How many categorical features the series have, all alike; None of no series.

    Raises:
        FormatError: Some have others.
    """
    return _alike(series, "cat", [None if one.cat is None else len(one.cat) for one in series])


def dynamic_features(series: Sequence[Series]) -> int | None:
    """How many features that change with time the series have, all alike; None of no series.

    Raises:
        FormatError: Some have others.
    """
    counts = [None if one.dynamic_feat is None else len(one.dynamic_feat) for one in series]
    return _alike(series, "dynamic_feat", counts)


def _alike(series: Sequence[Series], name: str, counts: Sequence[int | None]) -> int | None:
    for one, count in zip(series, counts, strict=True):
        if (count or 0) != (counts[0] or 0):
            raise FormatError(
                f"{one.place}: {name} has {count or 0} entries, and {series[0].place} "
                f"{counts[0] or 0}; all series must have as many"
            )
    return (counts[0] or 0) if counts else None


def seen(series: Sequence[Series], count: int) -> list[Seen]:
    """Which values of each categorical feature occur."""
    found = []
    for i in range(count):
        values = [one.cat[i] for one in series if one.cat is not None]
        flags = np.zeros(max(values, default=-1) + 1, dtype=np.bool_)
        flags[values] = True
        found.append(flags)
    return found


def merged(parts: Sequence[Sequence[Seen]]) -> list[Seen]:
    """What occurs at any of several hosts."""
    found = []
    for flags in zip(*parts, strict=True):
        whole = np.zeros(max(map(len, flags)), dtype=np.bool_)
        for each in flags:
            whole[: len(each)] |= each
        found.append(whole)
    return found


def held_to(cardinality: Any, found: list[Seen]) -> list[Seen]:
    """The categories in the sizes that the `cardinality` hyperparameter states, where it does.

    Raises:
        CustomerError: The training data have others.
    """
    if not isinstance(cardinality, (list, tuple)):
        return found
    actual = [len(flags) for flags in found]
    if len(actual) != len(cardinality) or any(
        own > stated for own, stated in zip(actual, cardinality, strict=True)
    ):
        raise CustomerError(
            f"cardinality is {list(cardinality)}, but the categories of the train channel need "
            f"{actual}; state as much or more for each, or auto"
        )
    return [
        np.concatenate([flags, np.zeros(stated - len(flags), dtype=np.bool_)])
        for flags, stated in zip(found, cardinality, strict=True)
    ]
