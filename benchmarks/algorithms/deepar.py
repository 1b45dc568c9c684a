"""DeepAR beside GluonTS's own estimator on the same series: how well they forecast, how fast.

Both take as many steps of as many windows. Times are processor time of both in turns, so that what
else the machine does weighs little; GluonTS's is that of `train` alone, and ours of a whole job.
"""

import json
import logging
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch

from algorithms.deepar import job, scores
from algorithms.deepar.fitting import epoch_windows
from algorithms.deepar.model import load
from algorithms.toolkit.invocations import invoke
from benchmarks.algorithms._processes import run
from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure
from datasets import climate, sinusoids

_QUANTILES = [number / 10 for number in range(1, 10)]
_RUNS = 5
# What is learnt depends on chance, from a single series by more than a half: medians are compared.
_SEEDS, _SEEDS_OF_ONE = range(3), range(9)
# GluonTS spells frequencies of steps and of periods as pandas does.
_STEPS = {"H": "h", "M": "ME", "W": "W"}
_PERIODS = {"H": "h", "M": "M", "W": "W"}

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Series to learn from, the same ones on to later ends, and how to learn."""

    name: str
    start: str
    learnt: Sequence[Numbers]
    tested: Sequence[Numbers]
    season: int
    settings: dict[str, Any]

    @property
    def length(self) -> int:
        """Points to forecast."""
        return int(self.settings["prediction_length"])

    @property
    def pasts(self) -> list[Numbers]:
        """What is known of the series to be forecast."""
        return [one[: -self.length] for one in self.tested]

    @property
    def truth(self) -> Numbers:
        """What is to be forecast."""
        return np.array([one[-self.length :] for one in self.tested])

    def seasonal(self) -> Numbers:
        """What was a season before: series x one path x points."""
        last = np.array([one[-self.season :] for one in self.pasts])
        turns = -(-self.length // self.season)
        return np.tile(last, turns)[:, None, : self.length]


def _rows(case: Case, series: Sequence[Numbers]) -> list[dict[str, Any]]:
    return [
        {"start": case.start, "target": [None if np.isnan(v) else float(v) for v in one]}
        for one in series
    ]


def _lines(case: Case, series: Sequence[Numbers]) -> bytes:
    return "\n".join(map(json.dumps, _rows(case, series))).encode()


def cases() -> list[Case]:
    """AWS's sample of sinusoids, and both series of the climate."""
    waves = sinusoids.noisy_sinusoids()
    hourly = {
        "time_freq": "H",
        "context_length": 72,
        "prediction_length": 48,
        "num_cells": 40,
        "num_layers": 2,
        "likelihood": "gaussian",
        "epochs": 20,
        "mini_batch_size": 32,
        "dropout_rate": 0.05,
    }
    found = [
        Case(
            "200 sinusoids",
            sinusoids.START.isoformat(" "),
            list(waves[:, :-48]),
            list(waves),
            sinusoids.PERIOD,
            hourly,
        )
    ]
    for name, series, freq, context, length, epochs in (
        ("El Nino", climate.el_nino(), "M", 24, 12, 20),
        ("CO2", climate.co2(), "W", 52, 26, 60),
    ):
        learnt, tested = climate.ends(series, length, 10)
        settings = {
            "time_freq": freq,
            "context_length": context,
            "prediction_length": length,
            "epochs": epochs,
            "mini_batch_size": 32,
        }
        found.append(Case(name, series.start, [learnt], tested, series.season, settings))
    return found


def measure() -> list[Figure]:
    """Losses and coverage on each case, then time over GluonTS's, then what starting takes."""
    every = cases()
    figures = [figure for case in every for figure in _quality(case)]
    return [*figures, _time(every[0]), *_starting()]


def _quality(case: Case) -> list[Figure]:
    seeds = _SEEDS_OF_ONE if len(case.learnt) == 1 else _SEEDS
    own = [_own(case, seed)[0] for seed in seeds]
    other = [_other(case, seed)[0] for seed in seeds]
    missing = np.isnan(case.truth) | np.isnan(case.seasonal()[:, 0])
    truth = np.where(missing, np.nan, case.truth)
    losses = [[1000 * _loss(truth, paths) for paths in each] for each in (own, other)]
    covered = [[100 * _covered(case.truth, paths) for paths in each] for each in (own, other)]
    seasonal = 1000 * _loss(truth, np.nan_to_num(case.seasonal()))
    low, high = min(losses[1]), max(losses[1])
    beside = (
        f"GluonTS {median(losses[1]):.2f} ({low:.2f} to {high:.2f}), seasonal naive {seasonal:.2f}"
    )
    also = f"GluonTS {median(covered[1]):.1f}"
    return [
        Figure(f"{case.name}: 1000 x mean_wQuantileLoss", "", losses[0], beside),
        Figure(f"{case.name}: 80 % interval covers", "%", covered[0], also),
    ]


