"""The losses, each with its gradient, for all models at once.

Scores have one row a record and one column a model; for several classes, the columns of a model are
its classes, one beside the other. A loss gives one value for each record and model, a gradient one
for each score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Function = Callable[[npt.NDArray[Any], npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class Loss:
    """What training minimises; `objective` is its name in the log."""

    objective: str
    value: Function
    gradient: Function


def loss(name: str, settings: Mapping[str, Any], classes: int) -> Loss:
    """The loss of a name of the catalogue, other than auto."""
    if name == "softmax_loss":
        return _softmax(classes)
    if name == "logistic":
        return _LOGISTIC
    if name == "hinge_loss":
        return _hinge(float(settings["margin"]))
    if name.startswith("eps_insensitive_"):
        return _insensitive(name, float(settings["loss_insensitivity"]))
    if name == "huber_loss":
        return _huber(float(settings["huber_delta"]))
    if name == "quantile_loss":
        return _quantile(float(settings["quantile"]))
    return {"squared_loss": _SQUARED, "absolute_loss": _ABSOLUTE}[name]


def sigmoid(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The probability of the positive class, without overflow on either side."""
    small = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0, 1, small) / (1 + small))


def softmax(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The probabilities of the classes, which are the last axis."""
    found = np.exp(scores - scores.max(axis=-1, keepdims=True))
    found /= found.sum(axis=-1, keepdims=True)
    return np.asarray(found)


def _error(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(scores - labels[:, None].astype(scores.dtype))


def _logistic_value(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # log(1 + e^s) - y s, with the exponent on the side where it cannot overflow.
    return np.asarray(
        np.maximum(scores, 0)
        + np.log1p(np.exp(-np.abs(scores)))
        - labels[:, None].astype(scores.dtype) * scores
    )


_LOGISTIC = Loss(
    "binary_classification_cross_entropy_objective",
    _logistic_value,
    lambda scores, labels: _error(sigmoid(scores), labels),
)
_SQUARED = Loss(
    "mse_objective",
    lambda scores, labels: _error(scores, labels) ** 2,
    lambda scores, labels: 2 * _error(scores, labels),
)
_ABSOLUTE = Loss(
    "absolute_loss_objective",
    lambda scores, labels: np.abs(_error(scores, labels)),
    lambda scores, labels: np.sign(_error(scores, labels)),
)


def _hinge(margin: float) -> Loss:
    def sides(labels: npt.NDArray[Any]) -> Matrix:
        return np.where(labels > 0, 1, -1)[:, None].astype(np.float32)

    def value(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(np.maximum(0, margin - sides(labels) * scores))

    def gradient(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        side = sides(labels)
        return np.asarray(-side * (side * scores < margin))

    return Loss("hinge_loss_objective", value, gradient)


def _insensitive(name: str, forgiven: float) -> Loss:
    square = "squared" in name

    def beyond(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(np.maximum(0, np.abs(_error(scores, labels)) - forgiven))

    def value(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = beyond(scores, labels)
        return np.asarray(found**2 if square else found)

    def gradient(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = beyond(scores, labels)
        slope = 2 * found if square else (found > 0).astype(scores.dtype)
        return np.asarray(slope * np.sign(_error(scores, labels)))

    return Loss(f"{name}_objective", value, gradient)


def _huber(delta: float) -> Loss:
    def value(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        error = np.abs(_error(scores, labels))
        return np.asarray(np.where(error <= delta, error**2 / 2, delta * (error - delta / 2)))

    return Loss(
        "huber_loss_objective",
        value,
        lambda scores, labels: np.clip(_error(scores, labels), -delta, delta),
    )


def _quantile(quantile: float) -> Loss:
    def value(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        error = _error(scores, labels)
        return np.asarray(np.maximum((1 - quantile) * error, -quantile * error))

    def gradient(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        error = _error(scores, labels)
        slope = np.where(error > 0, 1 - quantile, np.where(error < 0, -quantile, 0))
        return np.asarray(slope.astype(scores.dtype))

    return Loss("quantile_loss_objective", value, gradient)


def _softmax(classes: int) -> Loss:
    def value(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        by_class = scores.reshape(len(scores), -1, classes)
        largest = by_class.max(axis=2)
        total = np.log(np.exp(by_class - largest[:, :, None]).sum(axis=2)) + largest
        return np.asarray(total - by_class[np.arange(len(scores)), :, labels])

    def gradient(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = softmax(scores.reshape(len(scores), -1, classes))
        found[np.arange(len(scores)), :, labels] -= 1
        return np.asarray(found.reshape(scores.shape))

    return Loss("multiclass_cross_entropy_objective", value, gradient)
