"""The rounds of a training: what is printed, kept and asked after each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from algorithms.xgboost.artifact import CHECKPOINT_FILE, KEPT_CHECKPOINTS, save
from algorithms.xgboost.collective import any_host, first_host
from algorithms.xgboost.library import library
from algorithms.xgboost.metrics import Metrics, aws_name, is_maximized

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job


def boost(
    job: Job,
    parameters: Mapping[str, Any],
    metrics: Metrics,
    matrices: Mapping[str, Any],
    *,
    start: int = 0,
    checkpoint: Any = None,
    history: dict[str, Any] | None = None,
) -> Any:
    """The model as of its best round, trained on `train` from round `start` on, measured on all.

    What is measured goes into `history`, by matrix and metric; the last one tells the best round.
    """
    with job.between_rounds():
        booster = library().train(
            {**parameters, **metrics.parameters},
            matrices["train"],
            num_boost_round=int(job.given["num_round"]) - start,
            evals=[(matrix, name) for name, matrix in matrices.items()],
            evals_result=history,
            custom_metric=metrics.function,
            callbacks=_callbacks(job, metrics, start=start, data=[*matrices][-1]),
            xgb_model=checkpoint,
            verbose_eval=False,
        )
        return _best(booster, start)


def _callbacks(job: Job, metrics: Metrics, *, start: int, data: str) -> list[Any]:
    callback = library().callback
    base: Any = callback.TrainingCallback

    class Report(base):
        """Prints one line a round, and ends training between two rounds when asked to."""

        def after_iteration(self, model: Any, epoch: int, history: Any) -> bool:
            line = f"[{start + epoch}]"
            for name, metric_values in history.items():
                for metric, values in metric_values.items():
                    line += f"\t{name}-{aws_name(metric)}:{values[-1]:.5f}"
            print(line, flush=True)
            agreed = any_host(stopping=job.stopping)
            if agreed:
                job.stopping = True
            # And never False: the signal may have come while the hosts agreed, for the next round.
            return agreed

    class Checkpoint(base):
        """Writes the model after every round, and keeps the last few."""

        def after_iteration(self, model: Any, epoch: int, history: Any) -> bool:
            folder = job.checkpoint_dir
            if folder is not None and first_host():
                number = start + epoch
                save(model, folder / f"{CHECKPOINT_FILE}.{number}")
                stale = folder / f"{CHECKPOINT_FILE}.{number - KEPT_CHECKPOINTS}"
                stale.unlink(missing_ok=True)
            return False

    callbacks: list[Any] = [Report()]
    if job.checkpoint_dir is not None:
        callbacks.append(Checkpoint())
    if job.given.get("early_stopping_rounds"):
        decisive = metrics.decisive
        callbacks.append(
            callback.EarlyStopping(
                rounds=int(job.given["early_stopping_rounds"]),
                metric_name=decisive,
                data_name=data,
                maximize=is_maximized(decisive) if decisive else None,
            )
        )
    return callbacks


def _best(booster: Any, start: int) -> Any:
    """The model as it was in its best round, where training watched for that.

    The library counts from the round with which it began, and not from that of a checkpoint.
    """
    best = booster.attr("best_iteration")
    # A linear model has no rounds to cut off.
    if best is None or "gblinear" in booster.save_config():
        return booster
    return booster[: start + int(best) + 1]
