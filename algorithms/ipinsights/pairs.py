"""Pairs of an entity and an IPv4 address, read from text."""

from __future__ import annotations

import csv
import io
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.pieces import last_line_end, pieces
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import unmarked

if TYPE_CHECKING:
    from algorithms.toolkit.job import Channel


@dataclass(frozen=True)
class Pairs:
    """Entities as numbers of the vectors that they share, and addresses as numbers of 32 bits."""

    entities: npt.NDArray[np.int64]
    addresses: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.entities)

    def take(self, rows: npt.NDArray[np.int64]) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.entities[rows], self.addresses[rows])


class Reader:
    """Reads pairs, with each entity as the number of one of so many vectors.

    Entities are hashed, so that those not met in training have a vector, too, which they may share
    with others. White space round an entity or an address does not count.
    """

    def __init__(self, vectors: int) -> None:
        self._vectors = vectors
        self._known: dict[str, int] = {}

    def channel(self, channel: Channel) -> Pairs:
        """All pairs of a channel of CSV files."""
        kind = channel.content_type
        if kind is not None and kind.name != "text/csv":
            raise CustomerError(
                f"Content type '{kind.name}' of channel '{channel.name}' is not supported; "
                "text/csv is allowed"
            )
        if kind is not None and kind.parameters.get("label_size", "0") != "0":
            raise CustomerError(
                f"Content type of channel '{channel.name}': label_size="
                f"{kind.parameters['label_size']} is not supported; label_size=0 is allowed"
            )
        found = []
        for path in channel.files():
            name = channel.title(path)
            with path.open("rb", buffering=0) as file:
                for piece in pieces(file.read, name, last_line_end):
                    found.append(self.csv(piece.body, name, piece.lines))
        pairs = joined(found)
        if not len(pairs):
            raise CustomerError(f"No data in {channel.name} channel path {channel.folder}")
        return pairs

    def csv(self, body: bytes, name: str, before: int = 0) -> Pairs:
        """The pairs of a CSV text; `before` tells how many lines came before it."""
        body = unmarked(body, name)
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            line = before + 1 + body.count(b"\n", 0, error.start)
            seems = sniffing.hint(body, "text/csv") or "; is it really text/csv?"
            raise FormatError(f"{name}, line {line}: not UTF-8 text{seems}") from None
        entities: list[int] = []
        addresses: list[int] = []
        reader = csv.reader(io.StringIO(text), skipinitialspace=True, strict=True)
        try:
            for fields in reader:
                if not fields:
                    continue
                where = f"{name}, line {before + reader.line_num}"
                if len(fields) != 2:
                    raise FormatError(
                        f"{where}: {len(fields)} columns; two are needed, an entity and its IPv4 "
                        f"address{_seems(fields, body) if not entities else ''}"
                    )
                entities.append(self.entity(fields[0]))
                addresses.append(_address(fields, where))
        except csv.Error as error:
            raise FormatError(f"{name}, line {before + reader.line_num}: {error}") from None
        return _pairs(entities, addresses)

    def rows(self, rows: Iterable[tuple[str, Sequence[object]]]) -> Pairs:
        """The pairs of rows of two values, each with its place for an error message."""
        entities, addresses = [], []
        for where, values in rows:
            if len(values) != 2:
                raise FormatError(
                    f"{where}: {len(values)} values; two are needed, an entity and its IPv4 address"
                )
            texts = [_text(value, where, place) for place, value in enumerate(values, 1)]
            entities.append(self.entity(texts[0]))
            addresses.append(_address(texts, where, "value"))
        return _pairs(entities, addresses)

    def entity(self, text: str) -> int:
        """The number of the vector that an entity has."""
        found = self._known.get(text)
        if found is None:
            digest = blake2b(text.strip().encode(errors="surrogatepass"), digest_size=8).digest()
            found = self._known[text] = int.from_bytes(digest, "little") % self._vectors
        return found

    def forget(self) -> None:
        """Let go of the entities that were read."""
        self._known.clear()


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Pairs one after another."""
    if not parts:
        return _pairs([], [])
    return Pairs(
        np.concatenate([part.entities for part in parts]),
        np.concatenate([part.addresses for part in parts]),
    )


def _pairs(entities: Sequence[int], addresses: Sequence[int]) -> Pairs:
    return Pairs(np.array(entities, dtype=np.int64), np.array(addresses, dtype=np.int64))


def _seems(fields: Sequence[str], body: bytes) -> str:
    """What parts the columns of a line instead of a comma, or what else the text is."""
    for delimiter in "\t;| ":
        parts = fields[0].split(delimiter)
        if len(fields) == 1 and len(parts) == 2 and all(parts):
            return f"; commas are needed, and the line is parted by {sniffing.shown(delimiter)}"
    return sniffing.hint(body, "text/csv")


def _address(fields: Sequence[str], where: str, what: str = "column") -> int:
    text = fields[1].strip()
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError):
        pass
    shown = text if len(text) <= 40 else text[:37] + "..."
    problem = f"'{shown}' is not an IPv4 address" if text else "the IPv4 address is missing"
    hint = "; one such as 192.168.1.2 is needed"
    if ":" in text:
        hint += ", IPv6 is not supported"
    elif where.endswith(", line 1") and not any(map(str.isdigit, text)):
        hint += ". The file seems to begin with a header, which must be removed"
    raise FormatError(f"{where}, {what} 2: {problem}{hint}")


def _text(value: object, where: str, place: int) -> str:
    """A value of JSON as text; a number stands for the digits that CSV would have."""
    if isinstance(value, str):
        return value
    if place == 1 and type(value) is int:
        return str(value)
    raise FormatError(f"{where}, value {place}: {value!r} is not text")
