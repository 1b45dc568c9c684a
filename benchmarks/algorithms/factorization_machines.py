"""Factorization Machines beside modern-fm on MovieLens-100k: errors, and records a second.

Of modern-fm the best of some 40 settings is taken, with as many factors.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from modern_fm import FMClassifier, FMRegressor
from sklearn.metrics import roc_auc_score

from algorithms.factorization_machines import Model, load
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure
from datasets import movielens

_RUNS = 3
_COMMON = {
    "feature_dim": movielens.USERS + movielens.ITEMS,
    "num_factors": 16,
    "epochs": 7,
    "mini_batch_size": 500,
    "linear_lr": 0.01,
    "linear_wd": 0.0001,
    "factors_init_sigma": 0.01,
}
_RATING = {
    **_COMMON,
    "predictor_type": "regressor",
    "factors_lr": 0.003,
    "factors_wd": 0.00015,
}
_LIKING = {
    **_COMMON,
    "predictor_type": "binary_classifier",
    "factors_lr": 0.002,
    "factors_wd": 0.00002,
}
_PEER_RATING = {"max_iter": 15, "l2_linear": 0.01, "l2_factors": 0.09}
_PEER_LIKING = {"max_iter": 20, "l2_linear": 0.002, "l2_factors": 0.04}


def measure() -> list[Figure]:
    """RMSE and AUC over several splits, each beside the peer's, and how fast both learn."""
    found: dict[str, list[float]] = {}
    for seed in range(_RUNS):
        train, test = movielens.split(seed=seed)
        rating = Table(movielens.one_hot(train), train.ratings)
        asked = Table(movielens.one_hot(test), test.ratings)
        for name, value in _ratings(rating, asked).items():
            found.setdefault(f"rating, {name}", []).append(value)
        liking = replace(rating, labels=(train.ratings >= 4).astype(np.float32))
        asked = replace(asked, labels=(test.ratings >= 4).astype(np.float32))
        for name, value in _likings(liking, asked).items():
            found.setdefault(f"four stars or more, {name}", []).append(value)
    units = {"AUC": "%", "RMSE": "", "records": "k/s"}
    return [
        Figure(name, next(unit for word, unit in units.items() if word in name), values)
        for name, values in found.items()
    ]


def _ratings(train: Table, test: Table) -> dict[str, float]:
    model, own = _learnt(train, _RATING)
    scores = [answer["score"] for answer in model.predict(test)]
    peer = FMRegressor(n_factors=16, n_jobs=1, random_state=0, **_PEER_RATING)
    rate = _fitted(peer, train)
    return {
        "RMSE in hundredths of a star": 100 * _rmse(scores, test),
        "the same of modern-fm (RMSE)": 100 * _rmse(peer.predict(test.features), test),
        **own,
        "records by modern-fm": rate,
    }


def _likings(train: Table, test: Table) -> dict[str, float]:
    model, own = _learnt(train, _LIKING)
    scores = [answer["score"] for answer in model.predict(test)]
    peer = FMClassifier(n_factors=16, n_jobs=1, random_state=0, **_PEER_LIKING)
    rate = _fitted(peer, train)
    told = peer.predict_proba(test.features)[:, 1]
    return {
        "AUC": 100 * float(roc_auc_score(test.labels, scores)),
        "AUC of modern-fm": 100 * float(roc_auc_score(test.labels, told)),
        **own,
        "records by modern-fm": rate,
    }


def _learnt(train: Table, settings: Mapping[str, Any]) -> tuple[Model, dict[str, float]]:
    """A model, and through how many thousand records a second training went on one core."""
    channel = ("application/x-recordio-protobuf", {"train.pbr": recordio.write(train)})
    with trained("factorization-machines", {"train": channel}, settings) as job:
        return load(job.model), {
            "records by the whole job": train.rows * settings["epochs"] / job.seconds / 1e3
        }


def _fitted(peer: FMRegressor | FMClassifier, train: Table) -> float:
    began = time.process_time()
    peer.fit(train.features, train.labels)
    seconds = time.process_time() - began
    return float(train.rows * peer.max_iter / seconds / 1e3)


def _rmse(scores: npt.ArrayLike, test: Table) -> float:
    return float(np.sqrt(np.mean((np.asarray(scores) - np.asarray(test.labels)) ** 2)))
