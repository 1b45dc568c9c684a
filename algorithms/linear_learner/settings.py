"""The hyperparameters of a job with every `auto` decided, and those of each parallel model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from algorithms.linear_learner.losses import Loss, Matrix, loss
from algorithms.linear_learner.optimizers import Rule
from algorithms.toolkit.errors import CustomerError

BINARY, MULTICLASS, REGRESSOR = "binary_classifier", "multiclass_classifier", "regressor"
# Criteria that come with a threshold; the others keep the middle.
CALIBRATED = (
    "accuracy",
    "f1",
    "f_beta",
    "precision_at_target_recall",
    "recall_at_target_precision",
)

# Of each kind of predictor; auto is the first.
LOSSES = {
    BINARY: ("logistic", "hinge_loss"),
    MULTICLASS: ("softmax_loss",),
    REGRESSOR: (
        "squared_loss",
        "absolute_loss",
        "eps_insensitive_squared_loss",
        "eps_insensitive_absolute_loss",
        "quantile_loss",
        "huber_loss",
    ),
}
AUTO_MODELS = 32
# In an epoch, unless mini_batch_size was given.
LEAST_STEPS = 80
# Of the weights, or of the scores of a batch, of all models together: above, auto trains fewer.
_AUTO_NUMBERS = 2**26
AUTO_CALIBRATION_SAMPLES = 10_000_000
# Of the scores of all models by which auto calibrates: 256 MiB.
CALIBRATED_NUMBERS = 2**26
AUTO_BIAS_LR_MULT = 1.0
AUTO_BIAS_WD_MULT = 0.0
AUTO_MOMENTUM = 0.9
AUTO_BETA_1 = 0.9
AUTO_BETA_2 = 0.999
AUTO_MINIMUM_LR = 1e-5
# By what the schedule has lowered the rate once all epochs are over.
AUTO_DECAY = 0.01
# The rates of adam and rmsprop are steps in a weight of a normalised feature: the fewer steps there
# are, the longer each must be.
AUTO_LEARNING_RATE, AUTO_STEPS = 0.02, 1200
AUTO_LEARNING_RATE_RANGE = 0.005, 0.2
AUTO_WD = (1e-3, 1e-2, 1e-4, 0.0)
AUTO_L1 = (0.0, 1e-4)
# A setting that was given is kept by the first model, and stays near in the rest.
_NEAR_RATES = (1.0, 0.5, 2.0, 0.25)
_NEAR_WD = (1.0, 0.5, 2.0, 4.0)
_NEAR_L1 = (1.0, 0.5)


@dataclass(frozen=True)
class Variants:
    """The settings in which the parallel models differ, one value for each."""

    learning_rate: Matrix
    wd: Matrix
    l1: Matrix
    positive_weight: Matrix

    def __len__(self) -> int:
        return len(self.learning_rate)

    def described(self, model: int) -> str:
        """The settings of one model, for the log."""
        return ", ".join(
            f"{name}={getattr(self, name)[model]:.6g}"
            for name in ("learning_rate", "wd", "l1", "positive_weight")
        )


@dataclass(frozen=True)
class Schedule:
    """How the learning rates fall."""

    step: int
    factor: float
    minimum: float

    def rates(self, start: Matrix, steps: int) -> Matrix:
        """The rates after some steps; one that starts below the minimum stays where it is."""
        lowered = start * self.factor ** (steps // self.step)
        return np.asarray(np.maximum(lowered, np.minimum(start, self.minimum)), dtype=np.float32)


@dataclass(frozen=True)
class Settings:
    """What training does."""

    predictor: str
    classes: int
    """How many scores a model gives: 1 unless there are many classes."""

    loss: Loss
    loss_name: str
    rule: Rule
    schedule: Schedule | None
    variants: Variants
    epochs: int
    batches: int
    """In an epoch; the hosts of a job make each of them together."""

    patience: int
    tolerance: float
    use_bias: bool
    init_bias: float
    init_normal: bool
    init_size: float
    bias_lr_mult: float
    bias_wd_mult: float


def decided(value: Any, automatic: Any) -> Any:
    """A value, or what stands for `auto`."""
    return automatic if value == "auto" else value


def loss_name(values: Mapping[str, Any]) -> str:
    """The loss, with auto decided."""
    return str(decided(values["loss"], LOSSES[values["predictor_type"]][0]))


def check(values: Mapping[str, Any]) -> None:
    """Refuse settings of which each is allowed, but not both.

    Raises CustomerError with the sentence for the job's owner.
    """
    criterion = values["binary_classifier_model_selection_criteria"]
    if (
        values["predictor_type"] == BINARY
        and criterion == "cross_entropy_loss"
        and loss_name(values) == "hinge_loss"
    ):
        raise CustomerError(
            "binary_classifier_model_selection_criteria is cross_entropy_loss, but the scores of "
            "hinge_loss are no probabilities; use loss_function, or loss=logistic"
        )


def settle(
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    rows: int,
    width: int,
    balance: float | None,
    mean_square: float,
) -> Settings:
    """Decide every `auto`.

    Args:
        values: all hyperparameters.
        given: those that the job names.
        rows: how many records the train channel has, on all hosts.
        width: how many features each has.
        balance: the negative records for each positive one; None unless there are two classes.
        mean_square: the mean of the squared length of a normalised record.
    """
    predictor, name = values["predictor_type"], loss_name(values)
    classes = int(values["num_classes"]) if predictor == MULTICLASS else 1
    batch_size = _batch_size(int(values["mini_batch_size"]), rows, "mini_batch_size" in given)
    rule = Rule(
        str(decided(values["optimizer"], "adam")),
        momentum=float(decided(values["momentum"], AUTO_MOMENTUM)),
        beta_1=float(decided(values["beta_1"], AUTO_BETA_1)),
        beta_2=float(decided(values["beta_2"], AUTO_BETA_2)),
    )
    largest = max(width, batch_size) * classes
    count = decided(values["num_models"], min(AUTO_MODELS, max(1, _AUTO_NUMBERS // largest)))
    normal = values["init_method"] == "normal"
    epochs, batches = int(values["epochs"]), -(-rows // batch_size)
    return Settings(
        predictor=predictor,
        classes=classes,
        loss=loss(name, values, classes),
        loss_name=name,
        rule=rule,
        schedule=_schedule(values, epochs, batches),
        variants=_variants(
            values, int(count), _auto_rates(rule, epochs * batches, mean_square), balance
        ),
        epochs=epochs,
        batches=batches,
        patience=int(values["early_stopping_patience"]),
        tolerance=float(values["early_stopping_tolerance"]),
        use_bias=bool(values["use_bias"]),
        init_bias=float(values["init_bias"]),
        init_normal=normal,
        init_size=float(values["init_sigma" if normal else "init_scale"]),
        bias_lr_mult=float(decided(values["bias_lr_mult"], AUTO_BIAS_LR_MULT)),
        bias_wd_mult=float(decided(values["bias_wd_mult"], AUTO_BIAS_WD_MULT)),
    )


def _batch_size(size: int, rows: int, given: bool) -> int:
    """The size of a batch; unless it was given, small data make it smaller.

    A model learns little from the few steps that batches of 1000 would leave.
    """
    if not given:
        return max(1, min(size, rows // LEAST_STEPS))
    if size > rows:
        raise CustomerError(
            f"mini_batch_size is {size}, but the train channel has only {rows} records"
        )
    return size


def _schedule(values: Mapping[str, Any], epochs: int, batches: int) -> Schedule | None:
    """The schedule; auto changes the rate after each epoch and ends at a hundredth of it."""
    if not values["use_lr_scheduler"]:
        return None
    step = int(decided(values["lr_scheduler_step"], batches))
    automatic = AUTO_DECAY ** min(1.0, step / (epochs * batches))
    return Schedule(
        step,
        float(decided(values["lr_scheduler_factor"], automatic)),
        float(decided(values["lr_scheduler_minimum_lr"], AUTO_MINIMUM_LR)),
    )


def _auto_rates(rule: Rule, steps: int, mean_square: float) -> tuple[float, ...]:
    """The learning rates that auto tries, for a number of steps."""
    if rule.name == "sgd":
        # A step that cannot overshoot on records of this length, whatever way momentum adds up.
        largest = (1 - rule.momentum) / max(1.0, mean_square)
        return tuple(largest * factor for factor in (2.0, 0.5, 8.0, 0.125))
    rate = float(
        np.clip(AUTO_LEARNING_RATE * math.sqrt(AUTO_STEPS / steps), *AUTO_LEARNING_RATE_RANGE)
    )
    return rate, rate / 2


def _variants(
    values: Mapping[str, Any],
    count: int,
    rates: tuple[float, ...],
    balance: float | None,
) -> Variants:
    """The settings of each model: those that were given first, then ever further from them."""
    choices = (
        _choices(values["learning_rate"], rates, _NEAR_RATES),
        _choices(values["wd"], AUTO_WD, _NEAR_WD),
        _choices(values["l1"], AUTO_L1, _NEAR_L1),
        _positive_weights(values["positive_example_weight_mult"], balance),
    )
    ordered = sorted(
        itertools.product(*(list(enumerate(choice)) for choice in choices)),
        key=lambda variant: sum(place for place, _ in variant),
    )
    random = np.random.default_rng(0)
    rows = []
    for i in range(count):
        rate, wd, l1, weight = (value for _, value in ordered[i % len(ordered)])
        # More models than combinations: the rest lie between these.
        between = np.exp2(random.uniform(-0.5, 0.5, size=3)) if i >= len(ordered) else np.ones(3)
        rows.append((rate * between[0], wd * between[1], l1 * between[2], weight))
    columns = np.array(rows, dtype=np.float32).T
    return Variants(*columns)


def _choices(
    value: Any, automatic: tuple[float, ...], near: tuple[float, ...]
) -> tuple[float, ...]:
    if value == "auto":
        return automatic
    return tuple(dict.fromkeys(float(value) * factor for factor in near))


def _positive_weights(value: Any, balance: float | None) -> tuple[float, ...]:
    """How much positive records weigh; auto tries both, as they are and balanced."""
    if balance is None:
        return (1.0,)
    if value not in ("auto", "balanced"):
        return (float(value),)
    if not 0 < balance < math.inf:
        if value == "auto":
            return (1.0,)
        raise CustomerError(
            "positive_example_weight_mult is balanced, but all records of the train channel have "
            f"the label {0 if balance else 1}"
        )
    return (balance,) if value == "balanced" else (1.0, balance)


def idle(values: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting that was given and has no effect beside the others."""
    predictor, name = values["predictor_type"], loss_name(values)
    optimizer = decided(values["optimizer"], "adam")
    criterion = values["binary_classifier_model_selection_criteria"]
    method = values["init_method"]
    scaled = (
        values["normalize_data"] is not False
        or unbiased(values, "unbias_data")
        or (predictor == REGRESSOR and values["normalize_label"] is not False)
        or (predictor == REGRESSOR and unbiased(values, "unbias_label"))
    )
    conditions: dict[str, tuple[bool, str]] = {
        **dict.fromkeys(
            ("num_classes", "accuracy_top_k", "balance_multiclass_weights"),
            (predictor == MULTICLASS, f"predictor_type is {predictor}"),
        ),
        **dict.fromkeys(
            ("binary_classifier_model_selection_criteria", "positive_example_weight_mult"),
            (predictor == BINARY, f"predictor_type is {predictor}"),
        ),
        **dict.fromkeys(
            ("normalize_label", "unbias_label"),
            (predictor == REGRESSOR, f"predictor_type is {predictor}"),
        ),
        "f_beta": (predictor != REGRESSOR, f"predictor_type is {predictor}"),
        "num_calibration_samples": (
            predictor == BINARY and criterion in CALIBRATED,
            "no threshold is calibrated",
        ),
        "target_precision": (
            predictor == BINARY and criterion == "recall_at_target_precision",
            "the criterion is not recall_at_target_precision",
        ),
        "target_recall": (
            predictor == BINARY and criterion == "precision_at_target_recall",
            "the criterion is not precision_at_target_recall",
        ),
        **dict.fromkeys(("beta_1", "beta_2"), (optimizer == "adam", f"optimizer is {optimizer}")),
        "momentum": (optimizer == "sgd", f"optimizer is {optimizer}"),
        **dict.fromkeys(
            ("bias_lr_mult", "bias_wd_mult", "init_bias"),
            (bool(values["use_bias"]), "use_bias is false"),
        ),
        "init_scale": (method == "uniform", f"init_method is {method}"),
        "init_sigma": (method == "normal", f"init_method is {method}"),
        "huber_delta": (name == "huber_loss", f"loss is {name}"),
        "loss_insensitivity": (name.startswith("eps_"), f"loss is {name}"),
        "margin": (name == "hinge_loss", f"loss is {name}"),
        "quantile": (name == "quantile_loss", f"loss is {name}"),
        **dict.fromkeys(
            ("lr_scheduler_factor", "lr_scheduler_minimum_lr", "lr_scheduler_step"),
            (bool(values["use_lr_scheduler"]), "use_lr_scheduler is false"),
        ),
        "num_point_for_scaler": (scaled, "nothing is normalised"),
    }
    return [
        f"Hyperparameter {setting} has no effect: {reason}"
        for setting, (works, reason) in conditions.items()
        if setting in given and not works
    ]


def unbiased(values: Mapping[str, Any], name: str) -> bool:
    """Whether a mean is subtracted; auto does where a bias can take its place."""
    return bool(decided(values[name], values["use_bias"]))
