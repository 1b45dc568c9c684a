"""One time series: how it is written, and what is wrong with one that is not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.formats.table import FormatError

Numbers = npt.NDArray[np.float32]

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Series:
    """A target with what is known of it.

    `place` says where it was read, for messages. Missing points of the target are NaN.
    """

    place: str
    start: datetime
    target: Numbers
    cat: tuple[int, ...] | None = None
    dynamic_feat: Numbers | None = None
    """One feature a row; each as long as the target, or longer by what is to be forecast."""


@dataclass(frozen=True)
class Wanted:
    """Which optional fields are read; the others are passed over unread."""

    cat: bool = True
    dynamic_feat: bool = True


def parse(fields: Mapping[str, Any], place: str, wanted: Wanted) -> Series:
    """A series from its fields, as JSON and Parquet give them.

    Raises:
        FormatError: A field is missing or wrong; names the place, the field and the element.
    """
    for name in ("start", "target"):
        if fields.get(name) is None:
            raise FormatError(f"{place}: '{name}' is missing")
    target = _numbers(fields["target"], f"{place}, target", missing=True)
    cat = fields.get("cat") if wanted.cat else None
    features = fields.get("dynamic_feat") if wanted.dynamic_feat else None
    return Series(
        place,
        _start(fields["start"], place),
        target,
        None if cat is None else _categories(cat, place),
        None if features is None else _features(features, place),
    )


def _start(value: Any, place: str) -> datetime:
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value.strip())
    if not isinstance(value, datetime):
        raise FormatError(f'{place}: start is {_shown(value)}; "YYYY-MM-DD HH:MM:SS" is allowed')
    if value.tzinfo is not None:
        raise FormatError(f"{place}: start has a time zone, which is not allowed: {value}")
    return value


def _categories(value: Any, place: str) -> tuple[int, ...]:
    # AWS's clients also write one category without an array.
    found = value if isinstance(value, list) else [value]
    for i, one in enumerate(found):
        if type(one) is not int or one < 0:
            raise FormatError(
                f"{place}, cat[{i}]: {_shown(one)} is no category; whole numbers from 0 are allowed"
            )
    return tuple(found)


def _features(value: Any, place: str) -> Numbers:
    if not isinstance(value, list) or not all(isinstance(one, list) for one in value):
        raise FormatError(f"{place}: dynamic_feat must be an array of arrays of numbers")
    rows = [
        _numbers(one, f"{place}, dynamic_feat[{i}]", missing=False) for i, one in enumerate(value)
    ]
    for i, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise FormatError(
                f"{place}: dynamic_feat[{i}] has {len(row)} values, and dynamic_feat[0] "
                f"{len(rows[0])}; all must be as long"
            )
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def _numbers(values: Any, place: str, *, missing: bool) -> Numbers:
    if not isinstance(values, list):
        raise FormatError(f"{place}: must be an array of numbers, and is {_shown(values)}")
    if not set(map(type, values)) <= {int, float}:
        values = [_number(one, f"{place}[{i}]", missing=missing) for i, one in enumerate(values)]
    try:
        found = np.array(values, dtype=np.float64)
    except OverflowError:
        raise FormatError(f"{place}: holds a whole number beyond 64 bits") from None
    wrong = ~(np.abs(found) <= _LARGEST)
    if missing:
        wrong &= ~np.isnan(found)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise FormatError(f"{place}[{i}]: {found[i]} is not a finite number of 32 bits")
    return found.astype(np.float32)


def _number(value: Any, place: str, *, missing: bool) -> float:
    if value is None or (isinstance(value, str) and value.lower() == "nan"):
        if missing:
            return float("nan")
        raise FormatError(f"{place}: a value is missing, which is not allowed here")
    if type(value) not in (int, float):
        raise FormatError(
            f"{place}: {_shown(value)} is not a number"
            + ('; null and "NaN" stand for a missing value' if missing else "")
        )
    return float(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
