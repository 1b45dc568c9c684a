"""Rules by which the weights of all models move, each model at its own pace.

What is minimised is the mean loss + wd / 2 * |w|^2 + l1 * |w|. The gradient of the square is added
to that of the loss. The absolute value has none at zero: its step comes after that of the gradient
and stops at zero, so that weights become exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from algorithms.linear_learner.losses import Matrix

_EPSILON = 1e-8
_RMSPROP_DECAY = 0.95


@dataclass(frozen=True)
class Rule:
    """An optimizer of the catalogue other than auto, with its settings."""

    name: str
    momentum: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999


class Optimizer:
    """Moves one array of parameters, whose last axis goes over the models."""

    def __init__(self, rule: Rule, parameters: Matrix, *, wd: Matrix, l1: Matrix) -> None:
        self._rule = rule
        self._parameters = parameters
        self._wd = wd
        self._l1 = l1 if l1.any() else None
        self._steps = 0
        self._mean = np.zeros_like(parameters) if rule.name != "rmsprop" else None
        self._square = np.zeros_like(parameters) if rule.name != "sgd" else None
        self._direction: Callable[[Matrix, Matrix], tuple[Matrix, Matrix]] = {
            "sgd": self._sgd,
            "adam": self._adam,
            "rmsprop": self._rmsprop,
        }[rule.name]

    def step(self, gradient: Matrix, rate: Matrix) -> None:
        """Move against the gradient of the loss, at a rate for each model."""
        self._steps += 1
        if self._wd.any():
            gradient = gradient + self._wd * self._parameters
        move, pace = self._direction(gradient, rate)
        self._parameters -= move
        if self._l1 is not None:
            size = np.maximum(np.abs(self._parameters) - pace * self._l1, 0)
            np.copysign(size, self._parameters, out=self._parameters)
            # A zero has no sign in an artifact.
            self._parameters += 0.0

    def forget(self, columns: Matrix) -> None:
        """Begin anew for some of the models."""
        for state in (self._mean, self._square):
            if state is not None:
                state[..., columns] = 0

    def _sgd(self, gradient: Matrix, rate: Matrix) -> tuple[Matrix, Matrix]:
        mean, momentum = self._mean, self._rule.momentum
        assert mean is not None  # noqa: S101 made in __init__
        mean *= momentum
        mean += rate * gradient
        # In the long run a gradient moves a parameter by rate / (1 - momentum).
        return mean, rate / (1 - momentum)

    def _adam(self, gradient: Matrix, rate: Matrix) -> tuple[Matrix, Matrix]:
        mean, square, rule = self._mean, self._square, self._rule
        assert mean is not None and square is not None  # noqa: S101 made in __init__
        mean *= rule.beta_1
        mean += (1 - rule.beta_1) * gradient
        square *= rule.beta_2
        square += (1 - rule.beta_2) * gradient**2
        pace = rate / (np.sqrt(square / (1 - rule.beta_2**self._steps)) + _EPSILON)
        return pace * mean / (1 - rule.beta_1**self._steps), pace

    def _rmsprop(self, gradient: Matrix, rate: Matrix) -> tuple[Matrix, Matrix]:
        square = self._square
        assert square is not None  # noqa: S101 made in __init__
        square *= _RMSPROP_DECAY
        square += (1 - _RMSPROP_DECAY) * gradient**2
        # Without a correction the first steps would be several times as long as the rate says.
        pace = rate / (np.sqrt(square / (1 - _RMSPROP_DECAY**self._steps)) + _EPSILON)
        return pace * gradient, pace
