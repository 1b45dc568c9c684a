"""Going through the records of a channel, however often: in order, or shuffled in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.formats.table import Table, join


class Records(ABC):
    """The records of a channel."""

    held: bool
    """Whether all of them are in memory."""

    @abstractmethod
    def tables(self) -> Iterator[Table]:
        """All records in their order, in tables of any size that know where they came from."""

    @abstractmethod
    def batches(self, sizes: Iterable[int], random: np.random.Generator) -> Iterator[Table]:
        """All records in a new order, in tables of these sizes as long as there are enough."""

    def pieces(self, size: int) -> Iterator[Table]:
        """All records in their order, in tables of this size but for the last."""
        return regrouped(self.tables(), repeat(size))


class Held(Records):
    """Records in memory."""

    held = True

    def __init__(self, table: Table) -> None:
        self.table = table

    def tables(self) -> Iterator[Table]:
        """All records at once."""
        yield self.table

    def batches(self, sizes: Iterable[int], random: np.random.Generator) -> Iterator[Table]:
        """All records in an order in which every one is as likely as another."""
        order = random.permutation(self.table.rows)
        start = 0
        for size in sizes:
            if start >= len(order):
                return
            yield self.table.take(order[start : start + size])
            start += size


def regrouped(tables: Iterable[Table], sizes: Iterable[int]) -> Iterator[Table]:
    """The same records in the same order, in tables of these sizes as long as there are enough."""
    wanted = iter(sizes)
    size = next(wanted, 0)
    waiting: list[Table] = []
    rows = 0
    for table in tables:
        start = 0
        while size and rows + table.rows - start >= size:
            stop = start + size - rows
            yield join([*waiting, table.take(slice(start, stop))])
            waiting, rows, start = [], 0, stop
            size = next(wanted, 0)
        if start < table.rows:
            rest = table.take(slice(start, None)) if start else table
            waiting.append(rest)
            rows += rest.rows
    if waiting:
        yield join(waiting)


class Sample:
    """Some of the rows of a stream, each as likely as another, in their order.

    The same rows are chosen in whatever portions they come. Never more than twice as many as are
    wanted are held.
    """

    def __init__(self, size: int, random: np.random.Generator) -> None:
        self._size = size
        self._random = random
        self._parts: list[tuple[Any, ...]] = []
        self._held = 0
        self.seen = 0

    def add(self, *columns: Any) -> None:
        """Take part of the stream: arrays or tables of as many rows each."""
        rows = columns[0].rows if isinstance(columns[0], Table) else len(columns[0])
        self._parts.append((self._random.random(rows), *columns))
        self._held += rows
        self.seen += rows
        if self._held > 2 * self._size:
            self._prune(self._size)

    def chosen(self, size: int | None = None) -> tuple[Any, ...]:
        """The rows of each column, or fewer of them."""
        parts = self._merged()
        kept = _smallest(parts[0], self._size if size is None else min(size, self._size))
        return tuple(_rows(column, kept) for column in parts[1:])

    def _prune(self, size: int) -> None:
        parts = self._merged()
        kept = _smallest(parts[0], size)
        self._parts = [tuple(_rows(column, kept) for column in parts)]
        self._held = min(size, len(parts[0]))

    def _merged(self) -> tuple[Any, ...]:
        return tuple(
            join(columns) if isinstance(columns[0], Table) else np.concatenate(columns)
            for columns in map(list, zip(*self._parts, strict=True))
        )


def _smallest(keys: npt.NDArray[np.float64], count: int) -> slice | npt.NDArray[np.intp]:
    """The places of the smallest keys, in order."""
    if count >= len(keys):
        # All of them, without a copy.
        return slice(len(keys))
    return np.sort(np.argpartition(keys, count)[:count])


def _rows(column: Any, rows: slice | npt.NDArray[np.intp]) -> Any:
    return column.take(rows) if isinstance(column, Table) else column[rows]
