"""A training job, from its channels to the artifact."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.linear_learner import scores as measures
from algorithms.linear_learner.calibration import calibrate
from algorithms.linear_learner.data import Block, Examples, Scaler, Wide, normalised, scaler
from algorithms.linear_learner.fitting import Fitted, Weighing, fit, measure
from algorithms.linear_learner.losses import sigmoid
from algorithms.linear_learner.model import Model
from algorithms.linear_learner.reading import Source
from algorithms.linear_learner.settings import (
    AUTO_CALIBRATION_SAMPLES,
    BINARY,
    CALIBRATED_NUMBERS,
    MULTICLASS,
    REGRESSOR,
    Settings,
    check,
    decided,
    idle,
    settle,
    unbiased,
)
from algorithms.toolkit import measured
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.peers import Peers, meet
from algorithms.toolkit.records import Sample
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.formats.table import Table
    from algorithms.toolkit.job import Job

# Records that are measured at once, and those by whose length the rates of sgd are chosen.
_MEASURED = 10_000
_LENGTHS = 1000


def train(job: Job) -> None:
    """Train on the `train` channel, choose on `validation`, and measure on all channels.

    Several hosts make each step together, with the sum of their gradients, each with its share of
    the records of a mini-batch: what comes out is what one host with all records would find.
    """
    check(job.hyperparameters)
    for sentence in idle(job.hyperparameters, job.given):
        log.warning(sentence)
    with meet(job) as peers:
        _train(job, peers)
        # Nobody leaves before all are through: who ends early looks like one that died.
        peers.gather({})


def _train(job: Job, peers: Peers) -> None:
    values, given = job.hyperparameters, job.given
    # All hosts begin alike, and each goes through its own records in an order of its own.
    random, own = np.random.default_rng(0), np.random.default_rng([1, peers.rank])
    stated = None if values["feature_dim"] == "auto" else int(values["feature_dim"])
    sources = {
        name: Source(channel, lambda name, table: _labels(name, table, values), stated)
        for name, channel in job.channels.items()
    }
    some = Sample(_share(int(values["num_point_for_scaler"]), peers), own)
    met = np.zeros(_count_classes(values), dtype=np.int64)

    def visit(table: Table, labels: npt.NDArray[Any]) -> None:
        some.add(table, labels)
        if len(met):
            np.add(met, np.bincount(labels, minlength=len(met)), out=met)

    for name, source in sources.items():
        source.read(visit if name == "train" else lambda *_: None)
    _check_widths(sources, values["feature_dim"], peers)
    learnt = sources["train"]
    whole = peers.total({"rows": np.array(learnt.rows), "classes": met})
    features, label, length = _scalers(values, some, peers)
    examples = {name: Examples(source, features, label) for name, source in sources.items()}
    settings = settle(
        values,
        given,
        rows=int(whole["rows"]),
        width=learnt.width,
        balance=_balance(values, whole["classes"]),
        mean_square=length,
    )
    log.info("Training %d models", len(settings.variants))
    watched = examples.get("validation", examples["train"])
    weighing = _weighing(values, settings, whole["classes"])
    fitted = fit(
        job,
        settings,
        examples["train"],
        watched,
        weighing,
        features.constant,
        random,
        own,
        peers,
    )
    if not np.isfinite(fitted.losses).any():
        log.info("Stopped before the end of the first epoch: no model")
        return
    chosen, threshold = _choose(job, values, settings, fitted, watched, own, peers)
    log.info(
        "Chose model %d of %d: %s",
        chosen,
        len(settings.variants),
        settings.variants.described(chosen),
    )
    model = _model(settings, fitted, chosen, threshold, features, label)
    if peers.first:
        model.save(job.model_dir)
    for source in sources.values():
        _report(job, values, settings, model, source, label, weighing, peers)


def _check_widths(sources: Mapping[str, Source], dimension: Any, peers: Peers) -> None:
    first = int(peers.gather({"width": np.array(sources["train"].width)})[0]["width"])
    expected = (
        f"the train channel has {first}" if dimension == "auto" else f"feature_dim is {dimension}"
    )
    for source in sources.values():
        source.expect(decided(dimension, first), expected)


def _labels(channel: str, table: Table, values: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The labels of a channel: class numbers, or numbers."""
    found = table.labels
    if found is None:
        raise CustomerError(f"{table.place(0)} of channel {channel} has no label")
    predictor = values["predictor_type"]
    if predictor == REGRESSOR:
        return found.astype(np.float64)
    classes = 2 if predictor == BINARY else int(values["num_classes"])
    wrong = np.flatnonzero((found < 0) | (found >= classes) | (found != np.floor(found)))
    if len(wrong):
        row = int(wrong[0])
        allowed = "0 or 1" if predictor == BINARY else f"a whole number from 0 to {classes - 1}"
        raise CustomerError(
            f"{table.label_place(row)}: the label is {found[row]:g}; a {predictor}"
            + (f" with num_classes={classes}" if predictor == MULTICLASS else "")
            + f" takes {allowed}"
        )
    return found.astype(np.int64)


