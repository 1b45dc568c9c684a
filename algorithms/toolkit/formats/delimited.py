"""CSV: numbers only, no header, one record a line.

A fast reader first; only when it refuses does a slow one go through the text to say where and why.
Text is always read as a 64-bit number and then rounded to 32, so that the same text gives the same
value whichever reader took it.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from algorithms.toolkit.formats.table import FloatArray, FormatError

# From here on the start-up of pyarrow (0.1 s) is repaid by its reader, which is twice as fast.
BULK_BYTES = 2 * 1024 * 1024

_NUMERIC = b"0123456789+-.eE,\n "


def read(
    body: bytes, name: str, *, missing: bool = False, bulk: bool = True, before: int = 0
) -> FloatArray:
    """The numbers of a CSV text, one row a line.

    Args:
        body: the text.
        name: the file or payload, for error messages.
        missing: whether an empty field or `nan` is a missing value, or an error.
        bulk: whether a reader that takes long to start may be used for a large text.
        before: how many lines came before it, where it is a piece of a longer text.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    before += len(body) - len(body.lstrip(b"\n"))
    body = body.strip(b"\n")
    if not body.strip():
        raise FormatError(f"{name} is empty")
    numbers = _bulk(body) if bulk and len(body) >= BULK_BYTES else _quick(body)
    if numbers is None:
        numbers = _tolerant(body)
    if numbers is not None:
        narrow = _narrow(numbers)
        # A sum is finite only if every term is, short of an overflow, which the slow pass forgives.
        if np.isfinite(narrow.sum(dtype=np.float64)):
            return narrow
    return _slow(body, name, before, missing=missing)


def _narrow(numbers: Any) -> FloatArray:
    # Too large a number becomes infinite here, and the slow pass then names its place.
    with np.errstate(over="ignore"):
        return np.asarray(numbers, dtype=np.float32)


def _quick(body: bytes) -> Any:
    """Read as JSON: by far the fastest, where the text has nothing but plain numbers."""
    import orjson

    # JSON knows more than numbers (true, null, strings), which a CSV must not smuggle in.
    if body.translate(None, _NUMERIC):
        return None
    try:
        return np.array(orjson.loads(b"[[" + body.replace(b"\n", b"],[") + b"]]"), dtype=np.float64)
    except ValueError:
        return None


def _bulk(body: bytes) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    columns = body.split(b"\n", 1)[0].count(b",") + 1
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(body),
            read_options=arrow_csv.ReadOptions(autogenerate_column_names=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types={f"f{i}": pa.float64() for i in range(columns)},
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid:
        return None
    numbers = np.empty((table.num_rows, table.num_columns), dtype=np.float64)
    for i, column in enumerate(table.columns):
        numbers[:, i] = column.to_numpy()
    return numbers


def _tolerant(body: bytes) -> Any:
    """Read with numpy, which also takes quotes, `+1`, `.5` and `1.`."""
    try:
        return np.loadtxt(
            io.BytesIO(body), delimiter=",", ndmin=2, comments=None, quotechar='"', dtype=np.float64
        )
    except ValueError:
        return None


def _slow(body: bytes, name: str, before: int, *, missing: bool) -> FloatArray:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        line = before + 1 + body.count(b"\n", 0, error.start)
        raise FormatError(f"{name}, line {line}: not UTF-8 text; is it really text/csv?") from None
    rows: list[list[float]] = []
    reader = csv.reader(io.StringIO(text))
    try:
        for fields in reader:
            if not fields:
                continue
            where = f"{name}, line {before + reader.line_num}"
            if rows and len(fields) != len(rows[0]):
                raise FormatError(
                    f"{where}: {len(fields)} columns, where the lines before have {len(rows[0])}"
                )
            rows.append(
                [
                    _number(field, where, column, fields, missing=missing)
                    for column, field in enumerate(fields, 1)
                ]
            )
    except csv.Error as error:
        raise FormatError(f"{name}, line {before + reader.line_num}: {error}") from None
    return np.array(rows, dtype=np.float64).astype(np.float32)


def _number(field: str, where: str, column: int, fields: list[str], *, missing: bool) -> float:
    field = field.strip()
    if missing and not field:
        return float("nan")
    try:
        # Python also reads 1_000, which no other reader of CSV does.
        value = float("_" if "_" in field else field)
    except ValueError:
        shown = field if len(field) <= 40 else field[:37] + "..."
        what = f"'{shown}' is not a number" if field else "empty; missing values are not allowed"
        hint = ""
        if where.endswith(", line 1") and not any(map(_is_number, fields)):
            hint = ". The file seems to begin with a header, which must be removed"
        raise FormatError(f"{where}, column {column}: {what}{hint}") from None
    if value != value:
        if missing:
            return value
        raise FormatError(f"{where}, column {column}: NaN; missing values are not allowed")
    if abs(value) > float(np.finfo(np.float32).max):
        raise FormatError(f"{where}, column {column}: {field} is not a finite number of 32 bits")
    return value


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
