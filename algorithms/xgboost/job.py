"""A training job from its channels to its artifact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.peers import GRACE_SECONDS, meet
from algorithms.toolkit.training import log
from algorithms.xgboost import artifact, data, settings
from algorithms.xgboost.collective import first_host, together
from algorithms.xgboost.cross_validation import cross_validate
from algorithms.xgboost.library import blamed, first_lines, library
from algorithms.xgboost.metrics import Metrics
from algorithms.xgboost.rounds import boost

if TYPE_CHECKING:
    from algorithms.toolkit.formats.table import Table
    from algorithms.toolkit.job import Job


def train(job: Job) -> None:
    """Train on the `train` channel of all hosts, with metrics on it and on `validation`."""
    # What was not asked for is left to the library, as AWS's container does: a default spelt out
    # (updater, base_score) is not the same to it as no value.
    parameters = settings.translated(job.given)
    if "_kfold" in job.reserved:
        job.one_host()
    with meet(job) as peers:
        tables = data.tables(job, parameters, peers)
        try:
            if "_kfold" in job.reserved:
                cross_validate(job, parameters, tables)
            else:
                with together(job, peers):
                    _train_once(job, parameters, tables)
        except library().core.XGBoostError as error:
            peers.check(GRACE_SECONDS)
            raise blamed(error) from error
        except ValueError as error:
            raise CustomerError(f"XGB train call failed: {first_lines(error)}") from error


def _train_once(job: Job, parameters: Mapping[str, Any], tables: Mapping[str, Table]) -> None:
    matrices = {
        name: data.matrix(tables[name], parameters)
        for name in ("train", "validation")
        if name in tables
    }
    start, booster = artifact.last_checkpoint(job.checkpoint_dir)
    if start:
        log.info("Checkpoint loaded; resuming from iteration %d", start)
    if int(job.given["num_round"]) > start:
        metrics = Metrics(job, parameters)
        booster = boost(job, parameters, metrics, matrices, start=start, checkpoint=booster)
    if job.stopping and str(job.given.get("save_model_on_termination")).lower() != "true":
        log.info("Stopped before the last round; save_model_on_termination is not true: no model")
        return
    if not first_host():
        log.info("The first host stores the model")
        return
    artifact.save(booster, job.model_dir / artifact.MODEL_FILE)
    log.info("Stored the model of %d rounds", booster.num_boosted_rounds())
