"""The records of a channel: in memory where they fit, and streamed anew each time where not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit import content
from algorithms.toolkit.channels import Form, records
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import join
from algorithms.toolkit.records import Held, Records

if TYPE_CHECKING:
    from algorithms.toolkit.formats.table import Table
    from algorithms.toolkit.job import Channel

Labels = npt.NDArray[Any]

# What a pipe brings is kept up to so many numbers: 256 MiB. A longer one is streamed again.
KEPT_NUMBERS = 2**26
_FORM = Form(allowed=(content.RECORDIO, content.CSV))


class Source:
    """The records of a channel with their labels, all of one width."""

    def __init__(
        self,
        channel: Channel,
        labels: Callable[[str, Table], Labels],
        feature_dim: int | None = None,
    ) -> None:
        self.name = channel.name
        self.rows = 0
        self.width = 0
        self._labels = labels
        self._records: Records = records(channel, replace(_FORM, width=feature_dim))
        self._held: tuple[Table, Labels] | None = None

    @property
    def held(self) -> tuple[Table, Labels] | None:
        """All records and labels, where they are in memory."""
        return self._held

    def read(self, visit: Callable[[Table, Labels], object]) -> None:
        """Go through all records for the first time, and keep them where they fit."""
        kept: list[Table] = []
        numbers, found = 0, self._records
        for table in found.tables():
            labels = self._labels(self.name, table)
            self.width = self.width or table.width
            self.rows += table.rows
            visit(table, labels)
            numbers += table.numbers + table.rows
            if found.held or numbers <= KEPT_NUMBERS:
                kept.append(table)
            else:
                kept.clear()
        if kept and (found.held or numbers <= KEPT_NUMBERS):
            whole = join(kept)
            self._records = Held(whole)
            self._held = whole, self._labels(self.name, whole)

    def expect(self, width: int, expected: str) -> None:
        """Refuse records of another width."""
        if self.width != width:
            where = self._held[0].place(0) if self._held else f"channel {self.name}"
            raise CustomerError(f"{where} has {self.width} features, but {expected}")

    def pieces(self, size: int) -> Iterator[tuple[Table, Labels]]:
        """All records in their order, in tables of this size but for the last."""
        for table in self._records.pieces(size):
            yield table, self._labels(self.name, table)

    def batches(
        self, sizes: npt.NDArray[np.int64], random: np.random.Generator
    ) -> Iterator[tuple[Table, Labels]]:
        """All records in a new order, in tables of these sizes, of which none is 0."""
        found = self._records.batches(sizes.tolist(), random)
        for size in sizes.tolist():
            table = next(found, None)
            if table is None or table.rows != size:
                raise CustomerError(
                    f"Channel {self.name} brought {self.rows} records at first, and fewer later"
                )
            yield table, self._labels(self.name, table)
