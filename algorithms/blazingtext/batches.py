"""batch_skipgram: word vectors from batches whose words share their wrong ones.

After Ji, Satish, Li and Dubey (2016), on whose idea BlazingText rests: a batch of context words is
compared with one set of wrong words, so that products of matrices take the place of many products
of vectors. Each host goes through its own part of the text, and many times an epoch all of them
take over what the others moved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from algorithms.blazingtext.engine import SENTENCE_END, Matrix, Settings, Trained, begun
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.peers import Peers

# Batches that are computed at once, all from the same vectors, as by so many threads.
_ABREAST = 32
# A vector that many of these pairs move is moved no further than this rate would move it once.
_LARGEST_RATE = 1.0
# What several hosts moved a vector is added up while their rates together stay below this one.
_SUMMED_RATE = 8.0
# Text that is cut into words at a time; a run of words without a line end is cut, as fastText does.
_BLOCK = 1024 * 1024
_LONGEST_SENTENCE = 1000
# How often the hosts of a job meet in an epoch.
MEETINGS = 32
# The rate never falls below this part of the first one, and the power of a word's count by which
# it is drawn as a wrong one: both as in word2vec.
_LEAST_RATE = 1e-4
_POWER = 0.75

Words = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Pairs:
    """Words beside words of their context."""

    words: Words
    contexts: Words


class Vocabulary:
    """The words of a model, with the odds by which each is kept, or drawn as a wrong one."""

    def __init__(self, model: Trained, threshold: float) -> None:
        self._rows = {word.encode(): row for row, word in enumerate(model.words)}
        # Sentence ends are no words of a context.
        self._rows.pop(SENTENCE_END.encode(), None)
        counts = model.counts.astype(np.float64)
        share = threshold / np.maximum(counts / counts.sum(), 1e-300)
        self.kept = np.minimum(np.sqrt(share) + share, 1.0)
        odds = counts**_POWER
        for row, word in enumerate(model.words):
            if word == SENTENCE_END:
                odds[row] = 0
        self._odds = np.cumsum(odds / odds.sum())

    def sentences(self, path: Path, start: int, end: int) -> Iterator[tuple[Words, Words, int]]:
        """A part of a file in blocks: rows of its known words, sentence of each, and bytes read."""
        with path.open("rb") as file:
            file.seek(start)
            if start:
                # The word at the border belongs to the part before.
                _to_space(file)
            sentence, rest = 0, b""
            while file.tell() < end:
                before = file.tell()
                text = rest + file.read(min(_BLOCK, end - before))
                if file.tell() >= end:
                    text += _to_space(file)
                    rest = b""
                else:
                    cut = max(text.rfind(b" "), text.rfind(b"\n")) + 1
                    text, rest = text[:cut], text[cut:]
                rows: list[int] = []
                lengths: list[int] = []
                for line in text.replace(b"\0", b" ").split(b"\n"):
                    found = [self._rows[word] for word in line.split() if word in self._rows]
                    for first in range(0, len(found), _LONGEST_SENTENCE):
                        lengths.append(len(found[first : first + _LONGEST_SENTENCE]))
                    rows += found
                numbers = sentence + np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
                sentence += len(lengths)
                yield np.array(rows, dtype=np.int32), numbers, file.tell() - before

    def wrong(self, shape: tuple[int, int], random: np.random.Generator) -> Words:
        """Words drawn by their odds."""
        drawn = np.searchsorted(self._odds, random.random(shape), side="right")
        return np.minimum(drawn, len(self._odds) - 1).astype(np.int32)


def _to_space(file: BinaryIO) -> bytes:
    """What is left of the word in which a file stands, with the line end or space behind it."""
    found = bytearray()
    while byte := file.read(1):
        found += byte
        if byte.isspace():
            break
    return bytes(found)


def pairs(
    rows: Words, sentences: Words, window: int, kept: Matrix, random: np.random.Generator
) -> Pairs:
    """Each word that is kept beside those around it, within a window of a random size."""
    stays = random.random(len(rows)) < kept[rows]
    rows, sentences = rows[stays], sentences[stays]
    sizes = random.integers(1, window + 1, len(rows))
    places, contexts = [], []
    for distance in range(1, min(window, max(len(rows) - 1, 0)) + 1):
        near = sentences[:-distance] == sentences[distance:]
        left = np.flatnonzero(near & (sizes[:-distance] >= distance))
        right = np.flatnonzero(near & (sizes[distance:] >= distance)) + distance
        places += [left, right]
        contexts += [left + distance, right - distance]
    if not places:
        return Pairs(rows[:0], rows[:0])
    place, context = np.concatenate(places), np.concatenate(contexts)
    order = np.lexsort((context, place))
    return Pairs(rows[place[order]], rows[context[order]])


class Steps:
    """Moves the vectors of a model by batches of pairs."""

    def __init__(
        self,
        model: Trained,
        vocabulary: Vocabulary,
        batch_size: int,
        negatives: int,
        random: np.random.Generator,
    ) -> None:
        self._inputs, self._outputs = model.inputs, model.outputs
        self._vocabulary = vocabulary
        self._size = batch_size
        self._negatives = negatives
        self._random = random
        self.rates = {
            name: np.zeros(len(matrix), dtype=np.float32)
            for name, matrix in (("inputs", self._inputs), ("outputs", self._outputs))
        }
        """By how much each vector was moved since this was last set to zero, as a sum of rates."""

    def take(self, found: Pairs, rate: float) -> None:
        """Go through pairs in their order, `batch_size` of them to a set of wrong words."""
        abreast = _ABREAST * self._size
        for start in range(0, len(found.words), abreast):
            stop = start + abreast
            words, contexts = found.words[start:stop], found.contexts[start:stop]
            short = -len(words) % self._size
            if short:
                # The last batch is filled up with pairs that move nothing.
                words = np.append(words, np.zeros(short, dtype=np.int32))
                contexts = np.append(contexts, np.zeros(short, dtype=np.int32))
            self._step(words, contexts, len(words) - short, rate)

    def _step(self, words: Words, contexts: Words, real: int, rate: float) -> None:
        batches = len(words) // self._size
        wrong = self._vocabulary.wrong((batches, self._negatives), self._random)
        inputs, right = self._inputs[contexts], self._outputs[words]
        others = self._outputs[wrong]
        step = np.float32(rate)
        pull = step * (1 - _sigmoid(np.einsum("ij,ij->i", inputs, right)))
        pull[real:] = 0
        folded = inputs.reshape(batches, self._size, -1)
        push = -step * _sigmoid(folded @ others.transpose(0, 2, 1))
        push.reshape(len(words), -1)[real:] = 0
        # A word that was drawn as a wrong one of itself is none.
        push[words.reshape(batches, self._size, 1) == wrong[:, None, :]] = 0
        moved = (push @ others).reshape(len(words), -1) + pull[:, None] * right
        rates = np.full(len(contexts), step * (1 + self._negatives))
        self._add("inputs", contexts, moved, rates)
        outputs = np.concatenate(
            [pull[:, None] * inputs, (push.transpose(0, 2, 1) @ folded).reshape(wrong.size, -1)]
        )
        rates = np.full(len(outputs), step)
        rates[len(words) :] *= self._size
        self._add("outputs", np.concatenate([words, wrong.ravel()]), outputs, rates)

    def _add(self, name: str, rows: Words, changes: Matrix, rates: Matrix) -> None:
        """Add each change to its row, where rows may come more than once, each at its own rate."""
        matrix = self._inputs if name == "inputs" else self._outputs
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        total = np.add.reduceat(changes[order], starts)
        together = np.add.reduceat(rates[order], starts)
        self.rates[name][ordered[starts]] += together
        matrix[ordered[starts]] += total * np.minimum(_LARGEST_RATE / together, 1)[:, None]


def _sigmoid(scores: Matrix) -> Matrix:
    found = 1 / (1 + np.exp(-np.clip(scores, -15, 15)))
    return found.astype(np.float32, copy=False)


def fit(path: Path, settings: Settings, batch_size: int, peers: Peers) -> Trained:
    """Train the vectors of a text; every host of a job ends with the same.

    Raises:
        CustomerError: No word is left, or the numbers grew without bound.
    """
    model = begun(path, settings)
    vocabulary = Vocabulary(model, settings.t)
    size = path.stat().st_size
    hosts = len(peers.hosts)
    start, end = size * peers.rank // hosts, size * (peers.rank + 1) // hosts
    random = np.random.default_rng([0, peers.rank])
    steps = Steps(model, vocabulary, batch_size, settings.neg, random)
    together = _Together(model, steps, peers)
    whole, passed = max((end - start) * settings.epoch, 1), 0
    for _ in range(settings.epoch):
        parts = np.linspace(start, end, MEETINGS + 1).astype(int) if hosts > 1 else [start, end]
        for first, last in pairwise(parts):
            for rows, sentences, read in vocabulary.sentences(path, int(first), int(last)):
                found = pairs(rows, sentences, settings.ws, vocabulary.kept, random)
                # The rate falls within a block, too, by whole steps.
                step = _ABREAST * batch_size
                portion = step * max(len(found.words) // (64 * step), 1)
                count = max(len(found.words), 1)
                for at in range(0, len(found.words), portion):
                    progress = (passed + read * at / count) / whole
                    rate = settings.lr * max(1 - progress, _LEAST_RATE)
                    some = slice(at, at + portion)
                    steps.take(Pairs(found.words[some], found.contexts[some]), rate)
                passed += read
            together.meet()
        if not np.isfinite(model.inputs).all():
            raise CustomerError(
                f"Training went out of bounds with learning_rate {settings.lr:g}; use a lower one"
            )
    return model


class _Together:
    """What the hosts of a job have moved since they last met."""

    def __init__(self, model: Trained, steps: Steps, peers: Peers) -> None:
        self._matrices = {"inputs": model.inputs, "outputs": model.outputs}
        self._rates = steps.rates
        self._peers = peers
        self._before = {} if peers.alone else {k: m.copy() for k, m in self._matrices.items()}

    def meet(self) -> None:
        """Move every vector by what all hosts moved it.

        That is their sum for a vector that few steps have moved, and falls to their mean for one
        that so many have moved that each host has found its place alone.
        """
        if self._peers.alone:
            return
        own: dict[str, npt.NDArray[Any]] = {}
        for name, matrix in self._matrices.items():
            rows = np.flatnonzero(self._rates[name])
            own[f"{name}-rows"] = rows.astype(np.int32)
            own[f"{name}-moves"] = matrix[rows] - self._before[name][rows]
            own[f"{name}-rates"] = self._rates[name][rows]
            self._rates[name][:] = 0
        everyone = self._peers.gather(own)
        for name, matrix in self._matrices.items():
            hosts, rates = np.zeros((2, len(matrix)), dtype=np.float32)
            total = np.zeros_like(matrix)
            for part in everyone:
                touched = part[f"{name}-rows"]
                hosts[touched] += 1
                rates[touched] += part[f"{name}-rates"]
                total[touched] += part[f"{name}-moves"]
            moved = np.flatnonzero(hosts)
            share = np.maximum(np.minimum(_SUMMED_RATE / rates[moved], 1), 1 / hosts[moved])
            self._before[name][moved] += total[moved] * share[:, None]
            matrix[:] = self._before[name]
