"""What the hyperparameters of AWS's container become for this release of the library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from algorithms.toolkit.errors import CustomerError
from algorithms.xgboost.library import has_gpu

# Read by this package; the library never sees them.
_OURS = {
    "csv_weights",
    "deterministic_histogram",
    "dsplit",
    "early_stopping_rounds",
    "eval_metric",
    "lambda_bias",
    "num_round",
    "predictor",
    "prob_buffer_row",
    "save_model_on_termination",
    "single_precision_histogram",
    "sketch_eps",
    "use_dask_gpu_training",
}

# Settings of older releases: the value that says what this one does anyway, and why no other works.
_GONE: dict[str, tuple[Any, str]] = {
    "dsplit": ("row", "splitting by column needs several hosts"),
    "lambda_bias": (0.0, "the library no longer penalises the bias of gblinear"),
    "prob_buffer_row": (None, "the tree builder that used it, grow_skmaker, was removed"),
    "single_precision_histogram": ("false", "the library now always sums in double precision"),
    "sketch_eps": (0.03, "the library replaced it by max_bin, about 1 / sketch_eps"),
    "use_dask_gpu_training": ("false", "it needs several GPUs in one host"),
}
_GONE_UPDATERS = {"distcol", "grow_local_histmaker", "grow_skmaker"}


def translated(given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the library for the hyperparameters of a job.

    Raises CustomerError naming each that this release of the library cannot follow.
    """
    problems = [
        f"Hyperparameter {name}: value {given[name]} is not supported: {reason}"
        for name, (same, reason) in _GONE.items()
        if name in given and given[name] != same and str(given[name]).lower() != same
    ]
    parameters = {
        # The library reads 0 and 1, and not Python's names of them.
        name: int(value) if isinstance(value, bool) else value
        for name, value in given.items()
        if name not in _OURS and not name.startswith("_")
    }
    updaters = listed(parameters.get("updater"))
    if gone := sorted(_GONE_UPDATERS & set(updaters)):
        problems.append(
            f"Hyperparameter updater: {', '.join(gone)} is not supported: "
            "removed from the library; grow_colmaker, grow_histmaker or grow_quantile_histmaker is"
        )
    if "grow_gpu_hist" in updaters and not has_gpu():
        problems.append("Hyperparameter updater: grow_gpu_hist needs a GPU")
    if updaters:
        parameters["updater"] = ",".join(updaters)
    wants_gpu = [
        f"{name}={value}"
        for name, value in (
            ("tree_method", "gpu_hist"),
            ("predictor", "gpu_predictor"),
        )
        if given.get(name) == value
    ]
    if wants_gpu and not has_gpu():
        problems.append(f"Hyperparameter {wants_gpu[0]} needs a GPU, and this instance has none")
    if given.get("sampling_method") == "gradient_based" and "tree_method=gpu_hist" not in wants_gpu:
        problems.append(
            "Hyperparameter sampling_method: value gradient_based works with tree_method "
            "gpu_hist only"
        )
    if problems:
        raise CustomerError("; ".join(problems))
    if parameters.get("tree_method") == "gpu_hist":
        parameters["tree_method"] = "hist"
    if wants_gpu:
        parameters["device"] = "cuda"
    for name in ("monotone_constraints", "interaction_constraints"):
        if name in parameters:
            parameters[name] = _bracketed(parameters[name], round_=name.startswith("mono"))
    return parameters


def _bracketed(value: Any, *, round_: bool) -> str:
    """Constraints as the library reads them from text: (0, 1) or [[1, 2], [3, 4]]."""
    if isinstance(value, str):
        return value
    text = str([list(v) if isinstance(v, Sequence) else v for v in value])
    return f"({text[1:-1]})" if round_ else text


def listed(value: Any) -> list[str]:
    """The names in a hyperparameter that is a list, or text with commas."""
    if not value:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return list(map(str, value))
