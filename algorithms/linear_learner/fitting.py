"""Training all models at once: one product of matrices for each mini-batch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.linear_learner.data import Examples, Wide
from algorithms.linear_learner.losses import Matrix
from algorithms.linear_learner.optimizers import Optimizer
from algorithms.linear_learner.settings import Settings
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job
    from algorithms.toolkit.peers import Peers

# Of one block of scores while a channel is measured, in numbers.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Fitted:
    """All models as they were after the best epoch of each."""

    weights: Matrix
    bias: Matrix
    losses: Wide
    """Of each model, on the examples by which the best epoch was found."""


@dataclass(frozen=True)
class Weighing:
    """How much each record counts, by its class."""

    training: Matrix
    """For each class and model, such that a record of the train channel counts 1 on average."""

    measuring: Matrix
    """For each class; the same for all models, so that their losses can be compared."""


def fit(
    job: Job,
    settings: Settings,
    train: Examples,
    watched: Examples,
    weighing: Weighing | None,
    constant: npt.NDArray[np.bool_],
    random: np.random.Generator,
    order: np.random.Generator,
    peers: Peers,
) -> Fitted:
    """Train until the epochs are over, or no model gets better on the watched examples.

    Args:
        job: whose stop request is obeyed and whose host is named in the log.
        settings: what to do.
        train: what to learn from.
        watched: where a model must get better: the validation channel, or `train` itself.
        weighing: how much records count; None where all count the same.
        constant: features without any variety, of which nothing can be learnt.
        random: the source of the first weights, the same on all hosts.
        order: the source of the order of records.
        peers: the hosts of the job, which make every step together.
    """
    weights, bias = _start(settings, constant, random)
    models, classes = len(settings.variants), settings.classes
    optimizers = _optimizers(settings, weights, bias)
    alive = np.ones(models, dtype=bool)
    best = Fitted(weights.copy(), bias.copy(), np.full(models, np.inf))
    lowest = np.full(models, np.inf)
    reference, stale, steps = lowest.copy(), np.zeros(models, dtype=np.int64), 0
    rates = settings.variants.learning_rate
    with job.between_rounds(), np.errstate(over="ignore", invalid="ignore"):
        for epoch in range(settings.epochs):
            started = time.time()
            totals, rows, own, stopped = np.zeros(models), 0, 0, False
            for block, labels in train.batches(settings.batches, order, peers):
                scores = block.times(weights) + bias
                counts = weighing.training[labels] if weighing else None
                gradient = settings.loss.gradient(scores, labels).astype(np.float32, copy=False)
                if counts is not None:
                    gradient *= np.repeat(counts, gradient.shape[1] // counts.shape[1], axis=1)
                found = peers.total(
                    {
                        "weights": block.back(gradient),
                        "bias": gradient.sum(axis=0),
                        "totals": _total(settings.loss.value(scores, labels), counts),
                        "rows": np.array(len(labels)),
                        "stopping": np.array(int(job.stopping)),
                    }
                )
                stopped = bool(found["stopping"])
                if stopped:
                    break
                own += len(labels)
                here = int(found["rows"])
                if not here:
                    continue
                totals += found["totals"]
                rows += here
                mean = np.float32(1 / here)
                now = settings.schedule.rates(rates, steps) if settings.schedule else rates
                rate = np.repeat(now * alive, classes)
                optimizers[0].step(found["weights"] * mean, rate)
                if settings.use_bias:
                    optimizers[1].step(found["bias"] * mean, rate * settings.bias_lr_mult)
                steps += 1
            if stopped:
                log.info("Stopped by request of the platform; the best models so far are kept")
                break
            losses = measure(settings, watched, weights, bias, weighing, peers)
            alive &= np.isfinite(losses)
            _bury(weights, bias, optimizers, np.repeat(~alive, classes))
            judged = losses
            if watched is train:
                # There the loss alone would prefer epochs before a penalty took effect.
                judged = losses + _penalties(settings, weights, bias)
            better = alive & (judged < lowest)
            lowest[better] = judged[better]
            columns = np.repeat(better, classes)
            best.weights[:, columns] = weights[:, columns]
            best.bias[columns] = bias[columns]
            best.losses[better] = losses[better]
            if not alive.any():
                if np.isfinite(best.losses).any():
                    break
                raise CustomerError(
                    "the loss of every model grew beyond all numbers; lower learning_rate"
                    + ("" if settings.rule.name != "sgd" else " or use optimizer=adam")
                    + ", or set normalize_data=true"
                )
            _report(job, settings, epoch, totals / rows, losses, watched is not train)
            seconds = max(time.time() - started, 1e-9)
            log.info(
                "#throughput_metric: host=%s, train throughput=%s records/second",
                job.host,
                own / seconds,
            )
            # Each by itself: the fast ones are through while the slow ones still learn.
            stale = np.where(judged < reference * (1 - settings.tolerance), 0, stale + 1)
            reference = np.fmin(reference, judged)
            log.info(
                "#early_stopping_criteria_metric: host=%s, epoch=%d, criteria=%s, value=%s",
                job.host,
                epoch,
                settings.loss.objective,
                float(judged[alive].min()),
            )
            if (stale[alive] >= settings.patience).all():
                log.info(
                    "Early stop after epoch %d: no model made progress in its last %d epochs",
                    epoch,
                    settings.patience,
                )
                break
    return best


def _start(
    settings: Settings, constant: npt.NDArray[np.bool_], random: np.random.Generator
) -> tuple[Matrix, Matrix]:
    shape = (len(constant), len(settings.variants) * settings.classes)
    size = settings.init_size
    drawn = (
        random.normal(0, size, shape)
        if settings.init_normal
        else random.uniform(-size, size, shape)
    )
    weights = drawn.astype(np.float32)
    # A feature that never varied says nothing until it does.
    weights[constant] = 0
    start = settings.init_bias if settings.use_bias else 0.0
    return weights, np.full(shape[1], start, dtype=np.float32)


def _optimizers(settings: Settings, weights: Matrix, bias: Matrix) -> tuple[Optimizer, Optimizer]:
    wd = np.repeat(settings.variants.wd, settings.classes)
    l1 = np.repeat(settings.variants.l1, settings.classes)
    return (
        Optimizer(settings.rule, weights, wd=wd, l1=l1),
        Optimizer(
            settings.rule,
            bias,
            wd=wd * np.float32(settings.bias_wd_mult),
            l1=np.zeros_like(l1),
        ),
    )


def _bury(
    weights: Matrix, bias: Matrix, optimizers: tuple[Optimizer, Optimizer], columns: Any
) -> None:
    """Silence models that diverged, which would slow down the rest with their infinities."""
    if columns.any():
        weights[:, columns] = 0
        bias[columns] = 0
        for optimizer in optimizers:
            optimizer.forget(columns)


def _penalties(settings: Settings, weights: Matrix, bias: Matrix) -> Wide:
    """What training minimises for each model beside its loss."""
    wide = weights.astype(np.float64)
    squares = (wide**2).sum(axis=0) + settings.bias_wd_mult * bias.astype(np.float64) ** 2
    sums = np.stack([squares, np.abs(wide).sum(axis=0)]).reshape(2, -1, settings.classes)
    square, size = sums.sum(axis=2)
    found: Wide = settings.variants.wd / 2 * square + settings.variants.l1 * size
    return found


def _total(values: Matrix, counts: Matrix | None) -> Wide:
    weighted = values if counts is None else values * counts
    return np.asarray(weighted.sum(axis=0, dtype=np.float64))


def measure(
    settings: Settings,
    examples: Examples,
    weights: Matrix,
    bias: Matrix,
    weighing: Weighing | None,
    peers: Peers,
) -> Wide:
    """The mean loss of each model over the records of all hosts."""
    totals, counted = np.zeros(weights.shape[1] // settings.classes), 0.0
    for block, labels in examples.pieces(max(1, _BLOCK // weights.shape[1])):
        counts = weighing.measuring[labels][:, None] if weighing else None
        totals += _total(settings.loss.value(block.times(weights) + bias, labels), counts)
        counted += len(labels) if counts is None else float(counts.sum(dtype=np.float64))
    everywhere = peers.total({"totals": totals, "counted": np.array(counted)})
    return np.asarray(everywhere["totals"] / max(float(everywhere["counted"]), 1e-300))


def _report(
    job: Job, settings: Settings, epoch: int, train: Wide, losses: Wide, validated: bool
) -> None:
    best = int(np.nanargmin(np.where(np.isfinite(losses), losses, np.nan)))
    where = [("train", train[best])] + ([("validation", losses[best])] if validated else [])
    for channel, value in where:
        log.info(
            "#quality_metric: host=%s, epoch=%d, %s %s <loss>=%s",
            job.host,
            epoch,
            channel,
            settings.loss.objective,
            float(value),
        )
    log.info(
        "#progress_metric: host=%s, completed %.4g %% of epochs",
        job.host,
        100 * (epoch + 1) / settings.epochs,
    )
