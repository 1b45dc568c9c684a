"""A training job, from its channels to the artifact."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.lda import moments
from algorithms.lda.documents import Matrix, mixtures, refined, smoothed
from algorithms.lda.model import Model, counted
from algorithms.toolkit import content, measured
from algorithms.toolkit.channels import Form, records
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.records import Sample
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.formats.table import Table
    from algorithms.toolkit.job import Channel, Job

_FORM = Form(allowed=(content.RECORDIO, content.CSV), label_size=0)
# Documents that are read at once.
_READ = 1000
# The topics of the tensor are refined by so many rounds at most, until one gains less than this.
_ROUNDS = 50
# After which the likelier of two ways to find them shows.
_TRIED = 5
_ENOUGH = 1e-5
# How often each word is taken to have been seen in each topic besides: before that, and in it.
_FIRST_SMOOTHING = 1e-5
_SMOOTHING = 0.1


def train(job: Job) -> None:
    """Find the topics of the `train` channel, and measure them on `test`."""
    job.one_host()
    started = time.time()
    counts = _corpus(job)
    log.info("Looking for topics in %d documents of %d words", counts.shape[0], counts.sum())
    model = _learnt(job, counts)
    seconds = max(time.time() - started, 1e-9)
    log.info("#progress_metric: host=%s, completed 100 %%", job.host)
    log.info(
        "#throughput_metric: host=%s, train throughput=%s records/second",
        job.host,
        counts.shape[0] / seconds,
    )
    if "test" in job.channels:
        _report(job, model)
    log.info("The weights of the topics: %s", [round(each, 4) for each in model.alpha.tolist()])
    model.save(job.model_dir)


def _corpus(job: Job) -> Any:
    """The documents that are learnt from: mini_batch_size of them."""
    wanted = int(job.hyperparameters["mini_batch_size"])
    sample = Sample(wanted, np.random.default_rng(0))
    for table in _documents(job, job.channels["train"]):
        sample.add(table)
    if sample.seen > wanted:
        log.warning(
            "mini_batch_size is %d, but the train channel has %d documents: so many of them are "
            "drawn, and the rest is not used",
            wanted,
            sample.seen,
        )
    elif sample.seen < wanted:
        log.warning(
            "mini_batch_size is %d, but the train channel has %d documents: all are used",
            wanted,
            sample.seen,
        )
    (table,) = sample.chosen()
    return table.features.astype(np.float64)


def _documents(job: Job, channel: Channel) -> Iterator[Table]:
    """The documents of a channel in portions, sparse and held to what counts are."""
    kind, width = _FORM.content_type(channel), int(job.hyperparameters["feature_dim"])
    if channel.piped and kind.name == content.CSV:
        raise CustomerError(
            f"Channel {channel.name}: text/csv is not read in Pipe mode; use File mode, or "
            f"{content.RECORDIO}"
        )
    # As they come, since only then do they know their places.
    for table in records(channel, _FORM.of_width(width)).tables():
        if table.width != width:
            raise CustomerError(
                f"feature_dim is {width}, but {table.place(0)} of channel {channel.name} has "
                f"{table.width} features"
            )
        yield counted(table)


def _learnt(job: Job, counts: Any) -> Model:
    values = job.hyperparameters
    wanted, alpha0 = int(values["num_topics"]), float(values["alpha0"])
    found = moments.topics(
        counts,
        wanted,
        alpha0=alpha0,
        restarts=int(values["max_restarts"]),
        iterations=int(values["max_iterations"]),
        tolerance=float(values["tol"]),
        random=np.random.default_rng(0),
    )
    if not found:
        raise CustomerError(
            f"num_topics is {wanted}, but the documents do not tell so many topics apart; lower "
            "it, or bring more documents or words"
        )
    first = [
        # alpha0 is the sum from which to begin.
        (smoothed(each.topics, _FIRST_SMOOTHING), each.alpha * (alpha0 / each.alpha.sum()))
        for each in found
    ]
    tried = [_refined(counts, *each, rounds=_TRIED) for each in first]
    topics, alpha, _ = max(tried, key=lambda each: each[2][-1])
    topics, alpha, bounds = _refined(counts, topics, alpha, rounds=_ROUNDS)
    words = counts.sum()
    for number, bound in enumerate(bounds):
        log.info(
            "#quality_metric: host=%s, epoch=%d, train pwll <score>=%s",
            job.host,
            number,
            bound / words,
        )
    order = np.argsort(-alpha, kind="stable")
    return Model(topics[order], alpha[order])


def _refined(
    counts: Any, topics: Matrix, alpha: Matrix, *, rounds: int
) -> tuple[Matrix, Matrix, list[float]]:
    return refined(counts, topics, alpha, rounds=rounds, smoothing=_SMOOTHING, enough=_ENOUGH)


def _report(job: Job, model: Model) -> None:
    """Log how likely each word of the test channel is: the logarithm of its odds, at least."""
    started, bound, words = time.time(), 0.0, 0.0
    for table in _documents(job, job.channels["test"]):
        for start in range(0, table.rows, _READ):
            counts = table.features[start : start + _READ].astype(np.float64)
            bound += float(mixtures(counts, model.topics, model.alpha).bound.sum())
            words += float(counts.sum())
    if not words:
        raise CustomerError("The documents of the test channel have no words")
    log.info("#quality_metric: host=%s, test pwll <score>=%s", job.host, bound / words)
    measured.report("LDA", job.host, started, {"test pwll": bound / words})
