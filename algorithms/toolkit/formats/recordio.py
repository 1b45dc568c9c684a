"""RecordIO-protobuf: Record messages in MXNet's frames, dense or sparse.

A frame is the magic number, the length (its top three bits a continuation flag, always 0 here), the
message, and zeros up to a multiple of four bytes.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from algorithms.toolkit import content
from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.table import FormatError, Table

MAGIC = 0xCED7230A
HEADER = struct.Struct("<II")
LENGTH = (1 << 29) - 1
_FEATURES = "values"


def frame(message: bytes) -> bytes:
    """A message as one RecordIO record."""
    return HEADER.pack(MAGIC, len(message)) + message + bytes(-len(message) % 4)


def frames(body: bytes, name: str, before: int = 0, offset: int = 0) -> Iterator[memoryview]:
    """The messages of a RecordIO text, checked as they come.

    Args:
        body: the text.
        name: the file or payload, for error messages.
        before: how many records came before it, where it is a piece of a longer text.
        offset: how many bytes came before it.
    """
    view = memoryview(body)
    start, number = 0, before
    while start < len(body):
        number += 1
        where = f"{name}, record {number}, byte {offset + start}"
        if len(body) - start < HEADER.size:
            seems = sniffing.hint(body, content.RECORDIO) if not start else ""
            raise FormatError(f"{where}: truncated in the header of the record{seems}")
        magic, length = HEADER.unpack_from(view, start)
        if magic != MAGIC:
            raise FormatError(
                f"{where}: not RecordIO: found 0x{magic:08X} in place of 0x{MAGIC:08X}"
                + (sniffing.hint(body, content.RECORDIO) if not start else "")
            )
        if length > LENGTH:
            raise FormatError(f"{where}: records in several parts are not supported")
        end = start + HEADER.size + length
        if end > len(body):
            raise FormatError(
                f"{where}: truncated: the record says {length} bytes, "
                f"{len(body) - start - HEADER.size} are left"
            )
        yield view[start + HEADER.size : end]
        start = end + (-length % 4)


def read(
    body: bytes,
    name: str,
    *,
    labelled: bool = False,
    before: int = 0,
    offset: int = 0,
    width: int | None = None,
) -> Table:
    """The records of a RecordIO-protobuf text.

    Args:
        body: the text.
        name: the file or payload, for error messages.
        labelled: whether each record must have a label; otherwise it may.
        before: how many records came before it, where it is a piece of a longer text.
        offset: how many bytes came before it.
        width: how many features sparse records without a shape have; one more than the largest
            key where it is not known.

    Raises:
        FormatError: It is no such text; names the record.
    """
    table = _uniform(body, name, before) or _sparse(body, name, before, width)
    if table is None:
        table = _general(body, name, before, offset, width)
    if labelled and table.labels is None:
        raise FormatError(f"{name}, record {before + 1}: has no label 'values'")
    return table


def _uniform(body: bytes, name: str, before: int) -> Table | None:
    """Read a whole file at once where records differ in nothing but their numbers."""
    if len(body) < HEADER.size:
        return None
    magic, length = HEADER.unpack_from(body, 0)
    stride = HEADER.size + length + (-length % 4)
    if magic != MAGIC or length > LENGTH or len(body) % stride:
        return None
    spans = _spans(body[HEADER.size : HEADER.size + length])
    if spans is None:
        return None
    columns = [slice(HEADER.size + s.start, HEADER.size + s.stop) for s in spans if s]
    table = np.frombuffer(body, dtype=np.uint8).reshape(-1, stride)
    # Whatever is no number of a feature or a label must be the same in all: frames, tags, lengths.
    begin = 0
    for column in (*sorted(columns, key=lambda each: each.start), slice(stride, stride)):
        if (table[:, begin : column.start] != table[0, begin : column.start]).any():
            return None
        begin = column.stop
    features, *label = (np.ascontiguousarray(table[:, c]).view("<f4") for c in columns)
    return Table(
        features.astype(np.float32, copy=False),
        label[0][:, 0].astype(np.float32) if label else None,
        files=((name, len(table)),),
        before=before,
    )


def _sparse(body: bytes, name: str, before: int, known: int | None) -> Table | None:
    """Read sparse records of 32-bit floats together; None where any is of another kind or wrong."""
    from google.protobuf.message import DecodeError

    kind = record_class()
    values, keys = array("f"), array("Q")
    counts, labels = [0], array("f")
    shape: list[int] | None = None
    try:
        for message in frames(body, name):
            record = kind.FromString(bytes(message))
            if len(record.features) != 1 or _FEATURES not in record.features:
                return None
            tensor = record.features[_FEATURES].float32_tensor
            shape = list(tensor.shape) if shape is None else shape
            # A dense record has no keys.
            if len(shape) > 1 or tensor.shape != shape or len(tensor.keys) != len(tensor.values):
                return None
            values.extend(tensor.values)
            keys.extend(tensor.keys)
            counts.append(len(keys))
            if record.label:
                if len(record.label) != 1 or _FEATURES not in record.label:
                    return None
                labels.extend(record.label[_FEATURES].float32_tensor.values)
                if len(labels) != len(counts) - 1:
                    return None
    except (DecodeError, FormatError):
        return None
    columns, stops = np.array(keys, dtype=np.uint64), np.array(counts)
    # Without any key or shape it may be one of another kind.
    if not (shape or len(keys)):
        return None
    if not shape and columns.max() > _LARGEST_KEY:
        return None
    rows, width = len(counts) - 1, shape[0] if shape else known or int(columns.max()) + 1
    if not rows or (labels and len(labels) != rows) or (len(keys) and columns.max() >= width):
        return None
    places = columns.astype(np.int64)
    if rows * width >= 1 << 62 or (
        len(np.unique(np.repeat(np.arange(rows), np.diff(stops)) * width + places)) != len(places)
    ):
        return None

    from scipy.sparse import csr_matrix

    found = np.array(values, dtype=np.float32)
    return Table(
        csr_matrix((found, places, stops), shape=(rows, width)),
        np.array(labels, dtype=np.float32) if labels else None,
        files=((name, rows),),
        before=before,
    )


def _spans(message: bytes) -> tuple[slice, slice | None] | None:
    """Where the float32 values of the features and of the label lie in a plain dense message."""
    try:
        record = parse(message, "")
    except FormatError:
        # The general reader says so with the place.
        return None
    if set(record.features) != {_FEATURES} or not set(record.label) <= {_FEATURES}:
        return None
    tensors = [record.features[_FEATURES]]
    if record.label:
        tensors.append(record.label[_FEATURES])
    for value in tensors:
        tensor = value.float32_tensor
        if value.WhichOneof("value") != "float32_tensor" or tensor.keys or not tensor.values:
            return None
        if tensor.shape and np.prod(tensor.shape, dtype=object) != len(tensor.values):
            return None
    if record.label and len(tensors[1].float32_tensor.values) != 1:
        return None
    spans: list[slice] = []
    for tag in b"\x0a\x12":
        if tag == 0x12 and not record.label:
            break
        span = slice(0, len(message))
        # Record -> map entry -> Value -> Float32Tensor -> packed values
        for wanted in (tag, 0x12, 0x12, 0x0A):
            inner = _inside(message, span, wanted)
            if inner is None:
                return None
            span = inner
        spans.append(span)
    return spans[0], spans[1] if len(spans) > 1 else None


def _inside(message: bytes, span: slice, wanted: int) -> slice | None:
    """The content of the only field of a tag within a span of length-delimited fields."""
    position, found = span.start, None
    while position < span.stop:
        tag = message[position]
        if tag & 7 != 2 or tag & 0x80:
            return None
        length, shift, position = 0, 0, position + 1
        while True:
            byte = message[position]
            length |= (byte & 0x7F) << shift
            position, shift = position + 1, shift + 7
            if not byte & 0x80:
                break
        if tag == wanted:
            if found is not None:
                return None
            found = slice(position, position + length)
        position += length
    return found


def parse(message: bytes | memoryview, where: str) -> Any:
    """The Record of a message.

    Raises:
        FormatError: The message, which is at this place, is none.
    """
    from google.protobuf.message import DecodeError

    try:
        return record_class().FromString(bytes(message))
    except DecodeError:
        raise FormatError(f"{where}: not a protobuf Record") from None


def _general(body: bytes, name: str, before: int, offset: int, known: int | None) -> Table:
    rows: list[tuple[Any, Any]] = []
    labels: list[float] = []
    kind: bool | None = None
    width: int | None = None
    for number, message in enumerate(frames(body, name, before, offset), 1):
        where = f"{name}, record {before + number}"
        record = parse(message, where)
        if _FEATURES not in record.features:
            raise FormatError(f"{where}: has no feature 'values'")
        values, keys, own = _tensor(record.features[_FEATURES], f"{where}, feature 'values'")
        if kind is None:
            kind = keys is not None
        if kind != (keys is not None):
            raise FormatError(
                f"{where}: {'sparse' if keys is not None else 'dense'}, unlike the records before"
            )
        if own is not None and width is not None and own != width:
            raise FormatError(f"{where}: {own} features, where the records before have {width}")
        width = own if width is None else width
        rows.append((values, keys))
        if record.label:
            if _FEATURES not in record.label:
                raise FormatError(f"{where}: has a label, but none named 'values'")
            label, _, _ = _tensor(record.label[_FEATURES], f"{where}, label 'values'")
            if len(label) != 1:
                raise FormatError(f"{where}: the label has {len(label)} values, 1 is allowed")
            labels.append(float(label[0]))
        if labels and len(labels) != number:
            raise FormatError(f"{where}: some records have a label and some have none")
    if not rows:
        raise FormatError(f"{name} is empty")
    files = ((name, len(rows)),)
    column = np.array(labels, dtype=np.float32) if labels else None
    if not kind:
        dense = np.stack([values for values, _ in rows])
        return Table(dense, column, files=files, before=before)

    from scipy.sparse import csr_matrix

    places = np.concatenate([keys for _, keys in rows])
    starts = np.cumsum([0, *(len(keys) for _, keys in rows)])
    if width is None:
        width = known or (int(places.max()) + 1 if len(places) else 1)
    outside = np.flatnonzero(places >= width)
    if len(outside):
        row = int(np.searchsorted(starts, outside[0], side="right"))
        raise FormatError(
            f"{name}, record {before + row}, feature 'values': key {places[outside[0]]}, where a "
            f"record has {width} features: keys are from 0 to {width - 1}"
        )
    features = csr_matrix(
        (np.concatenate([values for values, _ in rows]), places, starts), shape=(len(rows), width)
    )
    return Table(features, column, files=files, before=before)


# A sparse record without a shape has features up to here at most.
_LARGEST_KEY = 2**31 - 1


def _tensor(value: Any, where: str) -> tuple[Any, Any, int | None]:
    """Values, keys (None when dense) and width (None when not said) of one value of a record."""
    kind = value.WhichOneof("value")
    if kind not in {"float32_tensor", "float64_tensor", "int32_tensor"}:
        raise FormatError(
            f"{where}: holds {kind or 'nothing'}; "
            "float32_tensor, float64_tensor or int32_tensor is allowed"
        )
    tensor = getattr(value, kind)
    with np.errstate(over="ignore"):
        values = np.array(tensor.values, dtype=np.float64).astype(np.float32)
    shape = list(tensor.shape)
    width = int(np.prod(shape, dtype=object)) if shape else None
    # A sparse record without any value has neither keys nor values.
    if not tensor.keys and len(values) and width in {None, len(values)}:
        return values, None, len(values)
    if len(shape) > 1:
        raise FormatError(f"{where}: a sparse tensor of shape {shape}; one dimension is allowed")
    if len(tensor.keys) != len(values):
        raise FormatError(
            f"{where}: {len(tensor.keys)} keys for {len(values)} values"
            + (f"; shape is {shape}" if shape else "")
        )
    keys = np.array(tensor.keys, dtype=np.uint64)
    largest = int(keys.max()) if len(keys) else 0
    if width is not None and len(keys) and largest >= width:
        raise FormatError(f"{where}: key {largest} is outside of the shape [{width}]")
    if largest > _LARGEST_KEY:
        raise FormatError(f"{where}: key {largest} is beyond {_LARGEST_KEY}")
    if len(np.unique(keys)) != len(keys):
        repeated = np.sort(keys)[1:][np.diff(np.sort(keys)) == 0][0]
        raise FormatError(f"{where}: key {repeated} is there twice")
    return values, keys.astype(np.int64), width


def write(table: Table) -> bytes:
    """A table as RecordIO-protobuf; sparse stays sparse."""
    records = []
    for row in range(table.rows):
        record = record_class()()
        tensor = record.features[_FEATURES].float32_tensor
        if isinstance(table.features, np.ndarray):
            tensor.values.extend(table.features[row].tolist())
        else:
            span = slice(table.features.indptr[row], table.features.indptr[row + 1])
            tensor.values.extend(table.features.data[span].tolist())
            tensor.keys.extend(table.features.indices[span].tolist())
            tensor.shape.append(table.width)
        if table.labels is not None:
            record.label[_FEATURES].float32_tensor.values.append(float(table.labels[row]))
        records.append(frame(record.SerializeToString()))
    return b"".join(records)


def write_labels(answers: Iterable[Mapping[str, float | Sequence[float]]]) -> bytes:
    """Answers as AWS's algorithms give them: one record each, all outputs under `label`."""
    records = []
    for answer in answers:
        record = record_class()()
        for key, value in answer.items():
            values = value if isinstance(value, Sequence) else [value]
            record.label[key].float32_tensor.values.extend(values)
        records.append(frame(record.SerializeToString()))
    return b"".join(records)
