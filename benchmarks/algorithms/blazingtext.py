"""BlazingText beside fastText on the same text: what they learn, and how long they take.

Times are processor time of both in turns, so that what else the machine does weighs little.
"""

import json
import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

import fasttext
import numpy as np

from algorithms.blazingtext import batches
from algorithms.blazingtext.engine import Matrix, Settings, Trained
from algorithms.toolkit import training
from algorithms.toolkit.peers import Peers
from benchmarks.measuring import Figure
from datasets.texts import file, lee, polarity

_RUNS = 5
_CLASSES = {"epoch": 10, "lr": 0.5, "minCount": 1, "dim": 10, "bucket": 100_000, "wordNgrams": 2}
_CLASSIFIER = {
    "mode": "supervised",
    "epochs": 10,
    "learning_rate": 0.5,
    "min_count": 1,
    "vector_dim": 10,
    "buckets": 100_000,
    "word_ngrams": 2,
}


class _Vectors(Protocol):
    words: list[str]

    def get_input_matrix(self) -> Matrix: ...


def measure() -> list[Figure]:
    """Accuracy and neighbours beside fastText's, then time over it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*_learnt(folder), *_times(folder)]


def job(
    folder: Path, settings: dict[str, Any], text: bytes, validation: bytes | None = None
) -> tuple[str, float]:
    """Train as a container does; gives its log and the processor time of training."""
    base = Path(tempfile.mkdtemp(dir=folder))
    config = base / "input" / "config"
    config.mkdir(parents=True)
    channels = {"train": text} if validation is None else {"train": text, "validation": validation}
    for channel, body in channels.items():
        data = base / "input" / "data" / channel
        data.mkdir(parents=True)
        (data / "text").write_bytes(body)
    inputs = {channel: {"TrainingInputMode": "File"} for channel in channels}
    (config / "inputdataconfig.json").write_text(json.dumps(inputs))
    values = {key: str(value) for key, value in settings.items()}
    (config / "hyperparameters.json").write_text(json.dumps(values))
    os.environ["SAGEMAKER_BASE_DIR"] = str(base)
    log = StringIO()
    began = time.process_time()
    with redirect_stdout(log):
        code = training.run("blazingtext")
    seconds = time.process_time() - began
    if code:
        raise RuntimeError(log.getvalue())
    return f"{base}\n{log.getvalue()}", seconds


def reviews() -> tuple[bytes, bytes]:
    """Reviews to learn from, and others."""
    rows = [f"__label__{label} {sentence}\n".encode() for sentence, label in polarity()]
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    return b"".join(rows[i] for i in order[:150]), b"".join(rows[i] for i in order[150:])


def _learnt(folder: Path) -> list[Figure]:
    train, validation = reviews()
    path, other = folder / "train.txt", folder / "validation.txt"
    path.write_bytes(train)
    other.write_bytes(validation)
    same = fasttext.train_supervised(str(path), thread=1, verbose=0, **_CLASSES)
    found = job(folder, _CLASSIFIER, train, validation)[0]
    own = float(re.findall(r"#validation_accuracy: (\S+)", found)[0])
    early = job(folder, {**_CLASSIFIER, "early_stopping": True}, train, validation)[0]
    stopped = float(re.findall(r"#validation_accuracy: (\S+)", early)[0])
    news = ("\n".join(lee()) + "\n").encode()
    path.write_bytes(news)
    note = "100 commonest words"
    figures = [
        Figure(
            "polarity, accuracy on validation",
            "",
            [own],
            f"fastText {same.test(str(other))[1]:.4f}",
        ),
        Figure("polarity, the same with early stopping", "", [stopped]),
    ]
    for mode in ("skipgram", "cbow"):
        vectors = fasttext.train_unsupervised(str(path), model=mode, maxn=0, thread=1, verbose=0)
        made = job(folder, {"mode": mode}, news)[0].splitlines()[0]
        model = fasttext.load_model(f"{made}/model/vectors.bin")
        figures.append(
            Figure(f"Lee, {mode}: ten nearest words shared", "", [_overlap(model, vectors)], note)
        )
    settings = Settings(model="skipgram", lr=0.05, dim=50, epoch=10, minCount=5, t=1e-3)
    batched = batches.fit(path, settings, 11, Peers("algo-1", ("algo-1",)))
    library = fasttext.train_unsupervised(
        str(path), dim=50, epoch=10, maxn=0, t=1e-3, thread=1, verbose=0
    )
    for title, inputs, outputs in (
        ("batch_skipgram", batched.inputs, batched.outputs),
        ("fastText skipgram", library.get_input_matrix(), library.get_output_matrix()),
    ):
        loss = _loss(path, batched, inputs, outputs)
        figures.append(Figure(f"Lee, loss of a pair, {title}", "", [loss], "lower is better"))
    return figures


def _overlap(one: _Vectors, other: _Vectors) -> float:
    def near(model: _Vectors) -> list[set[int]]:
        rows = model.get_input_matrix()[: len(model.words)]
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return [set(row) for row in np.argsort(-(rows[:100] @ rows.T), axis=1)[:, 1:11].tolist()]

    pairs = zip(near(one), near(other), strict=True)
    return float(np.mean([len(a & b) / 10 for a, b in pairs]))


def _loss(path: Path, model: Trained, inputs: Matrix, outputs: Matrix) -> float:
    """What skipgram minimises: of a word beside one of its context, and of five wrong ones."""
    vocabulary, random = batches.Vocabulary(model, 1e-3), np.random.default_rng(5)
    ((rows, sentences, _),) = vocabulary.sentences(path, 0, path.stat().st_size)
    found = batches.pairs(rows, sentences, 5, vocabulary.kept, random)
    own, right = inputs[found.contexts], outputs[found.words]
    wrong = outputs[vocabulary.wrong((len(own), 5), random)]
    gains = np.log1p(np.exp(-np.einsum("id,id->i", own, right)))
    costs = np.log1p(np.exp(np.einsum("id,ijd->ij", own, wrong))).sum(axis=1)
    return float(gains.mean() + costs.mean())


def _times(folder: Path) -> list[Figure]:
    path = folder / "long.txt"
    stories = file("head500.noblanks.cor").read_bytes().decode(errors="ignore").encode()
    train = reviews()[0] * 150

    def vectors() -> None:
        model = fasttext.train_unsupervised(str(path), maxn=0, epoch=2, thread=1, verbose=0)
        model.save_model(str(folder / "bare.bin"))

    def classes() -> None:
        model = fasttext.train_supervised(str(path), thread=1, verbose=0, **_CLASSES)
        model.test(str(path))
        model.save_model(str(folder / "bare.bin"))

    return [
        _ratio(folder, "skipgram", stories, {"mode": "skipgram", "epochs": 2}, vectors),
        _ratio(folder, "supervised", train, {**_CLASSIFIER, "epochs": 10}, classes),
    ]


def _ratio(
    folder: Path, title: str, text: bytes, settings: dict[str, Any], bare: Callable[[], None]
) -> Figure:
    (folder / "long.txt").write_bytes(text)
    ratios = []
    for _ in range(_RUNS):
        began = time.process_time()
        bare()
        reference = time.process_time() - began
        ratios.append(job(folder, settings, text)[1] / reference)
    return Figure(f"{title}, time over fastText's own", "x", ratios, f"{reference:.1f} s")
