"""Windows out of many series: where one begins to be forecast, what is known before it and after.

They are those of GluonTS's InstanceSplitter: what lies before a series' first point is 0 and not
observed, and so is what is missing. All windows of a batch are cut at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from algorithms.deepar.frequency import Frequency
from algorithms.deepar.network import Settings
from algorithms.deepar.series import Series

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Flat:
    """Values of all series, one series behind another, and where each begins and ends."""

    values: npt.NDArray[Any]
    starts: Counts
    lengths: Counts

    @classmethod
    def of(cls, parts: Sequence[npt.NDArray[Any]]) -> _Flat:
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        # One more, so that a part of which there is nothing has an end to point at.
        end = np.zeros((1, *parts[0].shape[1:]), parts[0].dtype)
        return cls(np.concatenate([*parts, end]), np.cumsum(lengths) - lengths, lengths)

    def cut(self, which: Counts, at: Counts) -> npt.NDArray[Any]:
        """The values of series at these places, one row each; 0 where a series has none."""
        lengths = self.lengths[which][:, None]
        inside = (at >= 0) & (at < lengths)
        found = self.values[
            self.starts[which][:, None] + np.clip(at, 0, np.maximum(lengths - 1, 0))
        ]
        found[~inside] = 0
        return found


class Windows:
    """The windows of some series."""

    def __init__(self, series: Sequence[Series], settings: Settings, device: Any = None) -> None:
        self._settings = settings
        self._device = device
        self._past = settings.context_length + max(settings.lags) - 1
        self._target = _Flat.of([one.target for one in series])
        self._categories = np.array(
            [one.cat if settings.cardinality else (0,) for one in series], dtype=np.int64
        )
        self._dynamic = (
            _Flat.of([_columns(one) for one in series]) if settings.num_dynamic_feat else None
        )
        self._moments = _Moments(series, settings)
        self.lengths = self._target.lengths
        # Of a series that is shorter than what is forecast there is one window.
        self._counts = np.maximum(self.lengths - settings.prediction_length, 0) + 1
        self._ends = np.cumsum(self._counts)

    @property
    def total(self) -> int:
        """How many windows there are to train on."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def chosen(self, numbers: Counts) -> dict[str, Any]:
        """Windows to train on, by their numbers among all, with their futures."""
        which = np.searchsorted(self._ends, numbers, side="right")
        return self.cut(which, numbers - (self._ends - self._counts)[which], future=True)

    def cut(self, which: Counts, begin: Counts, *, future: bool = False) -> dict[str, Any]:
        """What the network is told of series that are to be forecast from a point on."""
        ahead = np.arange(self._settings.prediction_length)
        past = begin[:, None] + np.arange(-self._past, 0)
        near = begin[:, None] + np.arange(-self._settings.context_length, len(ahead))
        target = self._target.cut(which, past)
        features = self._moments.cut(which, near)
        if self._dynamic:
            features = np.concatenate([features, self._dynamic.cut(which, near)], axis=2)
        context = self._settings.context_length
        # The network looks for what is observed in the context only.
        observed = self._target.cut(which, near[:, :context])
        inside = (near >= 0) & (near < self.lengths[which][:, None])
        found = {
            "feat_static_cat": self._categories[which],
            "feat_static_real": np.zeros((len(which), 1), np.float32),
            "past_time_feat": features[:, :context],
            "past_target": np.nan_to_num(target, nan=0.0),
            "past_observed_values": inside[:, :context] & ~np.isnan(observed),
            "future_time_feat": features[:, context:],
        }
        if future:
            coming = self._target.cut(which, near[:, context:])
            found["future_target"] = np.nan_to_num(coming, nan=0.0)
            found["future_observed_values"] = inside[:, context:] & ~np.isnan(coming)
        return {name: self._tensor(value) for name, value in found.items()}

    def _tensor(self, values: npt.NDArray[Any]) -> Any:
        kind = np.int64 if values.dtype == np.int64 else np.float32
        tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=kind))
        return tensor.to(self._device) if self._device is not None else tensor


def _columns(series: Series) -> npt.NDArray[np.float32]:
    assert series.dynamic_feat is not None  # noqa: S101 checked when it was read
    return series.dynamic_feat.T


class _Moments:
    """Features of the time of each point, kept once for all series with the same start."""

    def __init__(self, series: Sequence[Series], settings: Settings) -> None:
        frequency = Frequency.parse(settings.time_freq)
        ordinals = [frequency.ordinal(one.start) for one in series]
        longest: dict[int, int] = {}
        for ordinal, one in zip(ordinals, series, strict=True):
            length = len(one.target) + settings.prediction_length
            longest[ordinal] = max(longest.get(ordinal, 0), length)
        numbers = {ordinal: number for number, ordinal in enumerate(longest)}
        self._table = _Flat.of(
            [frequency.table(settings.time_features, *each) for each in longest.items()]
        )
        self._which = np.array([numbers[ordinal] for ordinal in ordinals], dtype=np.int64)

    def cut(self, which: Counts, at: Counts) -> npt.NDArray[np.float32]:
        """The features of points and, behind them, the age of the series."""
        features = self._table.cut(self._which[which], at)
        age = np.where(at >= 0, np.log10(2.0 + np.maximum(at, 0)), 0).astype(np.float32)
        return np.concatenate([features, age[:, :, None]], axis=2)
