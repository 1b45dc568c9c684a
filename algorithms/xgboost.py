"""XGBoost: gradient boosted trees, by the library that AWS's own image holds."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit import content
from algorithms.toolkit.channels import read_channel
from algorithms.toolkit.classification import Confusion, folds
from algorithms.toolkit.errors import AlgorithmError, CustomerError
from algorithms.toolkit.formats.table import Table, join
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Answers
    from algorithms.toolkit.job import Job

MODEL_FILE = "xgboost-model"
CHECKPOINT_FILE = "xgboost-checkpoint"
KEPT_CHECKPOINTS = 5

# Read by this module; the library never sees them.
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

# Texts of the library that blame the data or the settings, and not the program.
_CUSTOMER_TEXTS = (
    "Check failed",
    "Invalid Parameter format",
    "Parameter ",
    "Unknown",
    "Label",
    "label",
    "Must have",
    "must be",
    "not supported",
    "Only",
    "only",
    "required",
    "Input data contains",
    "Number of groups",
)

_CONFUSION_METRICS: dict[str, Callable[[Confusion], float]] = {
    "accuracy": Confusion.accuracy,
    "balanced_accuracy": Confusion.balanced_accuracy,
    "f1": partial(Confusion.f1, average="macro"),
    "f1_binary": partial(Confusion.f1, average="binary"),
    "f1_macro": partial(Confusion.f1, average="macro"),
    "precision": partial(Confusion.precision, average="binary"),
    "precision_macro": partial(Confusion.precision, average="macro"),
    "precision_micro": partial(Confusion.precision, average="micro"),
    "recall": partial(Confusion.recall, average="binary"),
    "recall_macro": partial(Confusion.recall, average="macro"),
    "recall_micro": partial(Confusion.recall, average="micro"),
}
TWEEDIE = "tweedie-nloglik"
CUSTOM_METRICS = frozenset({*_CONFUSION_METRICS, "mse", "r2"})
_MAXIMIZED = CUSTOM_METRICS - {"mse"} | {"auc", "aucpr", "map", "ndcg"}

_TRAINING_TYPES = (content.LIBSVM, content.CSV, content.PARQUET, content.RECORDIO)


@cache
def _library() -> Any:
    """The library, without scikit-learn, which it would import in passing and take 0.6 s for."""
    if "xgboost" in sys.modules or "sklearn" in sys.modules:
        import xgboost

        return xgboost
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        import xgboost
    finally:
        del sys.modules["sklearn"]
    return xgboost


def train(job: Job) -> None:
    """Train on the `train` channel, with metrics on it and on `validation`."""
    job.one_host()
    # What was not asked for is left to the library, as AWS's container does: a default spelt out
    # (updater, base_score) is not the same to it as no value.
    settings = job.given
    parameters = _parameters(settings)
    tables = {
        name: read_channel(
            channel,
            allowed=_TRAINING_TYPES,
            default=content.LIBSVM,
            weights=bool(settings.get("csv_weights")) and _is_text(channel.content_type),
            missing=True,
        )
        for name, channel in job.channels.items()
        if name != "code"
    }
    width = max(table.width for table in tables.values())
    tables = {name: table.widened(width) for name, table in tables.items()}
    for table in tables.values():
        _check_width(table, width, tables["train"])
        _check_labels(table, parameters)
    for name, table in tables.items():
        log.info("%s matrix has %d rows and %d columns", name.title(), table.rows, table.width)
    try:
        if "_kfold" in job.reserved:
            _cross_validate(job, parameters, settings, tables)
        else:
            _train_once(job, parameters, settings, tables)
    except _library().core.XGBoostError as error:
        raise _blamed(error) from error
    except ValueError as error:
        raise CustomerError(f"XGB train call failed: {_first_lines(error)}") from error


def _is_text(kind: content.ContentType | None) -> bool:
    return kind is not None and kind.name == content.CSV


def _parameters(given: Mapping[str, Any]) -> dict[str, Any]:
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
    updaters = _listed(parameters.get("updater"))
    if gone := sorted(_GONE_UPDATERS & set(updaters)):
        problems.append(
            f"Hyperparameter updater: {', '.join(gone)} is not supported: "
            "removed from the library; grow_colmaker, grow_histmaker or grow_quantile_histmaker is"
        )
    if "grow_gpu_hist" in updaters and not _has_gpu():
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
    if wants_gpu and not _has_gpu():
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


def _listed(value: Any) -> list[str]:
    if not value:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return list(map(str, value))


def _has_gpu() -> bool:
    return bool(_library().build_info().get("USE_CUDA")) and Path("/dev/nvidiactl").exists()


def _check_width(table: Table, width: int, train: Table) -> None:
    if table.width != width:
        raise CustomerError(
            f"{table.place(0)} has {table.width} features, {train.place(0)} has {train.width}; "
            "train and validation must have the same"
        )


def _check_labels(table: Table, parameters: Mapping[str, Any]) -> None:
    """Refuse labels outside of what the objective allows, naming the first record that has one."""
    objective = str(parameters.get("objective", ""))
    labels = table.labels
    if labels is None:
        raise CustomerError(f"{table.place(0)} has no label")
    if objective.startswith("multi:"):
        classes = int(parameters.get("num_class") or 0)
        wrong = (labels < 0) | (labels >= classes) | (labels != np.floor(labels))
        rule = f"label must be in [0, num_class), and num_class is {classes}"
    elif objective in {"binary:logistic", "binary:logitraw", "reg:logistic"}:
        wrong = (labels < 0) | (labels > 1)
        rule = "label must be in [0,1] for logistic regression"
    elif objective == "binary:hinge":
        wrong = (labels != 0) & (labels != 1)
        rule = "label must be 0 or 1 for binary:hinge"
    elif objective in {"count:poisson", "reg:tweedie"}:
        wrong = labels < 0
        rule = f"label must be nonnegative for {objective}"
    elif objective == "reg:gamma":
        wrong = labels <= 0
        rule = "label must be positive for reg:gamma"
    elif objective == "reg:squaredlogerror":
        wrong = labels <= -1
        rule = "label must be greater than -1 for reg:squaredlogerror"
    else:
        return
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise CustomerError(f"{rule}: {table.place(row)} has label {labels[row]:g}")


def _matrix(table: Table, parameters: Mapping[str, Any]) -> Any:
    # survival:aft reads an interval instead of a label: here every time is known exactly.
    exact = table.labels if parameters.get("objective") == "survival:aft" else None
    return _library().DMatrix(
        table.features,
        label=table.labels,
        weight=table.weights,
        qid=table.groups,
        label_lower_bound=exact,
        label_upper_bound=exact,
        nthread=parameters.get("nthread"),
    )


class _Metrics:
    """Which metrics to print, who computes them, and which one decides on stopping early."""

    def __init__(self, job: Job, parameters: dict[str, Any], settings: Mapping[str, Any]) -> None:
        asked = _listed(settings.get("eval_metric"))
        tuned = job.reserved.get("_tuning_objective_metric", "").split(":")[-1]
        self._objective = str(parameters.get("objective", "reg:squarederror"))
        names = [*dict.fromkeys([*asked, *([tuned] if tuned else [])])]
        self._custom = [name for name in names if name in CUSTOM_METRICS]
        # The library wants the power of this metric in its name, where AWS's name has none.
        power = parameters.get("tweedie_variance_power", 1.5)
        self.full = {TWEEDIE: f"{TWEEDIE}@{power:g}"}
        native = [self.full.get(name, name) for name in names if name not in CUSTOM_METRICS]
        if native:
            parameters["eval_metric"] = native
        self.function = self._compute if self._custom else None
        decisive = tuned or (asked[-1] if asked else "")
        self.decisive = self.full.get(decisive, decisive) or None

    def _compute(self, predicted: Any, matrix: Any) -> list[tuple[str, float]]:
        truth = matrix.get_label()
        values = []
        confusion: Confusion | None = None
        for name in self._custom:
            if name in {"mse", "r2"}:
                values.append((name, self._regression(name, predicted, truth)))
                continue
            if confusion is None:
                classes = _classes(self._objective, predicted)
                confusion = Confusion(truth.astype(np.int64), classes)
            values.append((name, _CONFUSION_METRICS[name](confusion)))
        return values

    @staticmethod
    def _regression(name: str, predicted: Any, truth: Any) -> float:
        if predicted.ndim != 1:
            raise CustomerError(f"Metric '{name}' needs one prediction for each record")
        truth = truth.astype(np.float64)
        error = float(np.mean((truth - predicted) ** 2))
        if name == "mse":
            return error
        spread = float(truth.var())
        return 1 - error / spread if spread else float(error == 0)


def _classes(objective: str, predicted: Any) -> Any:
    """The class that predictions stand for: the largest column, or beyond the middle."""
    if predicted.ndim > 1:
        return np.argmax(predicted, axis=1)
    if objective == "multi:softmax":
        return predicted.astype(np.int64)
    return (predicted > (0 if objective == "binary:logitraw" else 0.5)).astype(np.int64)


def _callbacks(
    job: Job, metrics: _Metrics, settings: Mapping[str, Any], *, start: int, data: str
) -> list[Any]:
    library = _library()

    base: Any = library.callback.TrainingCallback

    class Report(base):  # type: ignore[misc]
        """Prints one line a round, and ends training between two rounds when asked to."""

        def after_iteration(self, model: Any, epoch: int, history: Any) -> bool:
            line = f"[{start + epoch}]"
            for name, metric_values in history.items():
                for full, values in metric_values.items():
                    metric = TWEEDIE if full.startswith(TWEEDIE) else full
                    line += f"\t{name}-{metric}:{values[-1]:.5f}"
            print(line, flush=True)
            return job.stopping

    class Checkpoint(base):  # type: ignore[misc]
        """Writes the model after every round, and keeps the last few."""

        def after_iteration(self, model: Any, epoch: int, history: Any) -> bool:
            folder = job.checkpoint_dir
            if folder is not None:
                number = start + epoch
                _save(model, folder / f"{CHECKPOINT_FILE}.{number}")
                stale = folder / f"{CHECKPOINT_FILE}.{number - KEPT_CHECKPOINTS}"
                stale.unlink(missing_ok=True)
            return False

    callbacks: list[Any] = [Report()]
    if job.checkpoint_dir is not None:
        callbacks.append(Checkpoint())
    if settings.get("early_stopping_rounds"):
        decisive = metrics.decisive
        callbacks.append(
            library.callback.EarlyStopping(
                rounds=int(settings["early_stopping_rounds"]),
                metric_name=decisive,
                data_name=data,
                maximize=decisive.split("@")[0] in _MAXIMIZED if decisive else None,
            )
        )
    return callbacks


def _train_once(
    job: Job,
    parameters: dict[str, Any],
    settings: Mapping[str, Any],
    tables: Mapping[str, Table],
) -> None:
    library = _library()
    metrics = _Metrics(job, parameters, settings)
    matrices = {name: _matrix(table, parameters) for name, table in tables.items()}
    watched = [(matrices[name], name) for name in ("train", "validation") if name in matrices]
    start, checkpoint = _last_checkpoint(job.checkpoint_dir)
    if start:
        log.info("Checkpoint loaded; resuming from iteration %d", start)
    rounds = int(settings["num_round"])
    with job.between_rounds():
        booster = checkpoint
        if rounds > start:
            booster = library.train(
                parameters,
                matrices["train"],
                num_boost_round=rounds - start,
                evals=watched,
                custom_metric=metrics.function,
                callbacks=_callbacks(job, metrics, settings, start=start, data=watched[-1][1]),
                xgb_model=checkpoint,
                verbose_eval=False,
            )
            booster = _best(booster, start)
    if job.stopping and str(settings.get("save_model_on_termination")).lower() != "true":
        log.info("Stopped before the last round; save_model_on_termination is not true: no model")
        return
    _save(booster, job.model_dir / MODEL_FILE)
    log.info("Stored the model of %d rounds", booster.num_boosted_rounds())


def _cross_validate(
    job: Job,
    parameters: dict[str, Any],
    settings: Mapping[str, Any],
    tables: Mapping[str, Table],
) -> None:
    """Train one model a fold over all data, and record what each predicts for its held-out rows."""
    library = _library()
    metrics = _Metrics(job, parameters, settings)
    count = _whole(job.reserved, "_kfold", least=2)
    repeats = _whole({"_num_cv_round": "1"} | job.reserved, "_num_cv_round", least=1)
    rounds = int(settings["num_round"])
    table = join([tables[name] for name in ("train", "validation") if name in tables])
    assert table.labels is not None  # noqa: S101 _check_labels has refused a table without
    objective = str(parameters.get("objective", ""))
    by_class = objective.startswith(("binary:", "multi:"))
    matrix = _matrix(table, parameters)
    random = np.random.default_rng(int(parameters.get("seed", 0)))
    log.info("Run %d-round of %d-fold cross validation with %d rows", repeats, count, table.rows)

    histories: list[Any] = []
    predictions = np.zeros((repeats, table.rows))
    scores = np.zeros((repeats, table.rows))
    everything = np.arange(table.rows)
    job.checkpoint_dir = None  # one checkpoint could not tell the folds apart
    for repeat in range(repeats):
        for held_out in folds(table.labels if by_class else None, table.rows, count, random):
            rest = np.setdiff1d(everything, held_out)
            pair = (matrix.slice(rest), matrix.slice(held_out))
            log.info("Train cross validation fold %d", len(histories) % count + 1)
            history: dict[str, Any] = {}
            with job.between_rounds():
                booster = library.train(
                    parameters,
                    pair[0],
                    num_boost_round=rounds,
                    evals=[(pair[0], "train"), (pair[1], "validation")],
                    evals_result=history,
                    custom_metric=metrics.function,
                    callbacks=_callbacks(job, metrics, settings, start=0, data="validation"),
                    verbose_eval=False,
                )
            if job.stopping:
                return
            booster = _best(booster, 0)
            _save(booster, job.model_dir / f"{MODEL_FILE}-{len(histories)}")
            histories.append(history)
            predicted = booster.predict(pair[1])
            scores[repeat, held_out] = predicted.max(axis=1) if predicted.ndim > 1 else predicted
            predictions[repeat, held_out] = (
                _classes(objective, predicted) if by_class else scores[repeat, held_out]
            )
        log.info("The metrics of round %d cross validation", repeat + 1)
        _print_mean(rounds, histories[-count:])
    if repeats > 1:
        log.info("The overall metrics of %d-round cross validation", repeats)
        _print_mean(rounds, histories)
    columns = [table.labels, scores.mean(axis=0)]
    if by_class:
        columns.append(_most_frequent(predictions.astype(np.int64)))
    np.savetxt(
        job.output_dir / "predictions.csv", np.column_stack(columns), delimiter=",", fmt="%f"
    )


def _whole(values: Mapping[str, str], name: str, *, least: int) -> int:
    text = values[name]
    if not text.isdecimal() or int(text) < least:
        raise CustomerError(f"Hyperparameter {name}: value {text} not in range [{least}, inf)")
    return int(text)


def _most_frequent(votes: npt.NDArray[np.int64]) -> Any:
    classes = np.unique(votes)
    return classes[np.argmax([(votes == c).sum(axis=0) for c in classes], axis=0)]


def _print_mean(rounds: int, histories: Sequence[Any]) -> None:
    line = f"[{rounds}]"
    for metric in histories[0]["train"]:
        for name in ("train", "validation"):
            mean = np.mean([history[name][metric][-1] for history in histories])
            line += f"\t{name}-{metric}:{mean:.5f}"
    print(line, flush=True)


def _best(booster: Any, start: int) -> Any:
    """The model as it was in its best round, where training watched for that.

    The library counts from the round with which it began, and not from that of a checkpoint.
    """
    best = booster.attr("best_iteration")
    # A linear model has no rounds to cut off.
    if best is None or "gblinear" in booster.save_config():
        return booster
    return booster[: start + int(best) + 1]


def _save(booster: Any, path: Path) -> None:
    """Write a model whole or not at all: a reader or a kill may come at any moment."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(booster.save_raw("ubj"))
    temporary.replace(path)


