"""Neural Topic Model beside scikit-learn's LDA: known topics, and the words of topics of news."""

import time
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import LatentDirichletAllocation

from algorithms.ntm import job, load
from algorithms.ntm.fitting import Counts, top_words
from algorithms.ntm.topics import uniqueness
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure
from datasets import topics as bars
from datasets.texts import lee_counts

_RUNS = 3
_KNOWN = {"epochs": 50, "mini_batch_size": 100, "num_patience_epochs": 10}
_NEWS = {
    "epochs": 100,
    # 300 documents make few steps otherwise.
    "mini_batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "num_patience_epochs": 100,
}


def measure() -> list[Figure]:
    """The error of known topics, coherence and uniqueness of those of news, and times."""
    return [*_known(), *_news()]


def _learnt(counts: Counts, topics: int, settings: dict[str, Any]) -> tuple[Any, float]:
    body = recordio.write(Table(csr_matrix(counts)))
    channel = ("application/x-recordio-protobuf", {"train.pbr": body})
    values = {"num_topics": topics, "feature_dim": counts.shape[1], **settings}
    with trained("ntm", {"train": channel}, values) as found:
        return load(found.model).network, found.seconds


def _peer(counts: Counts, topics: int, seed: int, iterations: int) -> tuple[Any, float]:
    began = time.process_time()
    peer = LatentDirichletAllocation(topics, max_iter=iterations, random_state=seed).fit(counts)
    return peer.components_, time.process_time() - began


def _known() -> list[Figure]:
    errors, peers, rates, theirs = [], [], [], []
    for seed in range(_RUNS):
        corpus = bars.griffiths_steyvers(5000, seed=seed)
        network, seconds = _learnt(corpus.counts, 5, _KNOWN)
        found = network.topics().detach().numpy().astype(float)
        errors.append(100 * bars.topic_error(corpus.topics, found))
        rates.append(50 * 5000 / seconds)
        weights, seconds = _peer(corpus.counts, 5, seed, 10)
        odds = weights / weights.sum(axis=1, keepdims=True)
        peers.append(100 * bars.topic_error(corpus.topics, odds))
        theirs.append(10 * 5000 / seconds)
    return [
        Figure("bars, error of the topics", "%", errors, "50 epochs, 5,000 documents"),
        Figure("bars, error of the topics of LDA", "%", peers, "10 iterations"),
        Figure("bars, documents a second", "/s", rates),
        Figure("bars, documents a second of LDA", "/s", theirs),
    ]


def _news() -> list[Figure]:
    counts, _ = lee_counts()
    figures = []
    for count in (5, 10, 20):
        found: dict[str, list[float]] = {}
        for seed in range(_RUNS):
            with patch.object(job, "_SEED", seed):
                network, _ = _learnt(counts, count, _NEWS)
            for whose, weights in (
                ("", network.projection_weight.detach().numpy()),
                (" of LDA", _peer(counts, count, seed, 50)[0].T),
            ):
                words = top_words(weights)
                coherence = bars.coherence(words, counts)
                found.setdefault(f"coherence{whose}", []).append(coherence)
                unique = float(np.mean(uniqueness(words)))
                found.setdefault(f"uniqueness{whose}", []).append(unique)
        figures += [
            Figure(f"Lee, {count} topics: {name}", "", found[name]) for name in sorted(found)
        ]
    return figures
