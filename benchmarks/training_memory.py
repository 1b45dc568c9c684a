"""`python -m benchmarks.training_memory [NAME ...]`: what training needs when the data grow.

Each algorithm trains twice in each mode that takes this content type, on eight times as much the
second time, in a process of its own, of which the peak memory (RSS) is told. Data are made up, or
repeated: how much there is counts here, and not what.
"""

from __future__ import annotations

import io
import json
import mimetypes
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import random as random_sparse

from algorithms.catalog import algorithm
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.images import imagerecord
from benchmarks.algorithms import _processes
from benchmarks.measuring import Figure, end_by_signals, machine
from datasets import digit_images
from datasets.canvases import canvases
from datasets.logins import World
from datasets.sequences import reversal

_MORE = 8
_PROTOBUF, _LINES, _IMAGES = (
    "application/x-recordio-protobuf",
    "application/jsonlines",
    "application/x-recordio",
)
_Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Case:
    """A job whose `train` channel is one object over and over.

    Args:
        content_type: of the channel.
        part: the object.
        times: how often it is there at first.
        settings: the hyperparameters.
        modes: which of the modes of the algorithm take this content type.
        others: channels that stay as they are.
    """

    content_type: str
    part: bytes
    times: int
    settings: Mapping[str, Any]
    modes: Sequence[str] = ("File", "Pipe")
    others: Mapping[str, tuple[str, _Files]] = field(default_factory=dict)
    mask: bytes = b""
    """What lies in `train_annotation` beside each object, and comes after it through a pipe."""

    def files(self, times: int) -> dict[str, tuple[str, _Files]]:
        """The channels of File mode."""
        suffix = mimetypes.guess_extension(self.content_type) or ".data"
        channels = {"train": (self.content_type, _named(self.part, suffix, times))}
        if self.mask:
            channels["train_annotation"] = "image/png", _named(self.mask, ".png", times)
        return {**self.others, **channels}

    def stream(self, times: int) -> tuple[str, list[bytes]]:
        """The content type of `train` in Pipe mode, and what comes through."""
        if not self.mask:
            return self.content_type, [self.part] * times
        return _IMAGES, [recordio.frame(self.part) + recordio.frame(self.mask)] * times


def _named(body: bytes, suffix: str, times: int) -> _Files:
    return {f"{number}{suffix}": body for number in range(times)}


@cache
def _rows() -> bytes:
    """8 MB of 20,000 dense rows with a label of two."""
    random = np.random.default_rng(0)
    features = random.random((20_000, 100), dtype=np.float32)
    return recordio.write(Table(features, (features[:, 0] > 0.5).astype(np.float32)))


@cache
def _unlabelled() -> bytes:
    return recordio.write(Table(np.random.default_rng(0).random((20_000, 100), dtype=np.float32)))


@cache
def _sparse(labelled: bool) -> bytes:
    """6 MB of 10,000 rows with 50 of 2,000 features."""
    found = random_sparse(10_000, 2000, 0.025, "csr", np.float32, np.random.default_rng(0))
    found.data = np.ceil(found.data * 5)
    labels = np.random.default_rng(1).integers(0, 2, 10_000).astype(np.float32)
    return recordio.write(Table(found, labels if labelled else None))


def _text() -> bytes:
    """8 MB of labelled sentences of 2,000 words."""
    words = np.random.default_rng(0).zipf(1.3, 1_400_000) % 2000
    lines = (" ".join(f"w{word}" for word in line) for line in words.reshape(-1, 20))
    return "\n".join(f"__label__{number % 2} {line}" for number, line in enumerate(lines)).encode()


def _series() -> bytes:
    """3 MB of 400 series of 1,000 numbers."""
    values = np.random.default_rng(0).normal(10, 2, (400, 1000)).round(3).tolist()
    return _lines({"start": "2024-01-01 00:00:00", "target": one} for one in values)


