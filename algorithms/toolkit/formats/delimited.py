"""CSV: numbers only, no header, one record a line.

Commas part the numbers. Where AWS's algorithm finds another delimiter by itself, so does `read`;
elsewhere the refusal names it.

A fast reader first; only when it refuses does a slow one go through the text to say where and why.
Text is always read as a 64-bit number and then rounded to 32, so that the same text gives the same
value whichever reader took it.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from algorithms.toolkit import content
from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.table import FloatArray, FormatError
from algorithms.toolkit.formats.text import unmarked

# From here on the start-up of pyarrow (0.1 s) is repaid by its reader, which is twice as fast.
BULK_BYTES = 2 * 1024 * 1024

# A first line is looked at up to here, to tell what parts it.
_SMALL = 64 * 1024
_NUMERIC = b"0123456789+-.eE,\n "


def read(
    body: bytes,
    name: str,
    *,
    missing: bool = False,
    bulk: bool = True,
    before: int = 0,
    any_delimiter: bool = False,
) -> FloatArray:
    """The numbers of a CSV text, one row a line.

    Args:
        body: the text.
        name: the file or payload, for error messages.
        missing: whether an empty field or `nan` is a missing value, or an error.
        bulk: whether a reader that takes long to start may be used for a large text.
        before: how many lines came before it, where it is a piece of a longer text.
        any_delimiter: whether the first line may show another delimiter than the comma.

    Raises:
        FormatError: It is no such text; names line and column.
    """
    whole = body
    body = unmarked(body, name)
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    before += len(body) - len(body.lstrip(b"\n"))
    body = body.strip(b"\n")
    if not body.strip():
        raise FormatError(f"{name} is empty")
    first = body[:_SMALL].partition(b"\n")[0]
    # A line with a comma is parted by commas or by nothing, and a wide one takes long to look at.
    found = "," if b"," in first else sniffing.delimiter(first) or ","
    if found != ",":
        if not any_delimiter:
            raise FormatError(
                f"{name}, line {before + 1}: the columns are parted by {sniffing.shown(found)}; "
                "commas are needed"
            )
        if b"," in body or b'"' in body:
            # A comma may be a decimal mark, or a quoted text hold the delimiter.
            return _slow(body, whole, name, before, missing=missing, delimiter=found)
        body = b"\n".join(line.strip(b" ") for line in body.split(b"\n"))
        body = body.replace(found.encode(), b",")
    numbers = _bulk(body) if bulk and len(body) >= BULK_BYTES else _quick(body)
    if numbers is None:
        numbers = _tolerant(body)
    if numbers is not None:
        narrow = _narrow(numbers)
        # A sum is finite only if every term is, short of an overflow, which the slow pass forgives.
        if np.isfinite(narrow.sum(dtype=np.float64)):
            return narrow
    return _slow(body, whole, name, before, missing=missing)


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


def _slow(
    body: bytes, whole: bytes, name: str, before: int, *, missing: bool, delimiter: str = ","
) -> FloatArray:
    """Read line by line; `whole` is the text before anything was taken from it."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        line = before + 1 + body.count(b"\n", 0, error.start)
        seems = sniffing.hint(whole, content.CSV) or "; is it really text/csv?"
        raise FormatError(f"{name}, line {line}: not UTF-8 text{seems}") from None
    rows: list[list[float]] = []
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        for fields in reader:
            if not fields:
                continue
            where = f"{name}, line {before + reader.line_num}"
            if rows and len(fields) != len(rows[0]):
                raise FormatError(
                    f"{where}: {len(fields)} columns, where the lines before have {len(rows[0])}"
                )
            try:
                row = [
                    _number(field, f"{where}, column {column}", missing=missing)
                    for column, field in enumerate(fields, 1)
                ]
            except FormatError as error:
                first = before + reader.line_num == 1
                seems = _seems(whole, fields) if first else ""
                raise FormatError(f"{error}{seems}") from None
            rows.append(row)
    except csv.Error as error:
        raise FormatError(f"{name}, line {before + reader.line_num}: {error}") from None
    return np.array(rows, dtype=np.float64).astype(np.float32)


def _seems(body: bytes, fields: list[str]) -> str:
    """What the first line of a text shows it to be, where that is no line of numbers."""
    if seems := sniffing.hint(body, content.CSV):
        return seems
    if not any(map(sniffing.is_number, fields)):
        return ". The file seems to begin with a header, which must be removed"
    return ""


def _number(field: str, where: str, *, missing: bool) -> float:
    field = field.strip()
    if missing and not field:
        return float("nan")
    try:
        # Python also reads 1_000 and digits of other scripts, which no other reader of CSV does.
        value = float("_" if "_" in field or not field.isascii() else field)
    except ValueError:
        shown = field if len(field) <= 40 else field[:37] + "..."
        what = f"'{shown}' is not a number" if field else "empty; missing values are not allowed"
        raise FormatError(f"{where}: {what}") from None
    if value != value:
        if missing:
            return value
        raise FormatError(f"{where}: NaN; missing values are not allowed")
    if abs(value) > float(np.finfo(np.float32).max):
        raise FormatError(f"{where}: {field} is not a finite number of 32 bits")
    return value
