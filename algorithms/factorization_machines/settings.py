"""How the three groups of parameters start and learn, as the hyperparameters of a job say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from algorithms.factorization_machines.machine import Adam, Matrix, Parts, Rule
from algorithms.toolkit.errors import CustomerError

GROUPS = ("bias", "linear", "factors")
BINARY = "binary_classifier"
EPS = 1e-8
# Which setting each way to start has.
_STARTS = {"normal": "sigma", "uniform": "scale", "constant": "value"}


def check(values: Mapping[str, Any]) -> None:
    """Refuse settings with which nothing could be learnt.

    Raises CustomerError with the sentence for the job's owner.
    """
    clip, eps, rescale = (values.get(name) for name in ("clip_gradient", "eps", "rescale_grad"))
    if clip is not None and clip <= 0:
        raise CustomerError(f"clip_gradient is {clip:g}; it must be above 0, or left out")
    if eps is not None and eps <= 0:
        raise CustomerError(f"eps is {eps:g}; it must be above 0, or left out")
    if rescale is not None and rescale <= 0:
        raise CustomerError(f"rescale_grad is {rescale:g}; it must be above 0, or left out")


def idle(given: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about settings that were given and have no effect, as AWS documents it."""
    for group in GROUPS:
        method = values[f"{group}_init_method"]
        for other, setting in _STARTS.items():
            name = f"{group}_init_{setting}"
            if other != method and name in given:
                yield f"{name} has no effect: {group}_init_method is {method}"


def start(values: Mapping[str, Any], random: np.random.Generator) -> Parts:
    """The parameters before the first step."""
    width, factors = int(values["feature_dim"]), int(values["num_factors"])
    return Parts(
        _drawn("bias", (1,), values, random),
        _drawn("linear", (width,), values, random),
        _drawn("factors", (width, factors), values, random),
    )


def _drawn(
    group: str, shape: tuple[int, ...], values: Mapping[str, Any], random: np.random.Generator
) -> Matrix:
    method = values[f"{group}_init_method"]
    size = np.float32(values[f"{group}_init_{_STARTS[method]}"])
    if method == "constant":
        return np.full(shape, size, dtype=np.float32)
    if method == "uniform":
        return (2 * random.random(shape, dtype=np.float32) - 1) * size
    return random.standard_normal(shape, dtype=np.float32) * size


def optimizer(values: Mapping[str, Any]) -> Adam:
    """The steps of a job."""
    rules = {group: Rule(values[f"{group}_lr"], values[f"{group}_wd"]) for group in GROUPS}
    return Adam(
        rules,
        rescale=values.get("rescale_grad"),
        clip=values.get("clip_gradient"),
        eps=values.get("eps") or EPS,
    )