def _lines(rows: Iterable[Mapping[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _pairs() -> bytes:
    """5 MB of 50,000 pairs of sequences."""
    tokens = np.random.default_rng(0).integers(0, 1000, (50_000, 20)).tolist()
    return _lines(
        {"label": number % 2, "in0": one[:10], "in1": one[10:]} for number, one in enumerate(tokens)
    )


def _translation() -> Case:
    from algorithms.seq2seq import pairs

    some = reversal(8000)
    body = pairs.write([{"source": s, "target": t} for s, t in some.numbers(some.pairs)])
    few = pairs.write([{"source": s, "target": t} for s, t in some.numbers(some.pairs[:64])])
    settings = {
        "max_num_batches": 20,
        "checkpoint_frequency_num_batches": 20,
        "rnn_num_hidden": 64,
        "num_embed_source": 32,
        "num_embed_target": 32,
    }
    others = {
        "validation": (_PROTOBUF, {"val.rec": few}),
        "vocab": ("application/json", some.vocabularies()),
    }
    return Case(_PROTOBUF, body, 32, settings, ("File",), others)


@cache
def _photographs() -> list[bytes]:
    """Ten pictures of 0.8 MB each, of nothing."""
    from PIL import Image

    found = []
    for seed in range(10):
        file = io.BytesIO()
        noise = np.random.default_rng(seed).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file, "JPEG", quality=85)
        found.append(file.getvalue())
    return found


def _classified() -> Case:
    found = _photographs()
    body = b"".join(imagerecord.pack([n], jpeg) for n, jpeg in enumerate(found))
    settings = {
        "num_layers": 20,
        "image_shape": "3,28,28",
        "num_classes": 10,
        "num_training_samples": len(found),
        "mini_batch_size": 8,
        "epochs": 1,
    }
    few = {"a.rec": digit_images.recordio(digit_images.small()[:32])}
    return Case(_IMAGES, body, 10, settings, others={"validation": (_IMAGES, few)})


def _detected() -> Case:
    drawn = canvases(2, side=600, digits=10, sizes=(80, 200), seed=0)
    few = b"".join(imagerecord.pack(each.label, each.jpeg()) for each in drawn)
    body = b"".join(imagerecord.pack(drawn[0].label, jpeg) for jpeg in _photographs())
    settings = {
        "base_network": "resnet-50",
        "use_pretrained_model": 0,
        "num_classes": 10,
        "num_training_samples": len(_photographs()),
        "mini_batch_size": 2,
        "epochs": 1,
    }
    return Case(_IMAGES, body, 1, settings, others={"validation": (_IMAGES, {"a.rec": few})})


def _segmented() -> Case:
    from PIL import Image

    drawn = canvases(2, side=96, digits=2, sizes=(36, 48), kinds=(0, 1, 2), seed=0)
    kinds = np.random.default_rng(0).integers(0, 4, (900, 1200), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(kinds).save(file, "PNG")
    settings = {
        "use_pretrained_model": "False",
        "num_classes": 4,
        "num_training_samples": 10,
        "mini_batch_size": 2,
        "base_size": 96,
        "crop_size": 96,
        "epochs": 1,
    }
    others: dict[str, tuple[str, _Files]] = {
        "validation": ("image/jpeg", {f"{n}.jpg": one.jpeg() for n, one in enumerate(drawn)}),
        "validation_annotation": (
            "image/png",
            {f"{n}.png": one.mask_png() for n, one in enumerate(drawn)},
        ),
    }
    return Case("image/jpeg", _photographs()[0], 10, settings, others=others, mask=file.getvalue())


def _cases() -> dict[str, Callable[[], Case]]:
    """How each case is made, by algorithm."""
    rows = {"feature_dim": 100}
    topics = {"feature_dim": 2000, "num_topics": 5, "mini_batch_size": 256}
    return {
        "blazingtext": lambda: Case(
            "text/plain", _text(), 2, {"mode": "supervised", "epochs": 1}, ("File",)
        ),
        "deepar": lambda: Case(
            _LINES,
            _series(),
            2,
            {
                "time_freq": "H",
                "context_length": 24,
                "prediction_length": 24,
                "epochs": 1,
                "num_layers": 1,
                "num_cells": 30,
                "mini_batch_size": 512,
            },
            ("File",),
        ),
        "factorization-machines": lambda: Case(
            _PROTOBUF,
            _sparse(labelled=True),
            8,
            {"feature_dim": 2000, "num_factors": 8, "predictor_type": "binary_classifier"},
        ),
        "image-classification": _classified,
        "ipinsights": lambda: Case(
            "text/csv",
            World(users=5000, seed=0).logins(200_000).csv(),
            2,
            {"num_entity_vectors": 20_000, "vector_dim": 32, "epochs": 1},
            ("File",),
        ),
        "kmeans": lambda: Case(_PROTOBUF, _unlabelled(), 8, {**rows, "k": 10}),
        "knn": lambda: Case(
            _PROTOBUF,
            _rows(),
            8,
            {**rows, "k": 5, "predictor_type": "classifier", "sample_size": 20_000},
        ),
        "lda": lambda: Case(_PROTOBUF, _sparse(labelled=False), 8, topics),
        "linear-learner": lambda: Case(
            _PROTOBUF, _rows(), 8, {"predictor_type": "binary_classifier", "epochs": 1}
        ),
        "ntm": lambda: Case(_PROTOBUF, _sparse(labelled=False), 8, {**topics, "epochs": 1}),
        "object-detection": _detected,
        "object2vec": lambda: Case(
            _LINES,
            _pairs(),
            2,
            {
                "enc0_max_seq_len": 10,
                "enc0_vocab_size": 1000,
                "enc_dim": 16,
                "enc0_token_embedding_dim": 16,
                "mlp_layers": 0,
                "epochs": 1,
                "mini_batch_size": 1024,
                "output_layer": "softmax",
                "num_classes": 2,
                "enc0_network": "pooled_embedding",
            },
            ("File",),
        ),
        "pca": lambda: Case(
            _PROTOBUF, _unlabelled(), 8, {**rows, "num_components": 10, "mini_batch_size": 500}
        ),
        "randomcutforest": lambda: Case(_PROTOBUF, _unlabelled(), 8, rows),
        "semantic-segmentation": _segmented,
        "seq2seq": _translation,
        "xgboost": lambda: Case(
            "text/csv",
            _table(),
            2,
            {"num_round": 2, "objective": "binary:logistic"},
            ("File",),
        ),
    }


def _table() -> bytes:
    """8 MB of text, of 20,000 rows of 50 numbers and a label."""
    random = np.random.default_rng(0)
    rows = np.column_stack([np.arange(20_000) % 2, random.random((20_000, 50)).round(5)])
    return "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist()).encode()


def _measure(name: str, case: Case) -> list[Figure]:
    figures = []
    for mode in case.modes:
        if mode not in algorithm(name).input_modes:
            continue
        for times in (case.times, case.times * _MORE):
            channels, streams = case.files(times), {}
            if mode == "Pipe":
                content_type, streams["train"] = case.stream(times)
                channels = {**case.others, "train": (content_type, {})}
            with tempfile.TemporaryDirectory() as folder:
                base = Path(folder)
                _processes.lay_out(base, channels, case.settings)
                with _processes.piped(base, streams):
                    spent = _processes.trained(name, base, OMP_NUM_THREADS="1")
            size = times * len(case.part + case.mask) / 1e6
            note = f"{spent.seconds:.1f} s"
            figures.append(
                Figure(f"{name}, {mode} mode, {size:.1f} MB", "MB", [spent.megabytes], note)
            )
    return figures


def main() -> None:
    """Measure the algorithms that were named, or all, and print a line for each job."""
    cases = _cases()
    wanted = sys.argv[1:] or sorted(cases)
    if unknown := set(wanted) - set(cases):
        sys.exit(f"no case of {', '.join(sorted(unknown))}; there are: {', '.join(sorted(cases))}")
    end_by_signals()
    print(machine(), flush=True)
    for name in wanted:
        for figure in _measure(name, cases[name]()):
            print(figure.line(), flush=True)


if __name__ == "__main__":
    main()
