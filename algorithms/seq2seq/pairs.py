"""Pairs of sentences as numbers of words: how they are read, and put into batches."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.seq2seq.vocabulary import BEGIN, END, PADDING
from algorithms.toolkit import content
from algorithms.toolkit.channels import Form
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.job import Channel

SOURCE, TARGET = "source", "target"
_FORM = Form((content.RECORDIO,))

Numbers = npt.NDArray[np.int64]
Sentence = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Side:
    """The sentences of one language, one after another, and where each starts."""

    words: Sentence
    starts: Numbers
    """One more than there are sentences."""

    @classmethod
    def of(cls, sentences: Iterable[Sentence]) -> Side:
        """Hold these sentences."""
        gathered = _Gathered()
        for sentence in sentences:
            gathered.add(sentence)
        return gathered.side()

    @cached_property
    def lengths(self) -> Numbers:
        """How many words each sentence has."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> Sentence:
        return self.words[self.starts[row] : self.starts[row + 1]]

    def padded(self, rows: Numbers, before: int | None = None, after: int | None = None) -> Numbers:
        """Some sentences as the rows of a matrix, each with a word before or after it if told."""
        extra = (before is not None) + (after is not None)
        first = int(before is not None)
        found = np.full((len(rows), self.lengths[rows].max() + extra), PADDING, dtype=np.int64)
        if before is not None:
            found[:, 0] = before
        for place, row in enumerate(rows.tolist()):
            sentence = self[row]
            found[place, first : first + len(sentence)] = sentence
            if after is not None:
                found[place, first + len(sentence)] = after
        return found


class _Gathered:
    """Sentences as they come, which take little more memory than their words."""

    def __init__(self) -> None:
        self._words, self._starts = array("i"), array("q", [0])

    def __len__(self) -> int:
        return len(self._starts) - 1

    def add(self, sentence: Sentence) -> None:
        self._words.frombytes(sentence.astype(np.intc).tobytes())
        self._starts.append(len(self._words))

    def side(self) -> Side:
        return Side(np.array(self._words, dtype=np.int32), np.array(self._starts, dtype=np.int64))


@dataclass(frozen=True)
class Batch:
    """Pairs that one step of training takes: matrices of words, filled up with padding."""

    source: Numbers
    lengths: Numbers
    """How many words each source has."""

    before: Numbers
    """The target, after the sign of its beginning: what the decoder is told."""

    after: Numbers
    """The target, and the sign of its end: what the decoder is to write."""


@dataclass(frozen=True)
class Pairs:
    """Sentences, and what each is to become."""

    source: Side
    target: Side

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: Numbers) -> Pairs:
        """Some of the pairs."""
        return Pairs(
            *(Side.of([side[row] for row in rows.tolist()]) for side in (self.source, self.target))
        )

    def batch(self, rows: Numbers) -> Batch:
        """Some pairs as one batch."""
        return Batch(
            self.source.padded(rows),
            self.source.lengths[rows],
            self.target.padded(rows, before=BEGIN),
            self.target.padded(rows, after=END),
        )

    def batches(
        self, size: int, width: int | None, random: np.random.Generator | None
    ) -> Iterator[Batch]:
        """All pairs in batches.

        Args:
            size: how many pairs a batch holds; the last one of a bucket may hold less.
            width: how much longer the sentences of a bucket may be than those of the one before
                it; None for no buckets.
            random: shuffles pairs and batches; None leaves them in order.
        """
        order = np.arange(len(self)) if random is None else random.permutation(len(self))
        buckets = [order]
        if width is not None:
            longest = np.maximum(self.source.lengths, self.target.lengths)[order]
            number = -(-longest // width)
            buckets = [order[number == each] for each in np.unique(number)]
        cuts = [
            bucket[start : start + size]
            for bucket in buckets
            for start in range(0, len(bucket), size)
        ]
        if random is not None:
            cuts = [cuts[place] for place in random.permutation(len(cuts))]
        for cut in cuts:
            yield self.batch(cut)


@dataclass(frozen=True)
class Reader:
    """Reads pairs of sentences whose words are below these numbers, and cuts long ones."""

    source_words: int
    target_words: int
    source_length: int
    target_length: int

    def channel(self, channel: Channel) -> Pairs:
        """All pairs of a channel; those with an empty sentence are left out, as nothing is learnt.

        Raises:
            FormatError: A file is corrupt, or a word has no place in its vocabulary.
        """
        _FORM.content_type(channel)
        sources, targets, empty = _Gathered(), _Gathered(), 0
        for path in channel.files():
            title = channel.title(path)
            for number, message in enumerate(recordio.frames(path.read_bytes(), title), 1):
                where = f"{title}, record {number}"
                record = recordio.parse(message, where)
                source = words(record, SOURCE, self.source_words, where)[: self.source_length]
                target = words(record, TARGET, self.target_words, where)[: self.target_length]
                if len(source) and len(target):
                    sources.add(source)
                    targets.add(target)
                else:
                    empty += 1
        if empty:
            log.warning(
                "Channel %s: %d records with an empty sentence are left out", channel.name, empty
            )
        if not len(sources):
            raise FormatError(f"channel {channel.name} holds no pair of sentences with words")
        return Pairs(sources.side(), targets.side())


def words(record: Any, feature: str, known: int, where: str) -> Sentence:
    """The words of a sentence, without the signs of its beginning and end and without padding.

    Raises:
        FormatError: The record has no such feature, or a word that its vocabulary lacks.
    """
    if feature not in record.features:
        found = ", ".join(sorted(record.features)) or "none"
        raise FormatError(f"{where}: has no feature '{feature}'; it has {found}")
    value = record.features[feature]
    kind = value.WhichOneof("value")
    if kind != "int32_tensor":
        raise FormatError(
            f"{where}, feature '{feature}': holds {kind or 'nothing'}; int32_tensor is allowed"
        )
    if value.int32_tensor.keys:
        raise FormatError(f"{where}, feature '{feature}': is sparse; give the numbers of all words")
    sentence = np.array(value.int32_tensor.values, dtype=np.int32)
    wrong = np.flatnonzero((sentence < 0) | (sentence >= known))
    if len(wrong):
        raise FormatError(
            f"{where}, feature '{feature}', word {wrong[0] + 1}: {sentence[wrong[0]]} is not in "
            f"the vocabulary, whose words have the numbers from 0 to {known - 1}"
        )
    return sentence[~np.isin(sentence, (PADDING, BEGIN, END))]


def write(pairs: Sequence[dict[str, Sequence[int]]]) -> bytes:
    """Records of word numbers under the names of their features."""
    records = []
    for pair in pairs:
        record = record_class()()
        for feature, numbers in pair.items():
            record.features[feature].int32_tensor.values.extend(numbers)
        records.append(recordio.frame(record.SerializeToString()))
    return b"".join(records)
