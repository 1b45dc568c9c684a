"""Pairs of sequences of tokens: from lines of JSON into arrays, and in batches of like length."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit import content
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_of, refuse_binary

if TYPE_CHECKING:
    from algorithms.toolkit.job import Channel

SIDES = ("in0", "in1")
# What is looked at to tell what a file is.
_HEAD = 4096
_EXAMPLE = '{"label": 1, "in0": [0, 1], "in1": [1]}'

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """What a side takes: tokens below `size`, of which the first `longest` are looked at."""

    size: int
    longest: int


class Sequences:
    """Sequences of tokens one behind the other in one array, with where each begins."""

    def __init__(self, tokens: npt.NDArray[np.int32], starts: Numbers) -> None:
        self._tokens = tokens
        self._starts = starts
        self.lengths: Numbers = np.diff(starts)

    @classmethod
    def of(cls, lists: Iterable[Sequence[int]]) -> Sequences:
        """From lists of tokens."""
        tokens: list[int] = []
        starts = [0]
        for each in lists:
            tokens += each
            starts.append(len(tokens))
        return cls(np.array(tokens, dtype=np.int32), np.array(starts, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, rows: Numbers) -> tuple[Numbers, Numbers]:
        """Some sequences as a matrix, filled up with 0, and the length of each."""
        lengths = self.lengths[rows]
        places = np.arange(int(lengths.max(initial=1)))
        inside = places < lengths[:, None]
        at = np.where(inside, self._starts[rows][:, None] + places, 0)
        return np.where(inside, self._tokens[at], 0).astype(np.int64), lengths


@dataclass(frozen=True)
class Batch:
    """Pairs as matrices of tokens by side, with lengths and labels."""

    tokens: tuple[Numbers, Numbers]
    lengths: tuple[Numbers, Numbers]
    labels: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Pairs:
    """The pairs of a channel."""

    sides: tuple[Sequences, Sequences]
    labels: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    def ordered(self, size: int) -> Iterator[Batch]:
        """All of them in their order."""
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            yield self._batch(rows, rows, self.labels[rows])

    def shuffled(
        self, size: int, bucket_width: int, negatives: int, random: np.random.Generator
    ) -> Iterator[Batch]:
        """All of them in a new order, each with so many made-up pairs, whose label is 0.

        With a bucket width, a batch has pairs whose longer sequences are about as long. A made-up
        pair has the first side of a pair, and the second of another one, whichever.
        """
        order = random.permutation(len(self))
        if bucket_width:
            longer = np.maximum(self.sides[0].lengths, self.sides[1].lengths)
            order = order[np.argsort(longer[order] // bucket_width, kind="stable")]
        starts = random.permutation(np.arange(0, len(order), size))
        for start in starts.tolist():
            rows = order[start : start + size]
            first, second, labels = [rows], [rows], [self.labels[rows]]
            for _ in range(negatives):
                first.append(rows)
                # Any row but the pair's own.
                shift = random.integers(1, max(len(self), 2), len(rows))
                second.append((rows + shift) % len(self))
                labels.append(np.zeros(len(rows), dtype=np.float32))
            yield self._batch(np.concatenate(first), np.concatenate(second), np.concatenate(labels))

    def _batch(self, first: Numbers, second: Numbers, labels: npt.NDArray[np.float32]) -> Batch:
        (left, left_lengths), (right, right_lengths) = (
            side.padded(rows) for side, rows in zip(self.sides, (first, second), strict=True)
        )
        return Batch((left, right), (left_lengths, right_lengths), labels)


def tokens(value: Any, side: str, vocabulary: Vocabulary, where: str) -> list[int]:
    """The tokens of a sequence, as many of them as are looked at.

    Raises:
        FormatError: It is no list of whole numbers, is empty, or has tokens that are not known.
    """
    if not isinstance(value, list) or not value:
        raise FormatError(f"{where}: {side} must be a list of at least one token number")
    for each in value:
        if not isinstance(each, int) or isinstance(each, bool) or each < 0:
            raise FormatError(
                f"{where}: {side} holds {each!r}; tokens are whole numbers from 0 to "
                f"{vocabulary.size - 1}"
            )
        if each >= vocabulary.size:
            raise FormatError(
                f'{where}: Inconsistent vocab for {side} found. Vocab id "{each}" is not less than '
                f"vocab_size={vocabulary.size}"
            )
    found: list[int] = value[: vocabulary.longest]
    return found


def held(found: Any, where: str, example: str) -> dict[str, Any]:
    """A value of JSON that must be an object; `example` is what one looks like."""
    if not isinstance(found, dict):
        raise FormatError(f"{where}: must be an object such as {example}")
    return found


def read(
    channel: Channel,
    vocabularies: tuple[Vocabulary, Vocabulary],
    label: Callable[[Any, str], float],
) -> Pairs:
    """All pairs of a channel.

    Args:
        channel: its files hold lines of JSON.
        vocabularies: of either side.
        label: what a label means, or FormatError with its place.
    """
    kind = channel.content_type
    if kind is not None and kind.name != content.JSON_LINES:
        raise CustomerError(
            f"Content type '{kind.name}' of channel '{channel.name}' is not supported; "
            f"{content.JSON_LINES} is allowed"
        )
    # Lists of numbers would take ten times as much.
    sides = (array("i"), array("i"))
    starts = (array("q", [0]), array("q", [0]))
    labels = array("f")
    for path in channel.files():
        title = channel.title(path)
        with path.open("rb") as file:
            refuse_binary(file.read(_HEAD), title)
            file.seek(0)
            for number, body in enumerate(file, 1):
                if not body.strip():
                    continue
                where = f"{title}, line {number}"
                found = held(json_of(body, where), where, _EXAMPLE)
                labels.append(label(found.get("label"), where))
                for place, (name, vocabulary) in enumerate(zip(SIDES, vocabularies, strict=True)):
                    sides[place].extend(tokens(found.get(name), name, vocabulary, where))
                    starts[place].append(len(sides[place]))
    if not labels:
        raise CustomerError(f"No pairs in channel {channel.name}")
    left, right = (
        Sequences(np.asarray(side, dtype=np.int32), np.asarray(start, dtype=np.int64))
        for side, start in zip(sides, starts, strict=True)
    )
    return Pairs((left, right), np.asarray(labels, dtype=np.float32))
