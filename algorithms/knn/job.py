"""A training job of k-NN, on one host or several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.knn import index as indexes
from algorithms.knn import reduction
from algorithms.knn.model import Model, prepared, save
from algorithms.toolkit import content, measured
from algorithms.toolkit.channels import Form, passing, share
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FloatArray, Table
from algorithms.toolkit.peers import Peers, meet
from algorithms.toolkit.records import Sample, regrouped
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

_FORM = Form(allowed=(content.RECORDIO, content.CSV), label_size=1)
# How many cells are looked into, as the log of AWS's own image shows it.
_PROBES = "_faiss_index_nprobe"
_PARTS = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)


def train(job: Job) -> None:
    """Index a sample of the `train` channel, and score the `test` channel."""
    with meet(job) as peers:
        _train(job, peers)
        # Nobody leaves before all are through: who ends early looks like one that died.
        peers.gather({})


def _train(job: Job, peers: Peers) -> None:
    settings = job.hyperparameters
    started = time.time()
    _warn(job)
    rows, labels = _sample(job, peers)
    if len(rows) < int(settings["k"]):
        raise CustomerError(
            f"k is {settings['k']}, but only {len(rows)} records are indexed; give a smaller k, or "
            "a sample_size and a train channel that are larger"
        )
    told, parts = _indexed(job, rows, labels)
    log.info("#progress_metric: host=%s, completed 100 %%", job.host)
    if "test" in job.channels:
        # Only now: a model copies all rows into its index.
        _report(job, peers, Model(told, parts), started)
    if peers.first:
        save(job.model_dir, told, parts)


def _warn(job: Job) -> None:
    """Say which settings have no effect, as AWS's own image takes them all the same."""
    given, kind = job.given, job.hyperparameters["index_type"]
    if given.get("faiss_index_ivf_nlists", "auto") != "auto" and kind == indexes.FLAT:
        log.warning("faiss_index_ivf_nlists has no effect on %s", kind)
    if "faiss_index_pq_m" in given and kind != indexes.IVF_PQ:
        log.warning("faiss_index_pq_m has no effect on %s", kind)
    if "dimension_reduction_target" in given and not given.get("dimension_reduction_type"):
        log.warning("dimension_reduction_target has no effect without dimension_reduction_type")


def _sample(job: Job, peers: Peers) -> tuple[FloatArray, FloatArray]:
    """The rows to index and their labels, drawn from those of all hosts alike."""
    wanted, began = int(job.hyperparameters["sample_size"]), time.time()
    sample = Sample(wanted, np.random.default_rng([0, peers.rank]))
    for table in _own(job, "train", peers):
        sample.add(Table(table.features, table.labels))
    seconds = max(time.time() - began, 1e-9)
    log.info(
        "#throughput_metric: host=%s, train throughput=%s records/second",
        job.host,
        sample.seen / seconds,
    )
    counts = [int(part["rows"]) for part in peers.gather({"rows": np.array(sample.seen)})]
    total = min(wanted, sum(counts))
    own = int(np.random.default_rng(1).multivariate_hypergeometric(counts, total)[peers.rank])
    features, labels = np.empty((0, int(job.hyperparameters["feature_dim"])), np.float32), None
    if own:
        (chosen,) = sample.chosen(own)
        features, labels = chosen.dense(), chosen.labels
    parts = peers.gather(
        {"rows": features, "labels": np.empty(0, np.float32) if labels is None else labels}
    )
    if peers.alone:
        return parts[0]["rows"], parts[0]["labels"]
    return (
        np.concatenate([part["rows"] for part in parts]),
        np.concatenate([part["labels"] for part in parts]),
    )


def _own(job: Job, name: str, peers: Peers) -> Iterator[Table]:
    """The rows of a channel that are this host's, as they come."""
    width = int(job.hyperparameters["feature_dim"])

    def checked() -> Iterator[Table]:
        for table in passing(job.channels[name], _FORM.of_width(width)):
            if table.width != width:
                raise CustomerError(
                    f"feature_dim is {width}, but {table.place(0)} of channel {name} has "
                    f"{table.width} features"
                )
            if table.labels is None:
                raise CustomerError(f"{table.place(0)} of channel {name} has no label")
            yield table

    return share(job.channels[name], checked(), peers.rank, len(peers.hosts))


def _indexed(
    job: Job, rows: FloatArray, labels: FloatArray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a model of these rows is made of: what it is told, and its arrays."""
    settings = job.hyperparameters
    width, kind, metric = rows.shape[1], settings["index_type"], settings["index_metric"]
    parts: dict[str, Any] = {"labels": np.ascontiguousarray(labels, np.float32)}
    reduced, pieces = width, int(settings.get("faiss_index_pq_m") or 0)
    if settings.get("dimension_reduction_type"):
        reduced = int(settings["dimension_reduction_target"])
        if kind == indexes.IVF_PQ and pieces:
            reduced = min(_multiple(reduced, pieces), width)
        parts |= reduction.drawn(settings["dimension_reduction_type"], width, reduced)
    if kind == indexes.IVF_PQ:
        fitting = [each for each in _PARTS if reduced % each == 0 and 4 * each <= reduced]
        pieces = pieces or max(fitting, default=1)
        log.info("faiss_index_pq_m is %d", pieces)
    length = _multiple(reduced, pieces) if kind == indexes.IVF_PQ else reduced
    lists = settings["faiss_index_ivf_nlists"]
    lists = round(len(rows) ** 0.5) if lists == "auto" else int(lists)
    if kind != indexes.FLAT and lists > len(rows):
        raise CustomerError(
            f"faiss_index_ivf_nlists is {lists}, but only {len(rows)} records are indexed; at most "
            "as many are allowed"
        )
    ready = prepared(rows, metric, parts, length)
    parts |= indexes.trained(ready, kind, metric, lists, pieces)
    return (
        {
            "k": int(settings["k"]),
            "width": width,
            "predictor_type": settings["predictor_type"],
            "index_type": kind,
            "index_metric": metric,
            "probes": int(job.reserved.get(_PROBES, 5)),
        },
        parts,
    )


def _multiple(number: int, of: int) -> int:
    return -(-number // of) * of


def _report(job: Job, peers: Peers, model: Model, started: float) -> None:
    """Log how well the labels of the test channel are told, in AWS's words."""
    classifies = job.hyperparameters["predictor_type"] == "classifier"
    score, rows = 0.0, 0
    size = int(job.hyperparameters["mini_batch_size"])
    for table in regrouped(_own(job, "test", peers), repeat(size)):
        found = model.decided(model.neighbours(table.dense())[1])
        labels = np.asarray(table.labels, dtype=np.float64)
        score += float(((found == labels) if classifies else (found - labels) ** 2).sum())
        rows += table.rows
    sums = peers.total({"score": np.array(score), "rows": np.array(rows)})
    name, direction = ("accuracy", "score") if classifies else ("mse", "loss")
    value = float(sums["score"]) / int(sums["rows"])
    log.info("#test_score (%s) : ('%s', %s)", job.host, name, value)
    log.info("#quality_metric: host=%s, test %s <%s>=%s", job.host, name, direction, value)
    measured.report("KNN", job.host, started, {f"test {name}": value})
