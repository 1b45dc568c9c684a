"""K-Means beside scikit-learn: distances to the centres, and records a second."""

import re
import time

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.datasets import load_digits

from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure

_RUNS = 5
_SIZE = 500
_TIMES = 40


def measure() -> list[Figure]:
    """The mean squared distance over that of KMeans, on parts of the digits; then time."""
    features = load_digits(return_X_y=True)[0].astype(np.float32)
    ratios = []
    for seed in range(_RUNS):
        rows = np.random.default_rng(seed).permutation(features)[:1200]
        with trained("kmeans", _channel(rows), {**_settings(), "mini_batch_size": _SIZE}) as job:
            found = re.search(r"train msd <loss>=(\S+)", job.log)
        best = KMeans(n_clusters=10, n_init=10, random_state=0).fit(rows).inertia_ / len(rows)
        ratios.append(float(found[1]) / best if found else np.nan)
    own, peers = [], []
    many = np.tile(features, (_TIMES, 1))
    channel = _channel(many)
    for _ in range(_RUNS):
        with trained("kmeans", channel, {**_settings(), "mini_batch_size": 5000}) as job:
            own.append(len(many) / job.seconds / 1e3)
        began = time.process_time()
        MiniBatchKMeans(10, batch_size=5000, max_iter=1, n_init=1, random_state=0).fit(many)
        peers.append(len(many) / (time.process_time() - began) / 1e3)
    what = f"{len(many)} rows of 64 numbers, one pass"
    return [
        Figure("digits: msd over that of KMeans", "x", ratios, "goal: 1.02"),
        Figure("records by the whole job, with 100 centres and metrics", "k/s", own, what),
        Figure("records by MiniBatchKMeans, 10 centres, in memory", "k/s", peers, what),
    ]


def _settings() -> dict[str, int]:
    return {"k": 10, "feature_dim": 64}


def _channel(rows: np.typing.NDArray[np.float32]) -> dict[str, tuple[str, dict[str, bytes]]]:
    body = recordio.write(Table(rows))
    return {"train": ("application/x-recordio-protobuf", {"rows.pbr": body})}
