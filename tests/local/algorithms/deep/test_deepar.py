"""DeepAR on the temperature of the sea and on sinusoids, through jobs and an endpoint."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.deepar import scores
from datasets import climate, sinusoids
from tests.local.algorithms.support import Data, Endpoint, completed, fit, served
from tests.platform import LocalPlatform

NAME = "deepar"
JSON, LINES = "application/json", "application/jsonlines"
QUANTILES = [0.1, 0.5, 0.9]
YEAR, YEARS = 12, 10
SEA = {
    "time_freq": "M",
    "context_length": 24,
    "prediction_length": YEAR,
    "epochs": 20,
    "mini_batch_size": 32,
}
DAY = sinusoids.PERIOD
WAVES = {
    "time_freq": "H",
    "context_length": 48,
    "prediction_length": DAY,
    "epochs": 7,
    "mini_batch_size": 16,
    "learning_rate": 0.005,
    "dropout_rate": 0.05,
    "test_quantiles": QUANTILES,
}


def lines(series: Sequence[Any], start: str) -> bytes:
    rows = [{"start": start, "target": one.tolist()} for one in series]
    return "\n".join(map(json.dumps, rows)).encode()


def sea() -> tuple[Any, list[Any]]:
    """Fifty years of months, and the series up to the end of each of ten more."""
    return climate.ends(climate.el_nino(), YEAR, YEARS)


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    learnt, tested = sea()
    start = climate.el_nino().start
    channels = {
        "train": Data({"sea.json": lines([learnt], start)}),
        "test": Data({"sea.json": lines(tested, start)}, "json"),
    }
    return fit(platform, NAME, channels, {**SEA, "test_quantiles": QUANTILES})


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def weighted_loss(truth: Any, paths: Any) -> float:
    parts = scores.sums(truth, paths.astype(np.float64), QUANTILES)
    return scores.scores(parts, QUANTILES)["mean_wQuantileLoss"]


def test_the_sea_is_forecast_better_than_by_its_season_and_as_well_as_by_gluonts(
    job: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    learnt, tested = sea()
    truth = np.array([one[-YEAR:] for one in tested])
    seasonal = np.array([one[-2 * YEAR : -YEAR] for one in tested])
    own = completed(job)["test:mean_wQuantileLoss"]
    assert own < 0.8 * weighted_loss(truth, seasonal[:, None])
    assert own <= 1.05 * weighted_loss(
        truth, reference(learnt, [one[:-YEAR] for one in tested], tmp_path)
    )
    start = climate.el_nino().start
    body = {
        "instances": [{"start": start, "target": one[:-YEAR].tolist()} for one in tested],
        "configuration": {"num_samples": 200, "quantiles": ["0.1", "0.9"]},
    }
    predictions = json.loads(endpoint.ask(json.dumps(body), JSON))["predictions"]
    low, high = (np.array([one["quantiles"][q] for one in predictions]) for q in ("0.1", "0.9"))
    assert 0.7 <= ((low <= truth) & (truth <= high)).mean() <= 0.9
    means = np.array([one["mean"] for one in predictions])
    rmse = np.sqrt(((means - truth) ** 2).mean())
    assert completed(job)["test:RMSE"] == pytest.approx(rmse, rel=0.05)


def reference(learnt: Any, pasts: Sequence[Any], folder: Path) -> Any:
    """The paths that GluonTS's own estimator draws after the same training."""
    from gluonts.dataset.common import ListDataset
    from gluonts.torch import DeepAREstimator

    def data(series: Sequence[Any]) -> Any:
        start = climate.el_nino().start
        return ListDataset([{"start": start, "target": one} for one in series], freq="M")

    torch.manual_seed(0)
    np.random.seed(0)
    estimator = DeepAREstimator(
        freq="ME",
        context_length=SEA["context_length"],
        prediction_length=YEAR,
        batch_size=SEA["mini_batch_size"],
        num_batches_per_epoch=10,
        trainer_kwargs={
            "max_epochs": SEA["epochs"],
            "accelerator": "cpu",
            "logger": False,
            "default_root_dir": folder,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
    )
    predictor = estimator.train(data([learnt]))
    return np.stack([one.samples for one in predictor.predict(data(pasts), num_samples=100)])


def test_two_hosts_forecast_sinusoids_better_than_by_their_season(platform: LocalPlatform) -> None:
    series = sinusoids.noisy_sinusoids(80, 240)
    start = sinusoids.START.isoformat(" ")
    halves = np.array_split(series[:, :-DAY], 2)
    channels = {
        "train": Data(
            {f"{i}.json": lines(list(half), start) for i, half in enumerate(halves)},
            "json",
            distribution="ShardedByS3Key",
        ),
        "test": Data({"all.json": lines(list(series), start)}, "json"),
    }
    found = completed(fit(platform, NAME, channels, WAVES, hosts=2))
    truth, seasonal = series[:, -DAY:], series[:, -2 * DAY : -DAY]
    assert found["test:mean_wQuantileLoss"] < 0.85 * weighted_loss(truth, seasonal[:, None])
    assert found["train:final_loss"] <= found["train:loss"]


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    one = {"start": "1990-01-01 00:00:00", "target": [20.0, "NaN", 22.5, None, 24.0]}
    configuration = {
        "num_samples": 20,
        "output_types": ["mean", "quantiles", "samples"],
        "quantiles": ["0.5", "0.9"],
    }
    body = json.dumps({"instances": [one], "configuration": configuration})
    (answer,) = json.loads(endpoint.ask(body, JSON, JSON))["predictions"]
    assert sorted(answer) == ["mean", "quantiles", "samples"]
    assert np.array(answer["samples"]).shape == (20, YEAR)
    assert list(answer["quantiles"]) == ["0.5", "0.9"]
    plain = json.loads(endpoint.ask(json.dumps({"instances": [one, one]}), JSON))["predictions"]
    both = "\n".join([json.dumps(one)] * 2)
    for accept in (LINES, None):
        rows = endpoint.ask(both, LINES, accept).splitlines()
        assert [json.loads(row) for row in rows] == plain
    assert list(plain[0]["quantiles"]) == [f"0.{i}" for i in range(1, 10)]
    assert endpoint.refused('{"instances":[{"target":[1]}]}', JSON) == (
        "400 Unable to evaluate payload provided: instances[0]: 'start' is missing"
    )
    assert endpoint.refused("1,2", "text/csv").startswith("415 ")


def test_a_corrupt_series_fails_the_job_with_its_place(platform: LocalPlatform) -> None:
    good = lines([sea()[0]], climate.el_nino().start)
    bad = good + b'\n{"start": "1950-01-01 00:00:00", "target": [1, "x"]}\n'
    corrupt = fit(platform, NAME, {"train": Data({"a.json": bad})}, SEA)
    assert corrupt["FailureReason"].startswith(
        "ClientError: train/a.json, line 2, target[1]: 'x' is not a number"
    )
