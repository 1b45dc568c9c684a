"""Cross validation: a model for each fold, and what each predicts for the rows it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.classification import folds
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import Table, join
from algorithms.toolkit.training import log
from algorithms.xgboost.artifact import MODEL_FILE, save
from algorithms.xgboost.data import matrix
from algorithms.xgboost.metrics import Metrics, classes_of
from algorithms.xgboost.rounds import boost

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job


def cross_validate(job: Job, parameters: Mapping[str, Any], tables: Mapping[str, Table]) -> None:
    """Train one model a fold over all data, and record what each predicts for its held-out rows."""
    metrics = Metrics(job, parameters)
    count = _whole(job.reserved, "_kfold", least=2)
    repeats = _whole({"_num_cv_round": "1"} | job.reserved, "_num_cv_round", least=1)
    rounds = int(job.given["num_round"])
    table = join([tables[name] for name in ("train", "validation") if name in tables])
    assert table.labels is not None  # noqa: S101 reading has refused a table without
    objective = str(parameters.get("objective", ""))
    by_class = objective.startswith(("binary:", "multi:"))
    whole = matrix(table, parameters)
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
            fold = {"train": whole.slice(rest), "validation": whole.slice(held_out)}
            log.info("Train cross validation fold %d", len(histories) % count + 1)
            history: dict[str, Any] = {}
            booster = boost(job, parameters, metrics, fold, history=history)
            if job.stopping:
                return
            save(booster, job.model_dir / f"{MODEL_FILE}-{len(histories)}")
            histories.append(history)
            predicted = booster.predict(fold["validation"])
            scores[repeat, held_out] = predicted.max(axis=1) if predicted.ndim > 1 else predicted
            predictions[repeat, held_out] = (
                classes_of(objective, predicted) if by_class else scores[repeat, held_out]
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