def _scalers(
    values: Mapping[str, Any], some: Sample, peers: Peers
) -> tuple[Scaler, Scaler | None, float]:
    """How features are normalised; how labels are, None for classes; and how long a record is then.

    That is the mean of the squares of its features. All are measured on some of the records.
    """
    table, labels = some.chosen()
    features = scaler(
        table.features,
        unbias=unbiased(values, "unbias_data"),
        normalize=bool(decided(values["normalize_data"], True)),
        peers=peers,
    )
    block = Block(table.features[:_LENGTHS], features)
    count = min(table.rows, _LENGTHS)
    found = peers.total({"squares": np.array(block.squares()), "rows": np.array(count)})
    length = float(found["squares"] / found["rows"])
    if values["predictor_type"] != REGRESSOR:
        return features, None, length
    label = scaler(
        labels[:, None],
        unbias=unbiased(values, "unbias_label"),
        normalize=bool(decided(values["normalize_label"], True)),
        peers=peers,
    )
    return features, label, length


def _share(count: int, peers: Peers) -> int:
    """How much of a number each host brings."""
    return -(-count // len(peers.hosts))


def _count_classes(values: Mapping[str, Any]) -> int:
    """How many classes there are; none for numbers."""
    counts = {REGRESSOR: 0, BINARY: 2}
    predictor = values["predictor_type"]
    return counts[predictor] if predictor in counts else int(values["num_classes"])


def _balance(values: Mapping[str, Any], classes: npt.NDArray[np.int64]) -> float | None:
    if values["predictor_type"] != BINARY:
        return None
    negative, positive = classes.tolist()
    return negative / positive if positive else float("inf")


def _weighing(
    values: Mapping[str, Any], settings: Settings, met: npt.NDArray[np.int64]
) -> Weighing | None:
    """How much records of each class count; None where all count the same."""
    if settings.predictor == BINARY:
        positive = settings.variants.positive_weight
        if (positive == 1).all():
            return None
        weights = np.stack([np.ones_like(positive), positive]).astype(np.float64)
        # Models that differ in it are compared as if all records counted the same.
        same = bool((positive == positive[0]).all())
        measuring = weights[:, 0] if same else np.ones(2)
    elif settings.predictor == MULTICLASS and values["balance_multiclass_weights"]:
        weights = np.divide(1.0, met, out=np.zeros(settings.classes), where=met > 0)[:, None]
        weights = weights * met.sum() / (met > 0).sum()
        # A class that was never learnt counts like any other when it is met.
        measuring = np.where(met > 0, weights[:, 0], 1.0)
    else:
        return None
    mean = met @ weights / met.sum()
    return Weighing((weights / mean).astype(np.float32), measuring.astype(np.float32))


def _choose(
    job: Job,
    values: Mapping[str, Any],
    settings: Settings,
    fitted: Fitted,
    watched: Examples,
    random: np.random.Generator,
    peers: Peers,
) -> tuple[int, float]:
    """The best model and its threshold.

    Two classes are judged by the criterion, and by the loss where that decides nothing. All others
    are judged by the loss.
    """
    natural = 0.5 if settings.loss_name == "logistic" else 0.0
    criterion = values["binary_classifier_model_selection_criteria"]
    if settings.predictor != BINARY or criterion == "loss_function":
        return int(fitted.losses.argmin()), natural
    if criterion == "cross_entropy_loss":
        # Unlike the loss, it counts all records the same.
        entropy = measure(settings, watched, fitted.weights, fitted.bias, None, peers)
        losses = np.where(np.isfinite(fitted.losses), entropy, np.inf)
        return int(losses.argmin()), natural
    automatic = min(AUTO_CALIBRATION_SAMPLES, CALIBRATED_NUMBERS // len(settings.variants))
    most = int(decided(values["num_calibration_samples"], automatic))
    sample = Sample(_share(most, peers), random)
    for block, truth in watched.pieces(_MEASURED):
        sample.add(block.times(fitted.weights) + fitted.bias, truth)
    own_scores, own_labels = sample.chosen()
    parts = peers.gather({"scores": own_scores, "labels": own_labels})
    labels = np.concatenate([part["labels"] for part in parts])

    def calibrated(model: int) -> tuple[float, float]:
        if not np.isfinite(fitted.losses[model]):
            return natural, -np.inf
        # One model at a time: in numbers of 64 bits, all would take several times the sample.
        scores = np.concatenate([part["scores"][:, model] for part in parts]).astype(np.float64)
        if settings.loss_name == "logistic":
            scores = sigmoid(scores)
        return calibrate(scores, labels, criterion, values, natural)

    found = [calibrated(model) for model in range(len(settings.variants))]
    best = max(range(len(found)), key=lambda model: (found[model][1], -fitted.losses[model]))
    threshold, value = found[best]
    if value < 0:
        log.warning(
            "No threshold reaches the target of %s; the nearest to it is taken: %s",
            criterion,
            value + 2,
        )
    log.info("#train_score (%s) : ('%s', %s)", job.host, criterion, value)
    return best, threshold


def _model(
    settings: Settings,
    fitted: Fitted,
    chosen: int,
    threshold: float,
    features: Scaler,
    label: Scaler | None,
) -> Model:
    """One of the models on records as they come, and with labels as they are."""
    columns = slice(chosen * settings.classes, (chosen + 1) * settings.classes)
    weights: Wide = fitted.weights[:, columns] / features.scale[:, None]
    bias: Wide = fitted.bias[columns] - features.shift @ weights
    if label is not None:
        weights = weights * label.scale[0]
        bias = bias * label.scale[0] + label.shift[0]
    return Model(settings.predictor, settings.loss_name, weights, bias, threshold)


def _report(
    job: Job,
    values: Mapping[str, Any],
    settings: Settings,
    model: Model,
    source: Source,
    label: Scaler | None,
    weighing: Weighing | None,
    peers: Peers,
) -> None:
    """Log the objective and the scores of the artifact on a channel, of all hosts."""
    started = time.time()
    several = settings.predictor == MULTICLASS
    columns: dict[str, list[npt.NDArray[Any]]] = {}
    for table, labels in source.pieces(_MEASURED):
        raw = np.asarray(table.features.astype(np.float64) @ model.weights) + model.bias
        if label is not None:
            raw = normalised(raw, label)
        scores = model.scores(table)
        for name, column in {
            "losses": settings.loss.value(raw, normalised(labels, label))[:, 0],
            "counts": weighing.measuring[labels] if weighing else np.ones(len(labels)),
            # Of many classes, a score each would take more memory than the records.
            "scores": measures.ranks(scores, labels) if several else scores,
            "predicted": scores if settings.predictor == REGRESSOR else model.labels(scores),
            "labels": labels,
        }.items():
            columns.setdefault(name, []).append(column)
    own = {name: np.concatenate(parts) for name, parts in columns.items()}
    everywhere = peers.gather(own)
    whole = {name: np.concatenate([part[name] for part in everywhere]) for name in own}
    counts = whole["counts"].astype(np.float64)
    found = {settings.loss.objective: float(whole["losses"] @ counts / counts.sum())}
    if settings.predictor == REGRESSOR:
        found |= measures.regression(whole["predicted"], whole["labels"])
    else:
        score = measures.multiclass if several else measures.binary
        found |= score(whole["scores"], whole["predicted"], whole["labels"], values)
    for name, value in found.items():
        kind = "loss" if name.endswith(("_objective", "mse", "absolute_loss")) else "score"
        log.info(
            "#quality_metric: host=%s, %s %s <%s>=%s", job.host, source.name, name, kind, value
        )
    measured.report(
        "Linear Learner",
        job.host,
        started,
        {f"{source.name} {name}": value for name, value in found.items()},
    )
