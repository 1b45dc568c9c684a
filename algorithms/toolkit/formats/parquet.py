"""Parquet files: columns of numbers."""

from __future__ import annotations

import numpy as np

from algorithms.toolkit import content
from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.table import FloatArray, FormatError


def read(body: bytes, name: str) -> FloatArray:
    """The numbers of a parquet file; a null is a missing value."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(pa.BufferReader(body))
    except (pa.ArrowInvalid, OSError) as error:
        seems = sniffing.hint(body, content.PARQUET)
        raise FormatError(f"{name}: not a readable parquet file: {error}{seems}") from None
    numbers = np.empty((table.num_rows, table.num_columns), dtype=np.float32)
    for i, (title, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        kind = column.type
        if not (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        ):
            raise FormatError(
                f"{name}, column {i + 1} ('{title}'): holds {kind}, only numbers are allowed"
            )
        numbers[:, i] = column.cast(pa.float64(), safe=False).to_numpy()
    if not len(numbers):
        raise FormatError(f"{name} is empty")
    return numbers
