"""A supervised model trained epoch by epoch, in order to stop when validation no longer gains.

The library trains all epochs in one call. Here its steps are taken from Python, in the memory of
its own model: one example after another in the order of the file, with the same features, the same
falling rate and the same updates as fastText with one thread, so that a training that is not
stopped ends where the library's does.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.blazingtext.corpus import LABEL
from algorithms.blazingtext.engine import SENTENCE_END, Matrix, Settings, Trained, begun
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.training import log

# How many tokens fastText reads before it lowers its rate.
_RATE_TOKENS = 100
_NGRAM_FACTOR = np.uint64(116049371)
_FNV_START, _FNV_PRIME = 2166136261, 16777619

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Patience:
    """When to stop: after `epochs` without a gain, but not before `at_least` epochs."""

    epochs: int
    at_least: int


@dataclass(frozen=True)
class Examples:
    """Lines as fastText sees them: features with how often each occurs, labels, and tokens."""

    features: Any
    labels: list[Integers]
    tokens: Integers


def fit(path: Path, validation: Path, settings: Settings, patience: Patience) -> Trained:
    """Train until validation accuracy stops rising, and keep the best epoch's weights.

    Raises:
        CustomerError: The numbers grew without bound.
    """
    model = begun(path, settings)
    examples = read(path, model, settings)
    # Of the rows of all n-grams only those that occur can change.
    used = np.unique(examples.features.indices)
    random = np.random.default_rng(0)
    best, best_epoch, kept = -1.0, 0, None
    passed = 0
    for epoch in range(1, settings.epoch + 1):
        passed = one_epoch(model, examples, settings, passed, random)
        if not np.isfinite(model.outputs).all():
            raise CustomerError(
                f"Training went out of bounds with learning_rate {settings.lr:g}; use a lower one"
            )
        _, accuracy = model.accuracy(validation)
        log.info("-------------- End of epoch: %d", epoch)
        log.info("Validation accuracy: %.4f", accuracy)
        if accuracy > best:
            log.info("Validation accuracy improved! Storing best weights...")
            best, best_epoch = accuracy, epoch
            kept = (model.inputs[used], model.outputs.copy())
            continue
        log.info("Validation accuracy has not improved for last %d epochs.", epoch - best_epoch)
        if epoch >= patience.at_least and epoch - best_epoch >= patience.epochs:
            log.info("Reached patience. Terminating training.")
            break
    log.info("Best epoch: %d", best_epoch)
    if kept is not None:
        model.inputs[used], model.outputs[:] = kept
    return model


def one_epoch(
    model: Trained, examples: Examples, settings: Settings, passed: int, random: np.random.Generator
) -> int:
    """Take one step for each example; gives how many tokens have passed, as the rate counts them.

    Where an example has several labels, one of them is drawn for the step.
    """
    inputs, outputs = model.inputs, model.outputs
    features = examples.features
    bounds, indices, counts = features.indptr.tolist(), features.indices, features.data
    totals = np.add.reduceat(counts, features.indptr[:-1]) if len(counts) else counts
    whole = settings.epoch * int(examples.tokens.sum())
    waiting = 0
    for i, tokens in enumerate(examples.tokens.tolist()):
        rate = settings.lr * (1.0 - passed / whole)
        waiting += tokens
        labels = examples.labels[i]
        start, end = bounds[i], bounds[i + 1]
        if len(labels) and start < end:
            target = labels[0] if len(labels) == 1 else random.choice(labels)
            _step(inputs, outputs, indices[start:end], counts[start:end], totals[i], target, rate)
        if waiting > _RATE_TOKENS:
            passed, waiting = passed + waiting, 0
    return passed + waiting


def _step(
    inputs: Matrix,
    outputs: Matrix,
    rows: Integers,
    counts: Matrix,
    total: np.float32,
    target: int,
    rate: float,
) -> None:
    """Move the model by one example: the mean of its features' vectors, then a softmax."""
    vectors = inputs[rows]
    hidden = (counts @ vectors) / total
    scores = outputs @ hidden
    scores -= scores.max()
    np.exp(scores, out=scores)
    scores *= np.float32(-rate) / scores.sum()
    scores[target] += np.float32(rate)
    gradient = (scores @ outputs) / total
    outputs += np.multiply.outer(scores, hidden)
    vectors += np.multiply.outer(counts, gradient)
    inputs[rows] = vectors


