"""A training job of Random Cut Forest, on one host or several."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from algorithms.randomcutforest import scoring
from algorithms.randomcutforest.forest import Forest, drawn, rows_per_tree
from algorithms.randomcutforest.model import save
from algorithms.toolkit import content, measured
from algorithms.toolkit.channels import Form, passing
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FloatArray, Table
from algorithms.toolkit.peers import Peers, meet
from algorithms.toolkit.records import Sample, regrouped
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from algorithms.toolkit.job import Channel, Job

# A cut needs two rows to lie between.
LEAST_ROWS = 2
# What the catalogue allows at least.
LEAST_TREES = 50
_ALLOWED = (content.RECORDIO, content.CSV)
_TRAIN = Form(allowed=_ALLOWED, label_size=0)
_TEST = Form(allowed=_ALLOWED, label_size=1)


def train(job: Job) -> None:
    """Draw the rows of each tree from the `train` channel, and score a labelled `test` channel."""
    with meet(job) as peers:
        _train(job, peers)
        # Nobody leaves before all are through: who ends early looks like one that died.
        peers.gather({})


def _train(job: Job, peers: Peers) -> None:
    started = time.time()
    samples = _samples(job, peers)
    mine = range(peers.rank, len(samples), len(peers.hosts))
    forest = Forest(samples[mine.start :: mine.step], mine)
    seconds = max(time.time() - started, 1e-9)
    log.info("%d of %d trees were built here in %.3f s", len(mine), len(samples), seconds)
    if "test" in job.channels:
        scores, labels = _scored(job, peers, forest, len(samples))
        _report(job, scores, labels, started)
    if peers.first:
        save(job.model_dir, samples)


def _samples(job: Job, peers: Peers) -> FloatArray:
    """The rows of each tree, drawn from those of all hosts alike: trees x rows x features."""
    settings = job.hyperparameters
    trees, wanted = int(settings["num_trees"]), int(settings["num_samples_per_tree"])
    width = int(settings["feature_dim"])
    # Every host keeps as many as may be needed; which of them are is known when all have counted.
    sample = Sample(trees * wanted, np.random.default_rng([0, peers.rank]))
    for table in _tables(job.channels["train"], _TRAIN, width):
        sample.add(Table(table.features))
    counts = [int(part["rows"]) for part in peers.gather({"rows": np.array(sample.seen)})]
    records = sum(counts)
    each = rows_per_tree(records, trees, wanted)
    if wanted < LEAST_ROWS:
        raise CustomerError(
            f"num_samples_per_tree is {wanted}, and a tree of one row scores every record alike; "
            f"set it to {LEAST_ROWS} or more"
        )
    if each < LEAST_ROWS:
        raise CustomerError(
            f"num_trees is {trees}, but the train channel has only {records} records, and a tree "
            f"of fewer than {LEAST_ROWS} rows of its own scores every record alike; give "
            f"{LEAST_ROWS * trees} records or more{_fewer(records)}"
        )
    log.info("%d records, of which each of %d trees gets %d", records, trees, each)
    if each < wanted:
        log.warning(
            "num_samples_per_tree is %d; the records are enough for %d a tree", wanted, each
        )
    random = np.random.default_rng(1)
    own = int(drawn(counts, trees * each, random)[peers.rank])
    (chosen,) = sample.chosen(own)
    rows = np.concatenate([part["rows"] for part in peers.gather({"rows": chosen.dense()})])
    shared: FloatArray = rows[random.permutation(len(rows))].reshape(trees, each, width)
    return shared


def _fewer(records: int) -> str:
    """Advice to have fewer trees, where so few are allowed."""
    trees = records // LEAST_ROWS
    return f", or set num_trees to {trees} or less" if trees >= LEAST_TREES else ""


def _tables(channel: Channel, form: Form, width: int) -> Iterator[Table]:
    for table in passing(channel, form.of_width(width)):
        if table.width != width:
            raise CustomerError(
                f"feature_dim is {width}, but {table.place(0)} of channel {channel.name} has "
                f"{table.width} features"
            )
        yield table


def _scored(
    job: Job, peers: Peers, forest: Forest, trees: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The scores of the test channel and its labels; each host asks its own trees."""
    width = int(job.hyperparameters["feature_dim"])
    size = int(job.hyperparameters["mini_batch_size"])
    totals: list[npt.NDArray[np.float64]] = []
    labels: list[npt.NDArray[np.bool_]] = []

    def checked() -> Iterator[Table]:
        for table in _tables(job.channels["test"], _TEST, width):
            labels.append(scoring.unusual(table))
            yield table

    for table in regrouped(checked(), iter(lambda: size, 0)):
        totals.append(forest.totals(table.dense()))
    own = np.concatenate(totals)
    parts = [part["totals"] for part in peers.gather({"totals": own})]
    if any(len(part) != len(own) for part in parts):
        raise CustomerError(
            "The hosts read different records of channel test; it must be FullyReplicated"
        )
    return np.sum(parts, axis=0) / trees, np.concatenate(labels)


def _report(
    job: Job,
    scores: npt.NDArray[np.float64],
    labels: npt.NDArray[np.bool_],
    started: float,
) -> None:
    limit = scoring.threshold(scores)
    log.info("test records with a score above %f are told to be unusual", limit)
    values = scoring.measures(labels, scores > limit, job.hyperparameters["eval_metrics"])
    for name, value in values.items():
        log.info("#quality_metric: host=%s, test %s <score>=%s", job.host, name, value)
    measured.report(
        "RandomCutForest",
        job.host,
        started,
        {f"test {name}": value for name, value in values.items()},
    )
