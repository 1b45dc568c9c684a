"""A training job of PCA, on one host or several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from algorithms.pca.model import Model, save
from algorithms.pca.scatter import Matrix, Scatter, from_sketch, principal
from algorithms.toolkit import content, measured
from algorithms.toolkit.channels import Form, passing, share
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.peers import Peers, meet
from algorithms.toolkit.records import regrouped
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

_FORM = Form(allowed=(content.RECORDIO, content.CSV), label_size=0)
# How many further directions a sketch has when extra_components is -1.
_LEAST_EXTRA = 10


def train(job: Job) -> None:
    """Find the components of the `train` channel, and tell how much of `test` they keep."""
    with meet(job) as peers:
        _train(job, peers)
        # Nobody leaves before all are through: who ends early looks like one that died.
        peers.gather({})


def _train(job: Job, peers: Peers) -> None:
    settings = job.hyperparameters
    width, count = int(settings["feature_dim"]), int(settings["num_components"])
    started = time.time()
    if settings["algorithm_mode"] == "regular":
        scatter = _scatter(job, peers, None, 100)
        values, vectors = principal(scatter.product, count)
    else:
        extra = int(settings["extra_components"])
        extra = max(_LEAST_EXTRA, count) if extra < 0 else extra
        size = min(width, count + extra)
        random = np.random.default_rng(0).standard_normal((width, size))
        # The second pass looks along what the first one found, which is far closer to the truth.
        sketch = _scatter(job, peers, np.linalg.qr(random)[0], 50)
        directions = np.linalg.qr(sketch.product)[0]
        scatter = _scatter(job, peers, directions, 100, epoch=1)
        values, vectors = from_sketch(scatter.product, directions, count)
    if scatter.rows < count:
        log.warning(
            "num_components is %d, but the train channel has only %d records; further components "
            "have a singular value of 0",
            count,
            scatter.rows,
        )
    model = Model(vectors, values, scatter.mean if settings["subtract_mean"] else None)
    measured.report("PCA", job.host, started, {"number of records": scatter.rows})
    if "test" in job.channels:
        _report(job, peers, model, started)
    if peers.first:
        save(job.model_dir, model)


def _scatter(
    job: Job, peers: Peers, directions: Matrix | None, percent: int, epoch: int = 0
) -> Scatter:
    """The spread of the rows of all hosts; each goes once through its own."""
    settings = job.hyperparameters
    began = time.time()
    centred = bool(settings["subtract_mean"])
    scatter = Scatter(int(settings["feature_dim"]), directions, centred=centred)
    for table in _batches(job, "train", peers, epoch):
        scatter.add(table.dense() if settings["force_dense"] else table.features)
    own = scatter.rows
    if not peers.alone:
        parts = peers.gather(scatter.parts())
        scatter = Scatter(int(settings["feature_dim"]), directions, centred=centred)
        for part in parts:
            scatter.merge(part)
    seconds = max(time.time() - began, 1e-9)
    log.info("#progress_metric: host=%s, completed %d %%", job.host, percent)
    log.info(
        "#throughput_metric: host=%s, train throughput=%s records/second", job.host, own / seconds
    )
    return scatter


def _batches(job: Job, name: str, peers: Peers, epoch: int = 0) -> Iterator[Table]:
    """The rows of a channel that are this host's, mini_batch_size at a time."""
    width = int(job.hyperparameters["feature_dim"])

    def checked() -> Iterator[Table]:
        for table in passing(job.channels[name], _FORM.of_width(width), epoch):
            if table.width != width:
                raise CustomerError(
                    f"feature_dim is {width}, but {table.place(0)} of channel {name} has "
                    f"{table.width} features"
                )
            yield table

    own = share(job.channels[name], checked(), peers.rank, len(peers.hosts))
    return regrouped(own, repeat(int(job.hyperparameters["mini_batch_size"])))


def _report(job: Job, peers: Peers, model: Model, started: float) -> None:
    """Log how much of the spread of the test channel the components keep."""
    kept, whole, rows = 0.0, 0.0, 0
    for table in _batches(job, "test", peers):
        centred = model.centred(table.dense())
        kept += float(((centred @ model.vectors) ** 2).sum())
        whole += float((centred**2).sum())
        rows += table.rows
    sums = peers.total({"kept": np.array(kept), "whole": np.array(whole), "rows": np.array(rows)})
    kept, whole = float(sums["kept"]), float(sums["whole"])
    values = {
        "explained variance ratio": kept / whole if whole else 1.0,
        "reconstruction mse": (whole - kept) / (int(sums["rows"]) * model.width),
    }
    for name, value in values.items():
        log.info("test %s: %s", name, value)
    measured.report("PCA", job.host, started, {f"test {key}": one for key, one in values.items()})