def read(path: Path, model: Trained, settings: Settings) -> Examples:
    """The lines of a file by the vocabulary of a model, with n-grams of words in their buckets."""
    from scipy.sparse import vstack

    tokens = _Tokens(model)
    parts = [_part(tokens, *lines, model, settings) for lines in _lines(path, tokens)]
    return Examples(
        vstack([part.features for part in parts], format="csr"),
        [labels for part in parts for labels in part.labels],
        np.concatenate([part.tokens for part in parts]),
    )


def _part(
    tokens: _Tokens, codes: Integers, lengths: Integers, model: Trained, settings: Settings
) -> Examples:
    """Some lines, given by the numbers of their tokens and how many each line has."""
    from scipy.sparse import csr_matrix

    ids, labels, hashes = tokens.known()
    lines = np.repeat(np.arange(len(lengths)), lengths)
    kinds = labels[codes]
    is_word = kinds == _WORD
    word_lines, words = lines[is_word], codes[is_word]
    rows, columns = [word_lines], [ids[words]]
    own = running = hashes[words]
    for length in range(2, settings.wordNgrams + 1):
        # The hash of a run goes on from that of the run that is one word shorter.
        running = running[:-1] * _NGRAM_FACTOR + own[length - 1 :]
        inside = word_lines[: len(running)] == word_lines[length - 1 :]
        rows.append(word_lines[: len(running)][inside])
        buckets = (running[inside] % np.uint64(settings.bucket)).astype(np.int64)
        columns.append(len(model.words) + buckets)
    row, column = np.concatenate(rows), np.concatenate(columns)
    known = column >= 0
    row, column = row[known], column[known]
    features = csr_matrix(
        (np.ones(len(row), dtype=np.float32), (row, column)),
        shape=(len(lengths), len(model.inputs)),
    )
    is_label = kinds >= 0
    found = np.split(kinds[is_label], np.searchsorted(lines[is_label], np.arange(1, len(lengths))))
    return Examples(features, found, lengths)


def _lines(path: Path, tokens: _Tokens) -> Iterator[tuple[Integers, Integers]]:
    """The numbers of the tokens of a file, some lines at a time, and how many each line has."""
    codes, lengths = array("q"), array("q")
    with path.open("rb") as file:
        for line in file:
            found = line.replace(b"\0", b" ").split()
            if line.endswith(b"\n"):
                found.append(SENTENCE_END.encode())
            codes.extend([tokens[token] for token in found])
            lengths.append(len(found))
            if len(codes) >= _AT_ONCE:
                yield np.array(codes), np.array(lengths)
                codes, lengths = array("q"), array("q")
    if lengths:
        yield np.array(codes), np.array(lengths)


# In place of a label's number: a word, or a label that the model does not know.
_WORD, _UNKNOWN = -1, -2
# Tokens whose features are made at once, from many times their memory.
_AT_ONCE = 500_000


class _Tokens(dict[bytes, int]):
    """Numbers of the tokens that have come, and what a model knows of each."""

    def __init__(self, model: Trained) -> None:
        super().__init__()
        self._words = {word.encode(): row for row, word in enumerate(model.words)}
        self._labels = {label.encode(): row for row, label in enumerate(model.labels())}
        self._rows, self._kinds, self._hashes = array("q"), array("q"), array("q")

    def __missing__(self, token: bytes) -> int:
        self[token] = number = len(self)
        is_label = token.startswith(LABEL.encode())
        self._rows.append(self._words.get(token, -1))
        self._kinds.append(self._labels.get(token, _UNKNOWN) if is_label else _WORD)
        self._hashes.append(_hash(token))
        return number

    def known(self) -> tuple[Integers, Integers, npt.NDArray[np.uint64]]:
        """By number: the token's row (-1 when it has none), its label or kind, and its hash."""
        return np.array(self._rows), np.array(self._kinds), np.array(self._hashes).view(np.uint64)


def _hash(word: bytes) -> int:
    """FNV-1a as fastText has it: of signed bytes, and a signed number of 32 bits itself."""
    value = _FNV_START
    for byte in word:
        value = ((value ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * _FNV_PRIME) & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
