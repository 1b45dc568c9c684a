"""A training job, from its channels to the artifact.

Several hosts make each step together, with the sum of their gradients: every one brings its share
of `mini_batch_size` records, so that a step is that of one host with all of the data.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.factorization_machines.machine import (
    Adam,
    Gradient,
    Matrix,
    Parts,
    gradient,
    merged,
    scores,
)
from algorithms.factorization_machines.model import Model
from algorithms.factorization_machines.scores import Sums
from algorithms.factorization_machines.settings import BINARY, check, idle, optimizer, start
from algorithms.toolkit import content, measured
from algorithms.toolkit.channels import Form, records
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.peers import Peers, meet
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.formats.table import Table
    from algorithms.toolkit.job import Job
    from algorithms.toolkit.records import Records

_FORM = Form(allowed=(content.RECORDIO,))
# Records that are measured at once.
_MEASURED = 16_384


def train(job: Job) -> None:
    """Train on the `train` channel, and measure on `test`."""
    check(job.hyperparameters)
    for sentence in idle(job.given, job.hyperparameters):
        log.warning(sentence)
    with meet(job) as peers:
        _train(job, peers)
        # Nobody leaves before all are through: who ends early looks like one that died.
        peers.gather({})


def _train(job: Job, peers: Peers) -> None:
    values = job.hyperparameters
    binary, width = values["predictor_type"] == BINARY, int(values["feature_dim"])
    channels = {
        name: _Rows(name, records(channel, _FORM.of_width(width)), width, binary=binary)
        for name, channel in job.channels.items()
    }
    # All hosts start alike, and each goes through its own records in an order of its own.
    random, order = np.random.default_rng(0), np.random.default_rng([1, peers.rank])
    model, steps = start(values, random), optimizer(values)
    size = -(-int(values["mini_batch_size"]) // len(peers.hosts))
    epochs = int(values["epochs"])
    for epoch in range(epochs):
        started = time.time()
        batches = channels["train"].batches(size, order)
        # What overflows is told below, in a sentence.
        with np.errstate(over="ignore", invalid="ignore"):
            own, sums = _epoch(model, steps, batches, peers, binary=binary)
        if not np.isfinite(sums.values).all() or not np.isfinite(model.bias).all():
            raise CustomerError(
                f"Training diverged in epoch {epoch}: the scores are no longer finite. Lower "
                "bias_lr, linear_lr or factors_lr, or set clip_gradient"
            )
        seconds = max(time.time() - started, 1e-9)
        _report(job, peers, "train", sums, started, epoch)
        log.info("#progress_metric: host=%s, completed %g %%", job.host, 100 * (epoch + 1) / epochs)
        log.info(
            "#throughput_metric: host=%s, train throughput=%s records/second",
            job.host,
            own / seconds,
        )
    if "test" in channels:
        started, sums = time.time(), Sums(binary=binary)
        for features, labels in channels["test"].pieces(_MEASURED):
            sums.add(scores(model, features), labels)
        _report(job, peers, "test", sums, started)
    if peers.first:
        Model(values["predictor_type"], model).save(job.model_dir)


def _epoch(
    model: Parts,
    steps: Adam,
    batches: Iterator[tuple[Any, Matrix]],
    peers: Peers,
    *,
    binary: bool,
) -> tuple[int, Sums]:
    """Go through all records once; tells how many this host had, and how its scores were."""
    own, sums = 0, Sums(binary=binary)
    while True:
        batch = next(batches, None)
        found = _nothing(model)
        if batch is not None:
            features, labels = batch
            said, found = gradient(model, features, labels, binary=binary)
            sums.add(said, labels)
            own += found.rows
        together = _together(peers, found)
        # A host that is through takes part with nothing until all are.
        if not together.rows:
            return own, sums
        steps.step(model, together)


def _nothing(model: Parts) -> Gradient:
    parts = Parts(
        np.zeros(1, dtype=np.float32),
        np.zeros(0, dtype=np.float32),
        np.zeros((0, model.factors.shape[1]), dtype=np.float32),
    )
    return Gradient(np.zeros(0, dtype=np.int64), parts, 0)


def _together(peers: Peers, own: Gradient) -> Gradient:
    """The gradient of the records of all hosts, which every one of them gets."""
    if peers.alone:
        return own
    everywhere = peers.gather(
        {
            "columns": own.columns,
            "bias": own.parts.bias,
            "linear": own.parts.linear,
            "factors": own.parts.factors,
            "rows": np.array(own.rows),
        }
    )
    return merged(
        [
            Gradient(
                each["columns"],
                Parts(each["bias"], each["linear"], each["factors"]),
                int(each["rows"]),
            )
            for each in everywhere
        ]
    )


class _Rows:
    """The records of a channel, held to their width and their labels."""

    def __init__(self, channel: str, found: Records, width: int, *, binary: bool) -> None:
        self._channel = channel
        self._records = found
        self._width = width
        self._binary = binary
        if found.held:
            for table in found.tables():
                self._check(table)

    def batches(self, size: int, random: np.random.Generator) -> Iterator[tuple[Any, Matrix]]:
        """All of them in a new order each time."""
        return map(self._checked, self._records.batches(repeat(size), random))

    def pieces(self, size: int) -> Iterator[tuple[Any, Matrix]]:
        """All of them in their order."""
        return map(self._checked, self._records.pieces(size))

    def _checked(self, table: Table) -> tuple[Any, Matrix]:
        labels = table.labels if self._records.held else self._check(table)
        return table.features, np.asarray(labels)

    def _check(self, table: Table) -> Matrix:
        if table.width != self._width:
            where = table.place(0) if table.files else "a record"
            raise CustomerError(
                f"feature_dim is {self._width}, but {where} of channel {self._channel} has "
                f"{table.width} features"
            )
        labels = np.asarray(table.labels)
        wrong = np.flatnonzero((labels != 0) & (labels != 1))
        if self._binary and len(wrong):
            row = int(wrong[0])
            where = table.label_place(row) if table.files else f"channel {self._channel}"
            raise CustomerError(f"{where}: the label is {labels[row]:g}; a {BINARY} takes 0 or 1")
        return labels


def _report(
    job: Job, peers: Peers, channel: str, sums: Sums, started: float, epoch: int | None = None
) -> None:
    """Log how good the scores of a channel are, those of all hosts together."""
    sums.values = peers.total({"sums": sums.values})["sums"]
    when = "" if epoch is None else f"epoch={epoch}, "
    found = sums.metrics()
    for name, (kind, value) in found.items():
        log.info(
            "#quality_metric: host=%s, %s%s %s <%s>=%s", job.host, when, channel, name, kind, value
        )
    measured.report(
        "factorization-machines",
        job.host,
        started,
        {f"{channel} {name}": value for name, (_, value) in found.items()},
    )