def _loss(truth: Numbers, paths: Numbers) -> float:
    parts = scores.sums(truth, np.asarray(paths, dtype=np.float64), _QUANTILES)
    return scores.scores(parts, _QUANTILES)["mean_wQuantileLoss"]


def _covered(truth: Numbers, paths: Numbers) -> float:
    low, high = np.quantile(paths, [0.1, 0.9], axis=1)
    known = ~np.isnan(truth)
    return float(((low <= truth) & (truth <= high))[known].mean())


def _own(case: Case, seed: int = 0) -> tuple[Numbers, float]:
    """The paths that a trained model answers, and the processor time of its job."""
    train = {"train": ("json", {"a.json": _lines(case, case.learnt)})}
    with patch.object(job, "_SEED", seed), trained("deepar", train, case.settings) as found:
        model = load(found.model)
        configuration = {"num_samples": 100, "output_types": ["samples"]}
        body = json.dumps(
            {"instances": _rows(case, case.pasts), "configuration": configuration}
        ).encode()
        _, _, answer = invoke(model, body, "application/json", None, batch=False)
    predictions = json.loads(answer)["predictions"]
    return np.array([one["samples"] for one in predictions]), found.seconds


def _other(case: Case, seed: int = 0, *, forecast: bool = True) -> tuple[Numbers, float]:
    """The paths that GluonTS's own predictor draws, and the processor time of its training."""
    warnings.filterwarnings("ignore")
    from gluonts.dataset.common import ListDataset
    from gluonts.torch import DeepAREstimator
    from gluonts.torch.distributions import NormalOutput, StudentTOutput

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    settings = case.settings
    freq = settings["time_freq"]
    learnt, pasts = (
        ListDataset([{"start": case.start, "target": one} for one in series], freq=_PERIODS[freq])
        for series in (case.learnt, case.pasts)
    )

    size = settings["mini_batch_size"]
    points = sum(map(len, case.learnt))
    gaussian = settings.get("likelihood") == "gaussian"
    torch.manual_seed(seed)
    np.random.seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        estimator = DeepAREstimator(
            freq=_STEPS[freq],
            context_length=settings["context_length"],
            prediction_length=case.length,
            num_layers=settings.get("num_layers", 2),
            dropout_rate=settings.get("dropout_rate", 0.1),
            distr_output=NormalOutput() if gaussian else StudentTOutput(),
            batch_size=size,
            num_batches_per_epoch=-(-epoch_windows(points, case.length, size) // size),
            trainer_kwargs={
                "max_epochs": settings["epochs"],
                "accelerator": "cpu",
                "logger": False,
                "default_root_dir": folder,
                "enable_progress_bar": False,
                "enable_model_summary": False,
            },
        )
        began = time.process_time()
        predictor = estimator.train(learnt)
        seconds = time.process_time() - began
    if not forecast:
        return np.empty(0), seconds
    found = predictor.predict(pasts, num_samples=100)
    return np.stack([one.samples for one in found]), seconds


def _time(case: Case) -> Figure:
    short = Case(
        case.name,
        case.start,
        case.learnt,
        case.tested[:1],
        case.season,
        {**case.settings, "epochs": 2},
    )
    ratios = []
    for _ in range(_RUNS):
        reference = _other(short, forecast=False)[1]
        ratios.append(_own(short)[1] / reference)
    return Figure(f"{case.name}: time over GluonTS's", "x", ratios, f"goal 1.05; {reference:.1f} s")


def _starting() -> list[Figure]:
    told = "import time; {}; print(time.process_time())"
    programs = {"ours": "import algorithms.deepar", "GluonTS's": "import gluonts.torch"}
    return [
        Figure(
            f"processor time of starting, {name}",
            "s",
            [
                float(run("-W", "ignore", "-c", told.format(line)).output.split()[-1])
                for _ in range(_RUNS)
            ],
        )
        for name, line in programs.items()
    ]
