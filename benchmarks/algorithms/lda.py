"""LDA beside gensim: known topics, and how likely articles are that neither has seen."""

import time

import numpy as np
from gensim.matutils import Sparse2Corpus
from gensim.models import LdaModel
from scipy.sparse import csr_matrix

from algorithms.lda import load
from algorithms.lda.documents import Matrix, mixtures, smoothed
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure
from datasets import reuters
from datasets import topics as bars

_RUNS = 3
_PASSES = 30


def measure() -> list[Figure]:
    """The error of topics, the bound on a word of new articles, and processor time."""
    return [*_known(), *(figure for count in (5, 10, 20) for figure in _articles(count))]


def _known() -> list[Figure]:
    errors, peers, seconds = [], [], []
    for seed in range(_RUNS):
        corpus = bars.griffiths_steyvers(5400, seed=seed)
        counts = csr_matrix(corpus.counts)
        topics, _, took = _learnt(counts, 5)
        seconds.append(took)
        errors.append(100 * bars.topic_error(corpus.topics, topics))
        peers.append(100 * bars.topic_error(corpus.topics, _peer(counts, 5)[0]))
    return [
        Figure("bars, error of the topics", "%", errors, "goal: 2"),
        Figure("bars, error of the topics of gensim", "%", peers, f"{_PASSES} passes"),
        Figure("bars, training", "s", seconds, "5,400 documents"),
    ]


def _articles(count: int) -> list[Figure]:
    found: dict[str, list[float]] = {"": [], " under gensim's topics": []}
    times: dict[str, list[float]] = {"": [], " of gensim": []}
    counts = csr_matrix(reuters.articles().counts)
    for seed in range(_RUNS):
        order = np.random.default_rng(seed).permutation(counts.shape[0])
        train, test = counts[order[:316]], counts[order[316:]].astype(np.float64)
        models = _learnt(train, count), _peer(train, count)
        for (topics, alpha, took), name, time_name in zip(models, found, times, strict=True):
            bound = mixtures(test, topics, alpha).bound.sum()
            found[name].append(float(bound / test.sum()))
            times[time_name].append(took)
    lead = f"Reuters, {count} topics"
    return [
        *(Figure(f"{lead}: log odds of a word{name}", "", vals) for name, vals in found.items()),
        *(Figure(f"{lead}: training{name}", "s", values) for name, values in times.items()),
    ]


def _learnt(counts: csr_matrix, count: int) -> tuple[Matrix, Matrix, float]:
    body = recordio.write(Table(counts))
    channel = ("application/x-recordio-protobuf", {"train.pbr": body})
    settings = {
        "num_topics": count,
        "feature_dim": counts.shape[1],
        "mini_batch_size": counts.shape[0],
    }
    with trained("lda", {"train": channel}, settings) as job:
        model = load(job.model)
    return model.topics, model.alpha, job.seconds


def _peer(counts: csr_matrix, count: int) -> tuple[Matrix, Matrix, float]:
    began = time.process_time()
    peer = LdaModel(
        Sparse2Corpus(counts, documents_columns=False),
        num_topics=count,
        passes=_PASSES,
        alpha="auto",
        id2word={word: str(word) for word in range(counts.shape[1])},
        random_state=0,
    )
    took = time.process_time() - began
    return smoothed(peer.get_topics().astype(float), 1e-12), peer.alpha.astype(float), took
