"""PCA beside the SVD of numpy and scikit-learn's PCA, on the handwriting of MNIST-5000."""

import time

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from algorithms.pca import load
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure
from datasets import mnist5000

_COUNT = 50
_RUNS = 3


def measure() -> list[Figure]:
    """How far the components are from those of SVD, what a sketch keeps, and processor time."""
    rows = mnist5000.digits().pixels / np.float32(255)
    body = recordio.write(Table(rows))
    centred = rows.astype(float) - rows.astype(float).mean(axis=0)
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    best, away = vectors[:_COUNT][::-1].T, 0.0
    seconds: dict[str, list[float]] = {"regular": [], "randomized": [], "scikit-learn": []}
    kept = 0.0
    for _ in range(_RUNS):
        for mode in ("regular", "randomized"):
            found, took = _learnt(body, mode)
            seconds[mode].append(took)
            if mode == "regular":
                signs = np.sign((found * best).sum(axis=0))
                away = float(np.abs(found * signs - best).max())
            else:
                kept = float(((centred @ found) ** 2).sum() / (values[:_COUNT] ** 2).sum())
        began = time.process_time()
        PCA(_COUNT, svd_solver="covariance_eigh").fit(recordio.read(body, "rows").dense())
        seconds["scikit-learn"].append(time.process_time() - began)
    return [
        Figure("regular, largest difference from SVD", "1e-6", [1e6 * away], "goal: 100"),
        Figure("randomized, share of the best variance", "%", [100 * kept], "goal: 99"),
        *(Figure(f"training, {name}", "s", each, "5,000 rows") for name, each in seconds.items()),
    ]


def _learnt(body: bytes, mode: str) -> tuple[npt.NDArray[np.float64], float]:
    settings = {
        "feature_dim": 784,
        "num_components": _COUNT,
        "mini_batch_size": 500,
        "algorithm_mode": mode,
    }
    channel = ("application/x-recordio-protobuf", {"a.pbr": body})
    with trained("pca", {"train": channel}, settings) as job:
        return load(job.model).vectors, job.seconds
