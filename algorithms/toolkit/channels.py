"""Reading a channel by its content type: its files, or what comes through its pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from algorithms.toolkit import content
from algorithms.toolkit.content import ContentType
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import delimited, libsvm, parquet, recordio
from algorithms.toolkit.formats.pieces import Piece, last_frame_end, last_line_end, pieces
from algorithms.toolkit.formats.table import (
    FloatArray,
    FormatError,
    Table,
    join,
    refuse_infinite,
    same_kind,
)
from algorithms.toolkit.job import Channel
from algorithms.toolkit.records import Held, Records, regrouped

# What a piped channel is shuffled in, in numbers: 32 MiB.
WINDOW_NUMBERS = 2**23
# The content types that can be cut into pieces, and how.
_STREAMED = {content.CSV: last_line_end, content.RECORDIO: last_frame_end}


@dataclass(frozen=True)
class Form:
    """How an algorithm takes the records of its channels.

    Args:
        allowed: the content types that it takes.
        default: the content type of a channel that names none, as the estimators of AWS's own
            SDK do for the records that they upload.
        label_size: how many columns of a text file are the label, 0 or 1.
        weights: whether the column after the label is the weight of a record.
        missing: whether a feature may be missing.
        any_delimiter: whether a text may part its columns by something else than commas.
        width: how many features a record has, where sparse ones may leave it unsaid; None where
            the largest key tells.
    """

    allowed: Sequence[str]
    default: str = content.RECORDIO
    label_size: int = 1
    weights: bool = False
    missing: bool = False
    any_delimiter: bool = False
    width: int | None = None

    def of_width(self, width: int) -> Form:
        """The same of records that have so many features."""
        return replace(self, width=width)

    def content_type(self, channel: Channel) -> ContentType:
        """The content type of a channel, held to what is allowed."""
        kind = channel.content_type or ContentType(self.default)
        if kind.name not in self.allowed:
            raise CustomerError(
                f"Content type '{kind.name}' of channel '{channel.name}' is not supported; "
                f"{', '.join(self.allowed)} are allowed"
            )
        given = kind.parameters.get("label_size", str(self.label_size))
        if given != str(self.label_size):
            raise CustomerError(
                f"Content type of channel '{channel.name}': label_size={given} is not supported; "
                f"label_size={self.label_size} is allowed"
            )
        return kind

    def check(self, table: Table) -> None:
        """Refuse values that no algorithm can compute with, naming their place."""
        refuse_infinite(table, missing=self.missing)
        if table.labels is not None and not np.isfinite(table.labels).all():
            row = int(np.flatnonzero(~np.isfinite(table.labels))[0])
            raise FormatError(
                f"{table.label_place(row)}: the label is {table.labels[row]}, not a number"
            )
        if table.weights is not None and not np.isfinite(table.weights).all():
            row = int(np.flatnonzero(~np.isfinite(table.weights))[0])
            raise FormatError(
                f"{table.place(row)}: the weight is {table.weights[row]}, not a number"
            )


def read_channel(channel: Channel, form: Form) -> Table:
    """All records of a channel in memory."""
    if channel.piped:
        return join([*Piped(channel, form).tables()])
    kind = form.content_type(channel)
    table = join(
        [_read(kind, path.read_bytes(), channel.title(path), form) for path in channel.files()]
    )
    if kind.name == content.LIBSVM and not table.numbers:
        raise FormatError(
            f"channel {channel.name}: no line has an index:value, and nothing can be learnt from "
            "labels alone; if the files are no text/libsvm, name their content type"
        )
    form.check(table)
    return table


def records(channel: Channel, form: Form) -> Records:
    """The records of a channel to go through again and again: held in memory, or from its pipe."""
    return Piped(channel, form) if channel.piped else Held(read_channel(channel, form))


def passing(channel: Channel, form: Form, epoch: int = 0) -> Iterator[Table]:
    """All records of a channel once, in its order; whatever its mode, never all of them are held.

    The epoch tells how often that was done before: each has a pipe of its own. Content types that
    cannot be cut into pieces come file by file.
    """
    if channel.piped:
        yield from Piped(channel, form, epoch).tables()
        return
    kind = form.content_type(channel)
    first = None
    for path in channel.files():
        name = channel.title(path)
        if kind.name not in _STREAMED:
            tables = iter([_read(kind, path.read_bytes(), name, form)])
        else:
            tables = _opened(path, name, kind, form)
        for table in tables:
            first = first or table
            same_kind(first, table)
            if kind.name not in _STREAMED:
                form.check(table)
            yield table


def share(channel: Channel, tables: Iterable[Table], rank: int, hosts: int) -> Iterator[Table]:
    """Those records of a channel that one of the hosts of a job takes, so that each is taken once.

    Where every host has all of them, it is every so many-th; where each has its own, all of these.
    """
    if channel.sharded or hosts == 1:
        yield from tables
        return
    before = 0
    for table in tables:
        rows = np.arange((rank - before) % hosts, table.rows, hosts)
        before += table.rows
        if len(rows):
            yield table.take(rows)


class Piped(Records):
    """The records of a channel in Pipe mode; every pass over them is an epoch of the channel."""

    held = False

    def __init__(self, channel: Channel, form: Form, epoch: int = 0) -> None:
        self._channel = channel
        self._form = form
        self._kind = form.content_type(channel)
        if self._kind.name not in _STREAMED:
            raise CustomerError(
                f"Channel {channel.name} has content type '{self._kind.name}', which cannot be "
                f"read in Pipe mode; use File mode, or {' or '.join(_STREAMED)}"
            )
        self._epoch = epoch

    def tables(self) -> Iterator[Table]:
        """The records of the next epoch as they come, in pieces of about the same size."""
        name = f"{self._channel.name}, epoch {self._epoch}"
        stream = self._channel.pipe(self._epoch)
        self._epoch += 1
        with stream:
            yield from _pieces(stream.read, name, self._kind, self._form)

    def batches(self, sizes: Iterable[int], random: np.random.Generator) -> Iterator[Table]:
        """The records of the next epoch, in a new order within windows of bounded size.

        What is more than a window apart stays apart: ShuffleConfig mixes the objects of a channel.
        """
        return regrouped(self._shuffled(random), sizes)

    def _shuffled(self, random: np.random.Generator) -> Iterator[Table]:
        window: list[Table] = []
        numbers = 0
        for table in self.tables():
            window.append(table)
            numbers += table.numbers
            if numbers >= WINDOW_NUMBERS:
                yield _mixed(window, random)
                window, numbers = [], 0
        if window:
            yield _mixed(window, random)


def _opened(path: Path, name: str, kind: ContentType, form: Form) -> Iterator[Table]:
    with path.open("rb", buffering=0) as file:
        yield from _pieces(file.read, name, kind, form)


def _pieces(
    read: Callable[[int], bytes], name: str, kind: ContentType, form: Form
) -> Iterator[Table]:
    """The records of a stream as they come, held to the kind of the first."""
    rows, first = 0, None
    for piece in pieces(read, name, _STREAMED[kind.name]):
        if kind.name == content.CSV and not piece.body.strip():
            continue
        table = _read(kind, piece.body, name, form, rows, piece)
        first = first or table
        same_kind(first, table)
        form.check(table)
        rows += table.rows
        yield table
    if not rows:
        raise CustomerError(f"No data in channel {name}")


def _mixed(window: list[Table], random: np.random.Generator) -> Table:
    table = join(window)
    return table.take(random.permutation(table.rows))


def _read(
    kind: ContentType,
    body: bytes,
    name: str,
    form: Form,
    before: int = 0,
    piece: Piece | None = None,
) -> Table:
    if kind.name == content.RECORDIO:
        offset = piece.start if piece else 0
        labelled = form.label_size > 0
        return recordio.read(
            body, name, labelled=labelled, before=before, offset=offset, width=form.width
        )
    if kind.name == content.LIBSVM:
        return libsvm.read(body, name)
    if kind.name == content.PARQUET:
        numbers = parquet.read(body, name)
    else:
        lines = piece.lines if piece else 0
        numbers = delimited.read(
            body,
            name,
            missing=form.missing,
            before=lines,
            any_delimiter=form.any_delimiter,
        )
    return split(numbers, name, form.label_size, weights=form.weights, before=before)


def split(
    numbers: FloatArray, name: str, label_size: int, *, weights: bool = False, before: int = 0
) -> Table:
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
        before=before,
        label_title="column 1",
    )
