"""Time series out of the files of a channel: JSON Lines, plain or in gzip, and Parquet."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from algorithms.deepar.series import Series, Wanted, parse
from algorithms.toolkit import content
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.sniffing import MARK
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import refuse_binary, unmarked
from algorithms.toolkit.job import Channel

_JSON = {"json", content.JSON, content.JSON_LINES}
_PARQUET = {content.PARQUET}
_ANY = {"auto"}
_ROWS = 64
# What is looked at to tell what a file is.
_HEAD = 4096
# A series of 4 million numbers.
_LINE_BYTES = 64 << 20


def read(channel: Channel, wanted: Wanted) -> list[Series]:
    """All series of a channel, in the order of its files.

    What a file is follows from its extension, and else from the channel's content type.

    Raises:
        CustomerError, FormatError: A file is of neither form, or broken.
    """
    kind = channel.content_type.name if channel.content_type else "auto"
    if kind not in _JSON | _PARQUET | _ANY:
        raise CustomerError(
            f"Content type '{kind}' of channel '{channel.name}' is not supported; json, parquet "
            "and auto are allowed"
        )
    found: list[Series] = []
    for path in channel.files():
        title = channel.title(path)
        form = _form(path) or kind
        if form in _ANY:
            raise CustomerError(
                f"{title}: neither its name nor the content type of channel '{channel.name}' says "
                "what it is; end its name in .json, .json.gz or .parquet, or set the content type "
                "to json or parquet"
            )
        found += _parquet(path, title, wanted) if form in _PARQUET else _json(path, title, wanted)
    return found


def lines(rows: Iterable[bytes], title: str, wanted: Wanted) -> Iterator[Series]:
    """Series from JSON Lines; `title` is put before the number of a line in messages."""
    for number, line in enumerate(rows, 1):
        if not line.strip():
            continue
        place = f"{title}line {number}"
        fields = decoded(line, place)
        if not isinstance(fields, dict):
            raise FormatError(f"{place}: must be a JSON object with start and target")
        yield parse(fields, place, wanted)


def decoded(body: bytes, place: str) -> Any:
    """The value of a JSON text, which may hold NaN as Python and others write it.

    Raises:
        FormatError: It is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    if body.startswith(MARK):
        return decoded(body.removeprefix(MARK), place)
    unmarked(body, place)
    try:
        return json.loads(body)
    except RecursionError:
        raise FormatError(f"{place}: Error when parsing json: it is nested too deeply") from None
    except ValueError as error:
        seems = sniffing.hint(body, content.JSON)
        raise FormatError(f"{place}: Error when parsing json: {error}{seems}") from None


def _form(path: Path) -> str | None:
    name = path.name.lower()
    if name.endswith((".json", ".json.gz", ".jsonl", ".jsonl.gz")):
        return content.JSON
    return content.PARQUET if name.endswith(".parquet") else None


def _json(path: Path, title: str, wanted: Wanted) -> Iterator[Series]:
    with path.open("rb") as raw:
        head = raw.read(_HEAD)
        packed = head.startswith(b"\x1f\x8b")
        if not packed:
            refuse_binary(head, title)
        raw.seek(0)
        # raw is closed, and it is no file of its own.
        file: BinaryIO | gzip.GzipFile = gzip.open(raw) if packed else raw  # noqa: SIM115
        try:
            yield from lines(_bounded(file, title), f"{title}, ", wanted)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FormatError(f"{title}: not a readable gzip file: {error}") from None


def _bounded(file: BinaryIO | gzip.GzipFile, title: str) -> Iterator[bytes]:
    """Lines, none of them longer than memory is there for: 1,000 bytes of gzip may be 1 MB."""
    number = 0
    while line := file.readline(_LINE_BYTES + 1):
        number += 1
        if len(line) > _LINE_BYTES:
            raise FormatError(
                f"{title}, line {number}: has more than {_LINE_BYTES:,} bytes, the most that a "
                "time series may have"
            )
        yield line


def _parquet(path: Path, title: str, wanted: Wanted) -> Iterator[Series]:
    import pyarrow as pa
    from pyarrow import parquet

    names = ["start", "target", *(["cat"] if wanted.cat else [])]
    names += ["dynamic_feat"] if wanted.dynamic_feat else []
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            known = [name for name in names if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=_ROWS, columns=known):
                for fields in batch.to_pylist():
                    number += 1
                    yield parse(fields, f"{title}, row {number}", wanted)
    except (pa.ArrowException, OSError) as error:
        with path.open("rb") as raw:
            seems = sniffing.hint(raw.read(4096), content.PARQUET)
        raise FormatError(f"{title}: not a readable parquet file: {error}{seems}") from None