def _last_checkpoint(folder: Path | None) -> tuple[int, Any]:
    """The round to go on with, and the model so far; (0, None) without a checkpoint."""
    found = []
    for path in folder.glob(f"{CHECKPOINT_FILE}.*") if folder else ():
        if match := re.fullmatch(rf"{CHECKPOINT_FILE}\.(\d+)", path.name):
            found.append((int(match[1]), path))
    if not found:
        return 0, None
    number, path = max(found)
    return number + 1, _booster(path)


def _booster(path: Path) -> Any:
    """A model of the library's own format; anything else is refused unread."""
    body = path.read_bytes()
    # UBJ and JSON both begin with a brace; a pickle or an old binary does not.
    if not body.startswith(b"{"):
        raise CustomerError(
            f"{path.name} is not a model in XGBoost's UBJ or JSON format. "
            "Load it with the release that wrote it, and store it with Booster.save_model"
        )
    booster = _library().Booster()
    try:
        booster.load_model(bytearray(body))
    except _library().core.XGBoostError as error:
        raise CustomerError(f"{path.name} cannot be loaded: {_first_lines(error)}") from None
    return booster


def _blamed(error: Exception) -> Exception:
    text = f"XGB train call failed with exception: {_first_lines(error)}"
    return (CustomerError if any(t in str(error) for t in _CUSTOMER_TEXTS) else AlgorithmError)(
        text
    )


