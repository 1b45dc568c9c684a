"""A training job, from its channels to the artifact."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.linear_learner import scores as measures
from algorithms.linear_learner.calibration import calibrate
from algorithms.linear_learner.data import Examples, Scaler, Wide, scaler
from algorithms.linear_learner.fitting import Fitted, Weighing, fit, raw_scores
from algorithms.linear_learner.losses import sigmoid
from algorithms.linear_learner.model import Model
from algorithms.linear_learner.settings import (
    AUTO_CALIBRATION_SAMPLES,
    BINARY,
    MULTICLASS,
    REGRESSOR,
    Settings,
    check,
    decided,
    idle,
    settle,
    unbiased,
)
from algorithms.toolkit import content, measured
from algorithms.toolkit.channels import Form, read_channel
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.formats.table import Table
    from algorithms.toolkit.job import Job

_FORM = Form(allowed=(content.RECORDIO, content.CSV))


def train(job: Job) -> None:
    """Train on the `train` channel, choose on `validation`, and measure on all channels."""
    job.one_host()
    values, given = job.hyperparameters, job.given
    check(values)
    for sentence in idle(values, given):
        log.warning(sentence)
    tables = {name: read_channel(channel, _FORM) for name, channel in job.channels.items()}
    _check_widths(tables, values["feature_dim"])
    labels = {name: _labels(name, table, values) for name, table in tables.items()}

    random = np.random.default_rng(0)
    features, label = _scalers(values, tables["train"], labels["train"], random)
    examples = {
        name: Examples(table, _normalised(labels[name], label), features)
        for name, table in tables.items()
    }
    learnt = examples["train"]
    settings = settle(
        values,
        given,
        rows=len(learnt),
        width=tables["train"].width,
        balance=_balance(values, labels["train"]),
        mean_square=_mean_square(learnt, random),
    )
    log.info("Training %d models", len(settings.variants))
    watched = examples.get("validation", learnt)
    weighing = _weighing(values, settings, labels["train"])
    fitted = fit(job, settings, learnt, watched, weighing, features.constant, random)
    if not np.isfinite(fitted.losses).any():
        log.info("Stopped before the end of the first epoch: no model")
        return
    chosen, threshold = _choose(job, values, settings, fitted, watched, random)
    log.info(
        "Chose model %d of %d: %s",
        chosen,
        len(settings.variants),
        settings.variants.described(chosen),
    )
    model = _model(settings, fitted, chosen, threshold, features, label)
    model.save(job.model_dir)
    for name, table in tables.items():
        _report(job, values, settings, model, name, table, labels[name], label, weighing)


def _check_widths(tables: Mapping[str, Table], dimension: Any) -> None:
    width = decided(dimension, tables["train"].width)
    for table in tables.values():
        if table.width == width:
            continue
        expected = (
            f"the train channel has {width}"
            if dimension == "auto"
            else f"feature_dim is {dimension}"
        )
        raise CustomerError(f"{table.place(0)} has {table.width} features, but {expected}")


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
    values: Mapping[str, Any],
    table: Table,
    labels: npt.NDArray[Any],
    random: np.random.Generator,
) -> tuple[Scaler, Scaler | None]:
    """How features are normalised, and how labels are; None for classes."""
    count = min(int(values["num_point_for_scaler"]), table.rows)
    # Any of the records, and not the first: files are often sorted.
    rows = np.sort(random.choice(table.rows, size=count, replace=False))
    features = scaler(
        table.features[rows],
        unbias=unbiased(values, "unbias_data"),
        normalize=bool(decided(values["normalize_data"], True)),
    )
    if values["predictor_type"] != REGRESSOR:
        return features, None
    return features, scaler(
        labels[rows, None],
        unbias=unbiased(values, "unbias_label"),
        normalize=bool(decided(values["normalize_label"], True)),
    )


def _normalised(labels: npt.NDArray[Any], scaling: Scaler | None) -> npt.NDArray[Any]:
    return labels if scaling is None else (labels - scaling.shift[0]) / scaling.scale[0]


def _balance(values: Mapping[str, Any], labels: npt.NDArray[Any]) -> float | None:
    if values["predictor_type"] != BINARY:
        return None
    positive = int((labels == 1).sum())
    return (len(labels) - positive) / positive if positive else float("inf")


def _mean_square(examples: Examples, random: np.random.Generator) -> float:
    """The mean squared length of a record, of some of them."""
    count = min(1000, len(examples))
    rows = np.sort(random.choice(len(examples), size=count, replace=False))
    return examples.take(rows)[0].mean_square()


def _weighing(
    values: Mapping[str, Any], settings: Settings, labels: npt.NDArray[Any]
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
        counts = np.bincount(labels, minlength=settings.classes)
        weights = np.divide(1.0, counts, out=np.zeros(settings.classes), where=counts > 0)[:, None]
        weights = weights * len(labels) / (counts > 0).sum()
        # A class that was never learnt counts like any other when it is met.
        measuring = np.where(counts > 0, weights[:, 0], 1.0)
    else:
        return None
    mean = np.bincount(labels, minlength=len(weights)) @ weights / len(labels)
    return Weighing((weights / mean).astype(np.float32), measuring.astype(np.float32))


def _choose(
    job: Job,
    values: Mapping[str, Any],
    settings: Settings,
    fitted: Fitted,
    watched: Examples,
    random: np.random.Generator,
) -> tuple[int, float]:
    """The best model and its threshold.

    Two classes are judged by the criterion, and by the loss where that decides nothing. All others
    are judged by the loss.
    """
    natural = 0.5 if settings.loss_name == "logistic" else 0.0
    criterion = values["binary_classifier_model_selection_criteria"]
    if settings.predictor != BINARY or criterion == "loss_function":
        return int(fitted.losses.argmin()), natural
    scores = raw_scores(settings, watched, fitted.weights, fitted.bias).astype(np.float64)
    labels = watched.labels
    if criterion == "cross_entropy_loss":
        # Unlike the loss, it counts all records the same.
        losses = (np.logaddexp(0, scores) - labels[:, None] * scores).mean(axis=0)
        losses = np.where(np.isfinite(fitted.losses), losses, np.inf)
        return int(losses.argmin()), natural
    if settings.loss_name == "logistic":
        scores = sigmoid(scores)
    most = int(decided(values["num_calibration_samples"], AUTO_CALIBRATION_SAMPLES))
    if most < len(labels):
        rows = random.choice(len(labels), size=most, replace=False)
        scores, labels = scores[rows], labels[rows]
    found = [
        calibrate(scores[:, model], labels, criterion, values, natural)
        if np.isfinite(fitted.losses[model])
        else (natural, -np.inf)
        for model in range(scores.shape[1])
    ]
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
    channel: str,
    table: Table,
    labels: npt.NDArray[Any],
    label: Scaler | None,
    weighing: Weighing | None,
) -> None:
    """Log the objective and the scores of the artifact on a channel."""
    started = time.time()
    raw = np.asarray(table.features.astype(np.float64) @ model.weights) + model.bias
    if label is not None:
        raw = _normalised(raw, label)
    losses = settings.loss.value(raw, _normalised(labels, label))
    counts = weighing.measuring[labels].astype(np.float64) if weighing else np.ones(len(labels))
    found = {settings.loss.objective: float(losses[:, 0] @ counts / counts.sum())}
    scores = model.scores(table)
    if settings.predictor == REGRESSOR:
        found |= measures.regression(scores, labels)
    elif settings.predictor == BINARY:
        found |= measures.binary(scores, model.labels(scores), labels, values)
    else:
        found |= measures.multiclass(scores, model.labels(scores), labels, values)
    for name, value in found.items():
        kind = "loss" if name.endswith(("_objective", "mse", "absolute_loss")) else "score"
        log.info("#quality_metric: host=%s, %s %s <%s>=%s", job.host, channel, name, kind, value)
    measured.report(
        "Linear Learner",
        job.host,
        started,
        {f"{channel} {name}": value for name, value in found.items()},
    )
