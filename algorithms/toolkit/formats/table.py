"""Records as the algorithms take them, whatever format they came in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FloatArray = npt.NDArray[np.float32]


class FormatError(ValueError):
    """A body or a file is not what its content type says; the text names the place."""


@dataclass(frozen=True)
class Table:
    """Records in memory: one row each, in the order in which they came."""

    features: FloatArray | csr_matrix
    labels: FloatArray | None = None
    weights: FloatArray | None = None
    groups: npt.NDArray[np.int64] | None = None
    files: tuple[tuple[str, int], ...] = ()
    before: int = 0
    """How many records of the first file came before these."""

    label_title: str = "label 'values'"
    """What the label of a record is called where it stands."""

    @property
    def sparse(self) -> bool:
        """Whether absent values are not stored."""
        return not isinstance(self.features, np.ndarray)

    @property
    def rows(self) -> int:
        """The number of records."""
        return int(self.features.shape[0])

    @property
    def numbers(self) -> int:
        """How many numbers are held for the features."""
        features = self.features
        return int(features.size if isinstance(features, np.ndarray) else features.nnz)

    @property
    def width(self) -> int:
        """The number of features of each record."""
        return int(self.features.shape[1])

    def dense(self) -> FloatArray:
        """The features with a zero where a sparse record holds nothing."""
        if isinstance(self.features, np.ndarray):
            return self.features
        return np.asarray(self.features.toarray(), dtype=np.float32)

    def place(self, row: int) -> str:
        """Where the record of a row came from, for an error message."""
        before = self.before
        for name, rows in self.files:
            if row < rows:
                return f"{name}, record {before + row + 1}"
            row, before = row - rows, 0
        return f"record {row + 1}"

    def label_place(self, row: int) -> str:
        """Where the label of a row came from, for an error message."""
        return f"{self.place(row)}, {self.label_title}"

    def take(self, rows: slice | npt.NDArray[np.integer[Any]]) -> Table:
        """Some of the records, which then no longer know where they came from."""
        return Table(
            self.features[rows],
            None if self.labels is None else self.labels[rows],
            None if self.weights is None else self.weights[rows],
            None if self.groups is None else self.groups[rows],
            label_title=self.label_title,
        )

    def widened(self, width: int) -> Table:
        """The same sparse records with room for more features."""
        if not self.sparse or width <= self.width:
            return self
        features = self.features.copy()
        features.resize(features.shape[0], width)
        return replace(self, features=features)


def refuse_infinite(table: Table, *, missing: bool) -> None:
    """Refuse infinite values, and NaN too where the algorithm knows no missing values."""
    stored = table.features if isinstance(table.features, np.ndarray) else table.features.data
    wrong = np.isinf(stored) if missing else ~np.isfinite(stored)
    if not wrong.any():
        return
    if isinstance(table.features, np.ndarray):
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        value = table.features[row, column]
    else:
        entry = int(np.flatnonzero(wrong)[0])
        row = int(np.searchsorted(table.features.indptr, entry, side="right")) - 1
        column = int(table.features.indices[entry])
        value = stored[entry]
    raise FormatError(
        f"{table.place(row)}, feature {column}: {value} is not a finite number"
        + (" of 32 bits" if np.isinf(value) else "; missing values are not allowed")
    )


def same_kind(first: Table, table: Table, *, width: bool = True) -> None:
    """Refuse records that are not what the first of their channel are."""
    if table.sparse != first.sparse:
        raise FormatError(
            f"{table.place(0)} is {'sparse' if table.sparse else 'dense'}, "
            f"{first.place(0)} is not; all records of a channel must be of one kind"
        )
    if width and table.width != first.width:
        raise FormatError(
            f"{table.place(0)} has {table.width} features, "
            f"{first.place(0)} has {first.width}; all records must have the same"
        )
    if (table.labels is None) != (first.labels is None):
        without, other = (table, first) if table.labels is None else (first, table)
        raise FormatError(f"{without.place(0)} has no label, while {other.place(0)} has one")


def join(tables: list[Table]) -> Table:
    """Several files of one channel as one table; all must have the same width.

    The list is empty afterwards: tables leave it one by one, so that no record need be in memory
    twice.
    """
    first = tables[0]
    if len(tables) == 1:
        return tables.pop()
    for table in tables:
        same_kind(first, table, width=not first.sparse)
    files = _merged(file for table in tables for file in table.files)
    columns = (
        _joined([t.labels for t in tables], "label", files),
        _joined([t.weights for t in tables], "weight", files),
        _joined([t.groups for t in tables], "group", files),
    )
    sparse, before, label_title = first.sparse, first.before, first.label_title
    # Nothing may hold on to what leaves the list.
    del first, table
    features = _stacked_sparse(tables) if sparse else _stacked(tables)
    return Table(features, *columns, files, before, label_title)


def _stacked(tables: list[Table]) -> FloatArray:
    """The rows of all tables, which leave the list."""
    found = np.empty((sum(table.rows for table in tables), tables[0].width), dtype=np.float32)
    stop = len(found)
    while tables:
        features = tables.pop().features
        found[stop - len(features) : stop] = features
        stop -= len(features)
    return found


def _stacked_sparse(tables: list[Table]) -> csr_matrix:
    """The same of sparse ones, as wide as the widest."""
    from scipy.sparse import csr_matrix

    shape = sum(table.rows for table in tables), max(table.width for table in tables)
    stored = sum(table.numbers for table in tables)
    index = np.int32 if max(stored, *shape) < 2**31 else np.int64
    data = np.empty(stored, dtype=np.float32)
    indices, starts = np.empty(stored, dtype=index), np.zeros(shape[0] + 1, dtype=index)
    row, entry = shape[0], stored
    while tables:
        features: Any = tables.pop().features
        rows, entries = features.shape[0], features.nnz
        data[entry - entries : entry] = features.data[:entries]
        indices[entry - entries : entry] = features.indices[:entries]
        entry -= entries
        starts[row - rows + 1 : row + 1] = features.indptr[1:] + entry
        row -= rows
    return csr_matrix((data, indices, starts), shape=shape)


def _merged(files: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Count pieces of one file, or of one stream, as one."""
    found: list[tuple[str, int]] = []
    for name, rows in files:
        if found and found[-1][0] == name:
            rows += found.pop()[1]
        found.append((name, rows))
    return tuple(found)


def _joined(columns: Sequence[Any], what: str, files: Sequence[tuple[str, int]]) -> Any:
    if all(column is None for column in columns):
        return None
    for column, (name, _) in zip(columns, files, strict=False):
        if column is None:
            raise FormatError(f"{name} has no {what}, while other files of the channel have one")
    return np.concatenate(columns)