def _first_lines(error: Exception) -> str:
    """What the library says, without the addresses of its stack."""
    text = str(error).split("Stack trace", 1)[0].strip()
    return re.sub(r"^\[\d\d:\d\d:\d\d\] \S+?:\d+: ", "", text)


_CLASSIFYING = {
    "binary:logistic",
    "binary:logitraw",
    "binary:hinge",
    "multi:softmax",
    "multi:softprob",
}
_SELECTABLE = {
    "binary:logistic": {
        "predicted_label",
        "labels",
        "probability",
        "probabilities",
        "raw_score",
        "raw_scores",
    },
    "binary:logitraw": {"predicted_label", "labels", "raw_score", "raw_scores"},
    "binary:hinge": {"predicted_label", "labels", "raw_score", "raw_scores"},
    "multi:softmax": {"predicted_label", "labels", "raw_score", "raw_scores"},
    "multi:softprob": {
        "predicted_label",
        "labels",
        "probability",
        "probabilities",
        "raw_score",
        "raw_scores",
    },
    "reg:squarederror": {"predicted_score"},
    "reg:linear": {"predicted_score"},
    "reg:logistic": {"predicted_score"},
    "reg:gamma": {"predicted_score"},
    "reg:tweedie": {"predicted_score"},
}
_ALL_KEYS = set[str]().union(*_SELECTABLE.values())


