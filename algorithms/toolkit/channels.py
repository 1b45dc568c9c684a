"""Reading the files of a channel by its content type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from algorithms.toolkit import content
from algorithms.toolkit.content import ContentType
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import delimited, libsvm, parquet, recordio
from algorithms.toolkit.formats.table import (
    FloatArray,
    FormatError,
    Table,
    join,
    refuse_infinite,
)
from algorithms.toolkit.job import Channel


def read_channel(
    channel: Channel,
    *,
    allowed: Sequence[str],
    default: str = content.RECORDIO,
    label_size: int = 1,
    weights: bool = False,
    missing: bool = False,
) -> Table:
    """All records of a channel in memory.

    Args:
        channel: whose files to read.
        allowed: the content types that the algorithm takes.
        default: the content type of a channel that names none, as the estimators of AWS's own
            SDK do for the records that they upload.
        label_size: how many columns of a text file are the label, 0 or 1.
        weights: whether the column after the label is the weight of a record.
        missing: whether a feature may be missing.
    """
    kind = channel.content_type or ContentType(default)
    if kind.name not in allowed:
        raise CustomerError(
            f"Content type '{kind.name}' of channel '{channel.name}' is not supported; "
            f"{', '.join(allowed)} are allowed"
        )
    given = kind.parameters.get("label_size", str(label_size))
    if given != str(label_size):
        raise CustomerError(
            f"Content type of channel '{channel.name}': label_size={given} is not supported; "
            f"label_size={label_size} is allowed"
        )
    tables = []
    for path in channel.files():
        table = _read(kind, path.read_bytes(), channel.title(path), label_size, weights, missing)
        tables.append(table)
    table = join(tables)
    refuse_infinite(table, missing=missing)
    for column, what in ((table.labels, "label"), (table.weights, "weight")):
        if column is not None and not np.isfinite(column).all():
            row = int(np.flatnonzero(~np.isfinite(column))[0])
            raise FormatError(f"{table.place(row)}: the {what} is {column[row]}, not a number")
    return table


def _read(
    kind: ContentType, body: bytes, name: str, label_size: int, weights: bool, missing: bool
) -> Table:
    if kind.name == content.RECORDIO:
        return recordio.read(body, name, labelled=label_size > 0)
    if kind.name == content.LIBSVM:
        return libsvm.read(body, name)
    if kind.name == content.PARQUET:
        numbers = parquet.read(body, name)
    else:
        numbers = delimited.read(body, name, missing=missing)
    return split(numbers, name, label_size, weights=weights)


def split(numbers: FloatArray, name: str, label_size: int, *, weights: bool = False) -> Table:
    """The columns of a text file as label, weight and features."""
    first = label_size + int(weights)
    if numbers.shape[1] <= first:
        raise FormatError(
            f"{name}: {numbers.shape[1]} columns; {first} before the features and at least "
            "one feature are needed"
        )
    return Table(
        np.ascontiguousarray(numbers[:, first:]),
        np.ascontiguousarray(numbers[:, 0]) if label_size else None,
        np.ascontiguousarray(numbers[:, label_size]) if weights else None,
        files=((name, len(numbers)),),
    )
