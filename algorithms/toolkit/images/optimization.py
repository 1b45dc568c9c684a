"""Rules by which weights are updated, and how fast, under the names of the hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from algorithms.toolkit import optimizers

Rate = Callable[[int], float]
"""The factor on the learning rate after so many updates."""


def optimizer(parameters: Iterable[Any], settings: Mapping[str, Any], **more: float) -> Any:
    """The optimizer that hyperparameters name, for the parameters that are to be learnt.

    Args:
        parameters: those of a network.
        settings: hyperparameters of a job; those that do not concern the optimizer are not read.
        more: what an algorithm calls by other names: `decay` and `rmsprop_momentum` of rmsprop.
    """
    name, rate = settings["optimizer"], float(settings["learning_rate"])
    momentum = float(settings.get("momentum", 0.0))
    weight_decay = float(settings.get("weight_decay", 0.0))
    if name in {"sgd", "nag"}:
        # Nesterov's look ahead is along the momentum: without any there is none.
        return optimizers.SGD(
            parameters,
            rate,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=name == "nag" and momentum > 0,
        )
    if name == "adam":
        betas = (float(settings.get("beta_1", 0.9)), float(settings.get("beta_2", 0.999)))
        return optimizers.Adam(parameters, rate, betas, float(settings.get("eps", 1e-8)))
    if name == "rmsprop":
        return optimizers.RMSprop(
            parameters,
            rate,
            alpha=more.get("decay", 0.9),
            eps=float(settings.get("eps", 1e-8)),
            weight_decay=weight_decay,
            momentum=more.get("rmsprop_momentum", 0.0),
        )
    if name == "adagrad":
        return optimizers.Adagrad(parameters, rate)
    if name == "adadelta":
        return optimizers.Adadelta(parameters, rate)
    raise ValueError(f"no optimizer {name!r}")


def steps(epochs: Sequence[int] | None, factor: float, updates_per_epoch: int) -> Rate:
    """The learning rate falls by a factor at each of some epochs."""
    falls = [epoch * updates_per_epoch for epoch in epochs or ()]
    return lambda update: factor ** sum(update >= fall for fall in falls)


def poly(updates: int, power: float = 0.9) -> Rate:
    """The learning rate falls to nothing in so many updates, almost in a straight line."""
    return lambda update: max(0.0, 1 - update / updates) ** power


def cosine(updates: int) -> Rate:
    """The learning rate falls to nothing in so many updates, as half a wave of the cosine."""
    return lambda update: (1 + math.cos(math.pi * min(1.0, update / updates))) / 2


def set_rate(chosen: Any, rate: float) -> None:
    """Make an optimizer go on with this learning rate."""
    for group in chosen.param_groups:
        group["lr"] = rate