class Model:
    """One booster, or those of a cross validation, whose mean is the answer."""

    accepts: tuple[str, ...] = (content.CSV, content.LIBSVM, content.RECORDIO)
    answers: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES, content.RECORDIO)
    missing = True

    def __init__(self, boosters: Sequence[Any], selected: Sequence[str] = ()) -> None:
        import json

        self._boosters = boosters
        self.width = int(boosters[0].num_features())
        learner = json.loads(boosters[0].save_config())["learner"]
        self._objective = str(learner["objective"]["name"])
        self._num_class = int(learner["learner_model_param"]["num_class"])
        # gblinear cannot predict without a copy of its input, and dart sums in another order then,
        # which shows in the last bit.
        self._in_place = learner["gradient_booster"]["name"] == "gbtree"
        self._selected = selected
        if unknown := set(selected) - _ALL_KEYS:
            raise CustomerError(
                f"SAGEMAKER_INFERENCE_OUTPUT names {', '.join(sorted(unknown))}; "
                f"{', '.join(sorted(_ALL_KEYS))} are allowed"
            )
        if selected and self._objective not in _SELECTABLE:
            raise CustomerError(
                f"SAGEMAKER_INFERENCE_OUTPUT is not supported for objective {self._objective}"
            )

    def scores(self, table: Table) -> Any:
        """What the library predicts, averaged over the boosters."""
        found = [self._score(booster, table) for booster in self._boosters]
        return found[0] if len(found) == 1 else np.mean(found, axis=0)

    def _score(self, booster: Any, table: Table) -> Any:
        if self._in_place:
            return booster.inplace_predict(table.features, validate_features=False)
        return booster.predict(
            _library().DMatrix(table.features, nthread=1), validate_features=False
        )

    def predict(self, table: Table) -> Answers:
        """The score of each record, or what SAGEMAKER_INFERENCE_OUTPUT asks for."""
        scores = self.scores(table)
        if self._selected:
            return [self._select(score) for score in scores]
        return [{"score": score} for score in scores.tolist()]

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """Scores joined by commas, or one a line in batch; selected outputs always one a line."""
        if not self._selected:
            texts = [str(answer["score"]) for answer in answers]
            return "\n".join(texts) + "\n" if batch else ",".join(texts)
        lines = [
            ",".join(
                f'"{answer[key]}"' if isinstance(answer[key], list) else str(answer[key])
                for key in self._selected
            )
            for answer in answers
        ]
        return "\n".join(lines) + ("\n" if batch else "")

    def _select(self, score: Any) -> dict[str, Any]:
        """The selected outputs of a record; NaN for what the objective does not have."""
        objective, several = self._objective, np.ndim(score) > 0
        values: dict[str, Any] = {"predicted_score": score.tolist()}
        if objective in _CLASSIFYING:
            best = float(score.max()) if several else float(score)
            pair = score.tolist() if several else [1.0 - best, best]
            values |= {
                "predicted_label": self._label(score),
                "labels": list(range(max(self._num_class, 2))),
                "probability": best,
                "probabilities": pair,
                "raw_score": best,
                "raw_scores": pair,
            }
        allowed = _SELECTABLE[objective]
        return {key: values[key] if key in allowed else float("nan") for key in self._selected}

    def _label(self, score: Any) -> int | float:
        if np.ndim(score) > 0:
            return int(np.argmax(score))
        if self._objective in {"binary:hinge", "multi:softmax"}:
            return float(score)
        return int(score > (0 if self._objective == "binary:logitraw" else 0.5))


def load(folder: Path) -> Model:
    """The model or models that `train` left, or that AWS's image of XGBoost 3.0 did."""
    paths = sorted(folder.glob(f"{MODEL_FILE}-*"), key=lambda path: path.name) or [
        folder / MODEL_FILE
    ]
    if not paths[0].is_file():
        found = ", ".join(sorted(path.name for path in folder.glob("*"))) or "nothing"
        raise CustomerError(f"the model has no file {MODEL_FILE}; it holds {found}")
    if os.environ.get("SAGEMAKER_INFERENCE_ENSEMBLE", "true").lower() == "false":
        paths = paths[:1]
    boosters = [_booster(path) for path in paths]
    for booster in boosters:
        booster.set_param({"nthread": 1, "device": "cpu"})
    selected = os.environ.get("SAGEMAKER_INFERENCE_OUTPUT", "").replace(" ", "").lower()
    return Model(boosters, selected.split(",") if selected else ())
