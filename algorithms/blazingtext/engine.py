"""The library fastText, asked so that training can be watched, ended, and done in its memory."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from fasttext import FastText as library

from algorithms.blazingtext.corpus import LABEL
from algorithms.toolkit.errors import CustomerError, StopRequested
from algorithms.toolkit.training import log

Matrix = npt.NDArray[np.float32]

# The library itself, below what it offers to Python.
_pybind: Any = library.fasttext

SENTENCE_END = "</s>"
# Below so many bytes times epochs one thread trains, and so the same job gives the same model.
ONE_THREAD_BYTES = 20_000_000


@dataclass(frozen=True)
class Settings:
    """How fastText is to train, under its own names."""

    model: str
    lr: float
    dim: int
    epoch: int
    minCount: int
    ws: int = 5
    neg: int = 5
    t: float = 1e-4
    minn: int = 0
    maxn: int = 0
    wordNgrams: int = 1
    bucket: int = 2_000_000
    thread: int = 1

    @property
    def supervised(self) -> bool:
        """Whether it is a classifier that is trained."""
        return self.model == "supervised"


def threads(size: int, epochs: int) -> int:
    """How many threads train on a text of this size: their updates mix in an order of chance."""
    return 1 if size * epochs < ONE_THREAD_BYTES else os.cpu_count() or 1


class Trained:
    """A model of fastText, whose matrices can be read and written where they lie."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.args = handle.getArgs()
        words, counts = handle.getVocab("strict")
        self.words: list[str] = words
        self.counts: npt.NDArray[np.int64] = np.asarray(counts, dtype=np.int64)
        # Views of the library's memory: both lie as long as the model does. A quantized model has
        # none to show, and predicts without.
        nothing = np.empty((0, self.args.dim), dtype=np.float32)
        quantized = handle.isQuant()
        self.inputs: Matrix = nothing if quantized else np.asarray(handle.getInputMatrix())
        self.outputs: Matrix = nothing if quantized else np.asarray(handle.getOutputMatrix())

    @property
    def supervised(self) -> bool:
        """Whether it is a classifier."""
        return bool(self.args.model == library.model_name.supervised)

    @property
    def subwords(self) -> bool:
        """Whether words it has never seen get vectors, from their parts."""
        return bool(self.args.maxn > 0)

    def labels(self) -> list[str]:
        """The labels of a classifier, in the order of its outputs."""
        found: list[str] = self._handle.getLabels("strict")[0]
        return found

    def vector(self, word: str) -> Matrix:
        """The vector of a word as it was trained; zeros for one that is unknown.

        The library's own function gives it at length one.
        """
        if self.subwords:
            rows = self._handle.getSubwords(word, "strict")[1]
            if len(rows):
                mean: Matrix = self.inputs[np.asarray(rows)].mean(axis=0)
                return mean
        else:
            row = self._handle.getWordId(word)
            if row >= 0:
                own: Matrix = self.inputs[row]
                return own
        return np.zeros(self.inputs.shape[1], dtype=np.float32)

    def predict(self, text: str, k: int) -> list[tuple[float, str]]:
        """The k likeliest labels of one line, with their probabilities."""
        found: list[tuple[float, str]] = self._handle.predict(text + "\n", k, 0.0, "strict")
        return found

    def accuracy(self, path: Path) -> tuple[int, float]:
        """How many examples a file has, and the share whose likeliest label is one of theirs."""
        count, precision, _ = self._handle.test(str(path), 1, 0.0)
        return int(count), float(precision) if count else 0.0

    def save(self, path: Path) -> None:
        """Write the binary file of fastText."""
        self._handle.saveModel(str(path))


def train(path: Path, settings: Settings) -> Trained:
    """Train on a text file.

    Raises:
        CustomerError: No word or label is left, or the numbers grew without bound.
    """
    handle = _pybind.fasttext()
    found: list[BaseException] = []

    def work() -> None:
        try:
            _pybind.train(handle, _arguments(path, settings))
        except BaseException as error:
            found.append(error)

    # The library knows no signals: a stop must find the main thread outside of it.
    worker = threading.Thread(target=work, daemon=True)
    with _ended_at_a_stop():
        worker.start()
        log.info("Training with %d threads", settings.thread)
        while worker.is_alive():
            worker.join(60)
    if found:
        if "NaN" in str(found[0]):
            raise CustomerError(
                f"Training went out of bounds with learning_rate {settings.lr:g}; use a lower one"
            ) from None
        raise found[0]
    return _usable(Trained(handle), settings)


def begun(path: Path, settings: Settings) -> Trained:
    """A model as it is before training: its vocabulary counted, its vectors random, outputs zero.

    Raises:
        CustomerError: No word or label is left.
    """
    handle = _pybind.fasttext()
    _pybind.train(handle, _arguments(path, replace(settings, epoch=0)))
    return _usable(Trained(handle), settings)


def load(path: Path) -> Trained:
    """Read the binary file of fastText.

    Raises:
        CustomerError: It is none.
    """
    handle = _pybind.fasttext()
    try:
        handle.loadModel(str(path))
        model = Trained(handle)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise CustomerError(f"{path.name} is not a binary model of fastText: {error}") from None
    if not model.supervised and not len(model.inputs):
        raise CustomerError(
            f"{path.name} holds quantized vectors of words, which are not supported; fastText "
            "quantizes classifiers alone"
        )
    return model


def _usable(model: Trained, settings: Settings) -> Trained:
    if not [word for word in model.words[:2] if word != SENTENCE_END]:
        raise CustomerError(
            f"No word occurs {settings.minCount} times in the train channel; lower min_count"
        )
    if settings.supervised and not model.labels():
        raise CustomerError("The train channel has no label")
    return model


def _arguments(path: Path, settings: Settings) -> Any:
    values = {
        **library.unsupervised_default,
        **vars(settings),
        "input": str(path),
        "label": LABEL,
        "loss": "softmax" if settings.supervised else "ns",
        "verbose": 0,
    }
    return library._build_args(values, set())


@contextmanager
def _ended_at_a_stop() -> Iterator[None]:
    """End the process at once when a stop comes: the library's threads would not let it."""
    try:
        yield
    except StopRequested:
        log.info("Stopped by request of the platform")
        sys.stdout.flush()
        os._exit(0)
