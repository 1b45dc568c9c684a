"""k-NN beside brute force and beside faiss used directly, on the handwriting of MNIST-5000."""

import tempfile
import time
from pathlib import Path

import faiss
from sklearn.neighbors import KNeighborsClassifier

from algorithms.knn import load
from algorithms.knn.model import Model
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure
from datasets import mnist5000

_K = 5
_RUNS = 3
# How often the rows are repeated to be timed: few of them take less time than starting does.
_TIMES = 10


def measure() -> list[Figure]:
    """Neighbours found, accuracy, and processor time over that of the library."""
    train, test = mnist5000.split()
    body = recordio.write(Table(train.pixels, train.labels))
    reference = KNeighborsClassifier(_K, algorithm="brute").fit(train.pixels, train.labels)
    squared = reference.kneighbors(test.pixels)[0] ** 2
    alone = 100 * float(reference.score(test.pixels, test.labels))
    figures = [Figure("accuracy of scikit-learn's brute force", "%", [alone])]
    for kind in ("faiss.Flat", "faiss.IVFFlat"):
        own, bare = [], []
        for _ in range(_RUNS):
            own.append(_learnt(body * _TIMES, kind)[1])
            bare.append(_library(body * _TIMES, kind))
        model, _ = _learnt(body, kind)
        found, labels = model.neighbours(test.pixels)
        # A neighbour is right when it is as near as the farthest of the true ones.
        recall = float((found <= squared[:, -1:] * (1 + 1e-5)).mean())
        right = float((model.decided(labels) == test.labels).mean())
        figures += [
            Figure(f"{kind}, neighbours found", "%", [100 * recall], "goal: 90"),
            Figure(f"{kind}, accuracy", "%", [100 * right]),
            Figure(f"{kind}, training", "s", own),
            Figure(f"{kind}, training by faiss alone", "s", bare),
        ]
    return figures


def _learnt(body: bytes, kind: str) -> tuple[Model, float]:
    settings = {
        "feature_dim": 784,
        "k": _K,
        "predictor_type": "classifier",
        "sample_size": 4000 * _TIMES,
        "index_type": kind,
    }
    channel = ("application/x-recordio-protobuf", {"a.pbr": body})
    with trained("knn", {"train": channel}, settings) as job:
        return load(job.model), job.seconds


def _library(body: bytes, kind: str) -> float:
    """The same with nothing but the reader and faiss, from a file to a file."""
    with tempfile.TemporaryDirectory() as folder:
        channel = Path(folder) / "a.pbr"
        channel.write_bytes(body)
        began = time.process_time()
        rows = recordio.read(channel.read_bytes(), "rows").dense()
        index: faiss.Index = faiss.IndexFlatL2(rows.shape[1])
        if kind != "faiss.Flat":
            index = faiss.IndexIVFFlat(index, rows.shape[1], round(len(rows) ** 0.5))
            index.train(rows)
        index.add(rows)
        faiss.write_index(index, str(Path(folder) / "index"))
        return time.process_time() - began
