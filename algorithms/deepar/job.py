"""A training job of DeepAR, on one host or several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from algorithms.deepar import checks, scores
from algorithms.deepar.checks import LEAST_POINTS, Checks
from algorithms.deepar.fitting import Fitting, Plan, Share
from algorithms.deepar.frequency import Frequency
from algorithms.deepar.model import forecasts, save
from algorithms.deepar.network import Network, Settings
from algorithms.deepar.reading import read
from algorithms.deepar.series import Series, Wanted
from algorithms.deepar.windows import Windows
from algorithms.toolkit import deep, measured
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.peers import Peers, meet
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

_OFF = ("ignore", "")
_SEED = 0


def train(job: Job) -> None:
    """Learn from the `train` channel, and forecast the ends of the series of `test`."""
    with meet(job) as peers, deep.together(job, peers):
        _train(job, peers)


def _train(job: Job, peers: Peers) -> None:
    started = time.time()
    given = job.hyperparameters
    wanted = Wanted(given["cardinality"] not in _OFF, given["num_dynamic_feat"] not in _OFF)
    series = read(job.channels["train"], wanted)
    sharded = job.channels["train"].sharded and not peers.alone
    settings, found = _settings(given, series, peers, sharded=sharded)
    for one in series:
        found.training(one)
    tested = _tested(job, found)

    windows = Windows(series, settings, deep.device())
    points = sum(len(one.target) for one in series)
    share = Share(peers, windows.total, points, sharded=sharded)
    torch.manual_seed(_SEED)
    network = Network(settings).to(deep.device())
    log.info(
        "%d series and %d parameters; lags %s",
        len(series),
        sum(each.numel() for each in network.parameters()),
        list(settings.lags),
    )
    # Hosts begin alike, and drop out other cells.
    torch.manual_seed(_SEED + 1 + peers.rank)
    patience = given.get("early_stopping_patience")
    plan = Plan(
        epochs=int(given["epochs"]),
        mini_batch_size=int(given["mini_batch_size"]),
        learning_rate=float(given["learning_rate"]),
        early_stopping_patience=int(patience) if patience not in (None, "") else None,
    )
    loss = Fitting(network, windows, share, plan, peers, job.host).run()
    values = {"final_loss": loss}
    if "test" in job.channels:
        values |= _score(job, peers, network, settings, tested)
    measured.report("DeepAR", job.host, started, values)
    if peers.first:
        save(job.model_dir, network, settings, found)


def _settings(
    given: Any, series: Sequence[Series], peers: Peers, *, sharded: bool
) -> tuple[Settings, Checks]:
    """What the network is built from, as the hyperparameters and the data of all hosts say."""
    absolutes = np.concatenate([np.zeros(0), *(np.abs(one.target) for one in series)])
    known = absolutes[~np.isnan(absolutes)]
    count = checks.categories(series)
    flags = checks.seen(series, count or 0)
    own = {
        "categories": np.array(count or 0),
        "features": np.array(checks.dynamic_features(series) or 0),
        "points": np.array(len(known)),
        "sum": np.array(known.sum(dtype=np.float64)),
        **{f"seen{i}": each for i, each in enumerate(flags)},
    }
    parts = peers.gather(own) if sharded else [own]
    for name, title in (("categories", "cat"), ("features", "dynamic_feat")):
        if len({int(part[name]) for part in parts}) > 1:
            raise CustomerError(
                f"The series of some hosts have another number of {title} than those of others; "
                "all series must have as many"
            )
    points = sum(int(part["points"]) for part in parts)
    if points < LEAST_POINTS:
        raise CustomerError(
            f"The series of the train channel have {points} points together; at least "
            f"{LEAST_POINTS} are needed"
        )
    merged = checks.merged([[p[f"seen{i}"] for i in range(count or 0)] for p in parts])
    seen = checks.held_to(given["cardinality"], merged)
    features, stated = int(own["features"]), given["num_dynamic_feat"]
    if isinstance(stated, int) and stated != features:
        raise CustomerError(
            f"num_dynamic_feat is {stated}, but the series of the train channel have {features}"
        )
    frequency = Frequency.parse(given["time_freq"])
    likelihood = given["likelihood"]
    settings = Settings(
        time_freq=given["time_freq"],
        context_length=int(given["context_length"]),
        prediction_length=int(given["prediction_length"]),
        likelihood="student-T" if likelihood == "student-t" else likelihood,
        num_layers=int(given["num_layers"]),
        num_cells=int(given["num_cells"]),
        dropout_rate=float(given["dropout_rate"]),
        embedding_dimension=int(given["embedding_dimension"]),
        cardinality=tuple(len(each) for each in seen),
        num_dynamic_feat=features,
        lags=tuple(frequency.lags()),
        time_features=tuple(frequency.time_features()),
        default_scale=sum(float(part["sum"]) for part in parts) / points or 1.0,
    )
    return settings, Checks.of(settings, seen)


def _tested(job: Job, found: Checks) -> list[Series]:
    """The series of the test channel that are long enough to be scored."""
    if "test" not in job.channels:
        return []
    series = read(job.channels["test"], found.wanted)
    for one in series:
        found.training(one)
    least = found.prediction_length + 1
    long = [one for one in series if len(one.target) >= least]
    if len(long) < len(series):
        log.warning(
            "%d of %d series of the test channel have less than %d points and are not scored",
            len(series) - len(long),
            len(series),
            least,
        )
    return long


def _score(
    job: Job, peers: Peers, network: Network, settings: Settings, series: Sequence[Series]
) -> dict[str, float]:
    """Forecast the last points of each series from those before, and log how good that is."""
    quantiles = [float(one) for one in job.hyperparameters["test_quantiles"]]
    count = int(job.hyperparameters["num_eval_samples"])
    if not job.channels["test"].sharded:
        series = series[peers.rank :: len(peers.hosts)]
    torch.manual_seed(_SEED)
    length = settings.prediction_length
    own = scores.sums(np.zeros((0, length)), np.zeros((0, 1, length)), quantiles)
    shorter = [_before(one, length) for one in series]
    for one, paths in zip(series, forecasts(network, settings, shorter, count), strict=True):
        truth = one.target[None, -length:].astype(np.float64)
        part = scores.sums(truth, paths[None].astype(np.float64), quantiles)
        own = {name: own[name] + part[name] for name in own}
    total = peers.total(own)
    if not total["points"]:
        raise CustomerError(
            "The test channel has no known point to score: each series needs more points than "
            f"prediction_length, {length}"
        )
    values = scores.scores(total, quantiles)
    for name, value in values.items():
        log.info("#test_score (%s, %s): %s", job.host, name, value)
    for name in ("RMSE", "mean_wQuantileLoss"):
        log.info("#quality_metric: host=%s, test %s <loss>=%s", job.host, name, values[name])
    return {f"test {name}": value for name, value in values.items()}


def _before(series: Series, length: int) -> Series:
    """A series without its last points, of which the features stay known."""
    target = series.target[:-length]
    features = series.dynamic_feat
    if features is not None:
        features = features[:, : len(series.target)]
    return replace(series, target=target, dynamic_feat=features)
