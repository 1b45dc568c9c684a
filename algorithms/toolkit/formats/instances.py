"""JSON and JSON Lines requests: instances in the short, the long and the sparse form."""

from __future__ import annotations

from typing import Any

import numpy as np

from algorithms.toolkit.formats.table import FormatError, Table
from algorithms.toolkit.formats.text import json_lines, json_of

_FORMS = '{"features": [...]} or {"data": {"features": {"values": [...]}}}'


def read_json(body: bytes, name: str) -> Table:
    """The instances of an `application/json` request."""
    document = json_of(body, name)
    if not isinstance(document, dict) or not isinstance(document.get("instances"), list):
        raise FormatError(f'{name}: must be {{"instances": [...]}}, each instance {_FORMS}')
    if not document["instances"]:
        raise FormatError(f"{name}: holds no instance")
    places = [f"{name}, instance {number}" for number in range(1, len(document["instances"]) + 1)]
    return _table(list(zip(places, document["instances"], strict=True)), name)


def read_jsonlines(body: bytes, name: str) -> Table:
    """The instances of an `application/jsonlines` request, one a line."""
    found = json_lines(body, name)
    if not found:
        raise FormatError(f"{name} is empty")
    return _table(found, name)


def _table(instances: list[tuple[str, Any]], name: str) -> Table:
    rows: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    for where, instance in instances:
        features = instance.get("features") if isinstance(instance, dict) else None
        if (
            features is None
            and isinstance(instance, dict)
            and isinstance(instance.get("data"), dict)
        ):
            features = instance["data"].get("features")
        keys = shape = None
        if isinstance(features, dict):
            keys, shape = features.get("keys"), features.get("shape")
            features = features.get("values")
        if not isinstance(features, list):
            raise FormatError(f"{where}: must be {_FORMS}")
        values = _numbers(features, f"{where}, value")
        row = values if keys is None else _spread(values, keys, shape, where)
        if rows and len(row) != len(rows[0]):
            raise FormatError(f"{where}: {len(row)} values, where those before have {len(rows[0])}")
        rows.append(row)
    return Table(np.stack(rows), files=((name, len(rows)),))


def _numbers(values: list[Any], where: str) -> Any:
    for position, value in enumerate(values, 1):
        # bool is a kind of int to Python, and not a number to anybody else.
        if type(value) is not float and type(value) is not int:
            raise FormatError(f"{where} {position}: {value!r} is not a number")
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float64).astype(np.float32)


def _spread(values: Any, keys: Any, shape: Any, where: str) -> Any:
    if not isinstance(shape, list) or len(shape) != 1 or type(shape[0]) is not int or shape[0] < 1:
        raise FormatError(
            f"{where}: a sparse instance needs a shape of one dimension, the number of features"
        )
    # One short body must not claim gigabytes of zeros.
    if shape[0] > 10_000_000:
        raise FormatError(f"{where}: shape {shape} is wider than any model")
    if not isinstance(keys, list) or len(keys) != len(values):
        raise FormatError(f"{where}: keys and values must be lists of the same length")
    row = np.zeros(shape[0], dtype=np.float32)
    seen: set[int] = set()
    for key in keys:
        if type(key) is not int or not 0 <= key < shape[0]:
            raise FormatError(f"{where}: key {key!r} is outside of the shape {shape}")
        if key in seen:
            raise FormatError(f"{where}: key {key} is there twice")
        seen.add(key)
    row[keys] = values
    return row
