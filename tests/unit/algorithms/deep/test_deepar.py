"""DeepAR from its channels to its answers."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms.catalog import algorithm
from algorithms.deepar import load
from algorithms.toolkit import deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.invocations import Refusal, invoke
from tests.unit.algorithms.conftest import JobFolder

NAME = "deepar"
NewJob = Callable[[str], JobFolder]
START = "2020-01-01 00:00:00"
LENGTH = 4
SETTINGS = {
    "time_freq": "D",
    "context_length": 6,
    "prediction_length": LENGTH,
    "epochs": 1,
    "num_cells": 8,
    "num_layers": 1,
    "mini_batch_size": 8,
}
JSON, LINES = "application/json", "application/jsonlines"


def wave(level: float, length: int = 60, seed: int = 0) -> Any:
    """A week that comes again, with noise."""
    noise = np.random.default_rng(seed).normal(size=length)
    return level * (1 + 0.5 * np.sin(np.arange(length) * 2 * np.pi / 7) + 0.05 * noise)


def rows(count: int = 6, length: int = 60, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"start": START, "target": wave(1 + i, length, seed=i).round(4).tolist(), **fields}
        for i in range(count)
    ]


def lines(*series: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in series)


def trained(job: JobFolder, train: Any = None, test: Any = None, **settings: Any) -> JobFolder:
    job.channel("train", None, {"a.json": lines(*(train or rows()))})
    if test:
        job.channel("test", "json", {"a.json": lines(*test)})
    assert job.train(**{**SETTINGS, **settings}) == 0, job.failure
    return job


def failed(job: JobFolder, train: Any = None, test: Any = None, **settings: Any) -> str:
    job.channel("train", None, {"a.json": lines(*(train or rows()))})
    if test:
        job.channel("test", "json", {"a.json": lines(*test)})
    assert job.train(**{**SETTINGS, **settings}) == 1
    return job.failure


def metric(job: JobFolder, name: str) -> list[float]:
    """What the catalogue's regex finds in the log."""
    (one,) = [each for each in algorithm(NAME).metrics if each.name == name]
    return [float(value) for value in re.findall(one.regex, job.log)]


def ask(job: JobFolder, body: Any, content_type: str = JSON, accept: str | None = None) -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    _, kind, answer = invoke(load(job.model), text, content_type, accept, batch=False)
    return json.loads(answer) if kind == JSON else [json.loads(x) for x in answer.splitlines()]


def refusal(job: JobFolder, body: Any, content_type: str = JSON, accept: str | None = None) -> str:
    with pytest.raises(Refusal) as refused:
        ask(job, body, content_type, accept)
    return f"{refused.value.status} {refused.value}"


def tensors(job: JobFolder) -> dict[str, Any]:
    (path,) = job.model.iterdir()
    found: dict[str, Any] = deep.load(path, "sagemaker-platform/deepar", 1, "DeepAR")[0]
    return found


def stored(job: JobFolder) -> dict[str, Any]:
    (path,) = job.model.iterdir()
    return deep.load(path, "sagemaker-platform/deepar", 1, "DeepAR")[1]


def same(one: JobFolder, other: JobFolder) -> bool:
    first, second = tensors(one), tensors(other)
    return first.keys() == second.keys() and all(
        first[name].shape == second[name].shape and bool((first[name] == second[name]).all())
        for name in first
    )


def test_the_log_tells_what_the_catalogue_looks_for(new_job: NewJob) -> None:
    job = trained(new_job(NAME), test=rows(), epochs=3, test_quantiles="[0.25, 0.5]")
    losses = metric(job, "train:loss")
    assert len(losses) == 3
    assert metric(job, "train:final_loss") == [min(losses)]
    assert metric(job, "train:progress") == [pytest.approx(100 / 3, abs=0.01), 66.6667, 100]
    assert len(metric(job, "train:throughput")) == 3
    assert len(metric(job, "train:loss:batch")) == 9
    (mean,) = metric(job, "test:mean_wQuantileLoss")
    told = dict(re.findall(r"#test_score \(algo-1, (.+)\): (\S+)", job.log))
    assert list(told) == [
        "RMSE",
        "mean_absolute_QuantileLoss",
        "mean_wQuantileLoss",
        "wQuantileLoss[0.25]",
        "wQuantileLoss[0.5]",
    ]
    each = [float(told["wQuantileLoss[0.25]"]), float(told["wQuantileLoss[0.5]"])]
    assert mean == pytest.approx(np.mean(each))
    assert metric(job, "test:RMSE") == [float(told["RMSE"])]


def test_a_season_is_learnt_and_forecast(new_job: NewJob) -> None:
    data = rows(12, 90)
    past = [{**one, "target": one["target"][:-LENGTH]} for one in data]
    job = trained(
        new_job(NAME), past, data, epochs=8, learning_rate=0.01, num_cells=16, context_length=10
    )
    truth = np.array([one["target"][-LENGTH:] for one in data])
    predictions = ask(job, {"instances": past})["predictions"]
    found = np.array([one["quantiles"]["0.5"] for one in predictions])
    before = np.array([one["target"][-7:][:LENGTH] for one in past])
    assert np.abs(found - truth).sum() < np.abs(before - truth).sum()
    assert metric(job, "test:mean_wQuantileLoss")[0] < 0.05


def test_the_same_job_gives_the_same_model_and_the_same_answer(new_job: NewJob) -> None:
    jobs = [trained(new_job(NAME), test=rows(2), dropout_rate=0.3) for _ in range(2)]
    assert same(*jobs)
    assert metric(jobs[0], "test:RMSE") == metric(jobs[1], "test:RMSE")
    body = {"instances": rows(2)}
    assert ask(jobs[0], body) == ask(jobs[0], body)


SHAPES = {
    "context_length": (9, "context_length"),
    "num_cells": (5, "num_cells"),
    "num_layers": (2, "num_layers"),
    "time_freq": ("2D", "time_freq"),
    "prediction_length": (3, "prediction_length"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_that_of_the_model(new_job: NewJob, name: str) -> None:
    value, key = SHAPES[name]
    job = trained(new_job(NAME), **{name: value})
    assert stored(job)[key] == value
    length = value if name == "prediction_length" else LENGTH
    assert len(ask(job, {"instances": rows(1)})["predictions"][0]["mean"]) == length


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 0.01}, {"dropout_rate": 0.0}, {"mini_batch_size": 16}],
    ids=str,
)
def test_how_it_is_trained_makes_another_model(new_job: NewJob, change: dict[str, Any]) -> None:
    assert not same(trained(new_job(NAME)), trained(new_job(NAME), **change))


def test_smaller_batches_make_more_steps_of_a_pass(new_job: NewJob) -> None:
    steps = [trained(new_job(NAME), mini_batch_size=size).log.count("batch=") for size in (2, 8)]
    # 360 points are 90 times 4 to forecast: 45 batches of 2 or 12 of 8, each fifth of them told.
    assert steps == [9, 3]


def test_training_ends_early_when_nothing_improves(new_job: NewJob) -> None:
    settings = {"epochs": 30, "learning_rate": 1e-12, "dropout_rate": 0}
    job = trained(new_job(NAME), early_stopping_patience=2, **settings)
    losses = metric(job, "train:loss")
    assert len(losses) == losses.index(min(losses)) + 3 < 30
    assert metric(job, "train:final_loss") == [min(losses)]
    assert "Early stop condition met" in job.log
    unset = trained(new_job(NAME), early_stopping_patience="", **{**settings, "epochs": 8})
    assert len(metric(unset, "train:loss")) == 8


@pytest.mark.parametrize(
    "likelihood",
    ["gaussian", "beta", "negative-binomial", "student-T", "student-t", "deterministic-L1"],
)
def test_each_likelihood_forecasts_what_it_allows(new_job: NewJob, likelihood: str) -> None:
    data = rows(8)
    for one in data:
        target = np.array(one["target"])
        if likelihood == "negative-binomial":
            target = target.round()
        if likelihood == "beta":
            target = target / 20
        one["target"] = target.tolist()
    job = trained(new_job(NAME), data, data, likelihood=likelihood, num_eval_samples=7)
    configuration = {"output_types": ["samples", "mean"], "num_samples": 30}
    answer = ask(job, {"instances": data[:1], "configuration": configuration})
    samples = np.array(answer["predictions"][0]["samples"])
    assert samples.shape == (30, LENGTH)
    if likelihood == "negative-binomial":
        assert ((samples >= 0) & (samples == samples.round())).all()
    if likelihood == "beta":
        assert ((samples >= 0) & (samples <= 1)).all()
    assert (len(np.unique(samples, axis=0)) == 1) == (likelihood == "deterministic-L1")
    np.testing.assert_allclose(answer["predictions"][0]["mean"], samples.mean(axis=0), rtol=1e-5)


def test_more_evaluation_samples_change_the_scores(new_job: NewJob) -> None:
    one, other = (
        metric(trained(new_job(NAME), test=rows(), num_eval_samples=count), "test:RMSE")
        for count in (1, 100)
    )
    assert one > other


def test_a_feature_that_changes_with_time_is_followed(new_job: NewJob) -> None:
    random = np.random.default_rng(0)
    data = []
    for _ in range(10):
        feature = random.integers(0, 2, 60)
        target = (1 + 4 * feature + 0.05 * random.normal(size=60)).tolist()
        data.append({"start": START, "target": target, "dynamic_feat": [feature.tolist()]})
    job = trained(
        new_job(NAME), data, epochs=10, learning_rate=0.02, num_cells=16, num_dynamic_feat=1
    )
    body = {"start": START, "target": data[0]["target"]}
    asked = [
        {**body, "dynamic_feat": [data[0]["dynamic_feat"][0] + end]}
        for end in ([0, 1, 0, 1], [1, 0, 1, 1])
    ]
    low, high = (one["mean"] for one in ask(job, {"instances": asked})["predictions"])
    assert [value > 3 for value in low] == [False, True, False, True]
    assert [value > 3 for value in high] == [True, False, True, True]


def test_a_category_tells_series_apart(new_job: NewJob) -> None:
    # Each begins alike, and its category alone says where it goes.
    data = [
        {"start": START, "target": [1.0] * 8 + [1.0 + 4 * (i % 2)] * LENGTH, "cat": [i % 2, 0]}
        for i in range(30)
    ]
    job = trained(
        new_job(NAME),
        data,
        epochs=25,
        learning_rate=0.02,
        num_cells=16,
        embedding_dimension=3,
        likelihood="gaussian",
        cardinality="[2, 1]",
    )
    assert [stored(job)[name] for name in ("cardinality", "embedding_dimension")] == [[2, 1], 3]
    asked = [{"start": START, "target": [1.0] * 8, "cat": [i, 0]} for i in range(2)]
    low, high = (one["mean"] for one in ask(job, {"instances": asked})["predictions"])
    assert np.mean(low) < 2 < np.mean(high)


def test_a_season_longer_than_the_context_is_seen_by_its_lag(new_job: NewJob) -> None:
    # Months that come again after a year, each series in a way of its own.
    random = np.random.default_rng(0)
    years = 1 + random.random((20, 12))
    data = [{"start": START, "target": [*np.tile(year, 5)]} for year in years]
    job = trained(
        new_job(NAME),
        data,
        data,
        time_freq="M",
        context_length=3,
        epochs=9,
        learning_rate=0.02,
        num_cells=16,
        likelihood="deterministic-L1",
    )
    assert 12 in stored(job)["lags"]
    # Who sees three months only cannot tell the next ones better than by their mean.
    assert metric(job, "test:RMSE")[0] < 0.4 * years.std()


@pytest.mark.parametrize("word", ["ignore", ""])
def test_what_is_ignored_is_needed_neither_in_training_nor_in_requests(
    new_job: NewJob, word: str
) -> None:
    plain = trained(new_job(NAME), rows(), cardinality=word, num_dynamic_feat=word)
    data = rows(cat=["no category"], dynamic_feat="none")
    job = trained(new_job(NAME), data, cardinality=word, num_dynamic_feat=word)
    assert same(plain, job)
    assert ask(job, {"instances": data[:1]}) == ask(plain, {"instances": rows(1)})


def test_missing_values_are_left_out(new_job: NewJob) -> None:
    data = rows()
    gaps = [{**one, "target": list(one["target"])} for one in data]
    for one in gaps:
        one["target"][5:20:3] = [None] * 5
        one["target"][30] = "NaN"
        one["target"][-1] = None
    job = trained(new_job(NAME), gaps, gaps)
    wild = [{**one, "target": list(one["target"])} for one in gaps]
    assert np.isfinite(metric(job, "test:RMSE")[0])
    answer = ask(job, {"instances": wild[:1]})["predictions"][0]["mean"]
    assert np.isfinite(answer).all()
    nothing = {"start": START, "target": ["NaN"] * 9}
    empty = {"start": START, "target": []}
    for one in ask(job, {"instances": [nothing, empty]})["predictions"]:
        assert np.isfinite(one["mean"]).all()


def test_series_too_short_to_be_scored_are_told(new_job: NewJob) -> None:
    short = {"start": START, "target": [1.0] * LENGTH}
    job = trained(new_job(NAME), [*rows(), short], [*rows(2), short])
    assert "1 of 3 series of the test channel have less than 5 points" in job.log
    assert "no known point to score" in failed(new_job(NAME), test=[short])


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "time_freq": ({"time_freq": "0D"}, "time_freq is '0D'; it must be a whole number from 1"),
    "unknown": ({"num_cell": 3}, "num_cell"),
    "likelihood": ({"likelihood": "poisson"}, "likelihood"),
    "cardinality": ({"cardinality": "[2]"}, "cardinality is [2], but the categories of the"),
    "features": ({"num_dynamic_feat": 2}, "num_dynamic_feat is 2, but the series of the train"),
    "diverging": (
        {"learning_rate": 1e30, "epochs": 3, "likelihood": "gaussian"},
        "a smaller learning_rate than 1e+30 may help",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_the_owners_to_mend(new_job: NewJob, case: str) -> None:
    settings, told = WRONG[case]
    failure = failed(new_job(NAME), **settings)
    assert failure.startswith("ClientError: ")
    assert told in failure


CORRUPT: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"target": []}, "train/a.json, line 7: target is empty"),
    "no cat": (
        {"cat": None},
        "train/a.json, line 7: cat has 0 entries, and train/a.json, line 1 1; all series must have "
        "as many",
    ),
    "length": (
        {"dynamic_feat": [[1.0] * 59]},
        "train/a.json, line 7: dynamic_feat has 59 values for a target of 60; it must have 60 or "
        "64, with a prediction_length of 4",
    ),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_wrong_series_is_told_by_its_line(new_job: NewJob, case: str) -> None:
    fields, told = CORRUPT[case]
    good = rows(7, cat=[0], dynamic_feat=[[1.0] * 60])
    good[6] |= fields
    assert failed(new_job(NAME), good) == f"ClientError: {told}"


def test_too_few_points_are_refused(new_job: NewJob) -> None:
    failure = failed(new_job(NAME), rows(5, 59))
    assert "have 295 points together; at least 300 are needed" in failure


def test_the_test_channel_is_held_to_the_categories_of_train(new_job: NewJob) -> None:
    failure = failed(new_job(NAME), rows(cat=[0]), rows(1, cat=[1]))
    assert failure == (
        "ClientError: test/a.json, line 1, cat[0]: 1 is not among the categories of the training "
        "data"
    )


@pytest.fixture
def model(new_job: NewJob) -> JobFolder:
    """One that was trained with two categories and a feature."""
    return trained(new_job(NAME), full(6))


def full(count: int, extra: int = 0) -> list[dict[str, Any]]:
    data = rows(count, dynamic_feat=[[0.5] * (60 + extra)])
    return [{**one, "cat": [i % 2, 0]} for i, one in enumerate(data)]


def test_requests_are_answered_as_they_ask(model: JobFolder) -> None:
    asked = full(2, LENGTH)
    configuration = {
        "num_samples": 50,
        "output_types": ["mean", "quantiles", "samples"],
        "quantiles": ["0.5", "0.9"],
    }
    answer = ask(model, {"instances": asked, "configuration": configuration})
    assert list(answer) == ["predictions"]
    for one in answer["predictions"]:
        assert sorted(one) == ["mean", "quantiles", "samples"]
        assert list(one["quantiles"]) == ["0.5", "0.9"]
        samples = np.array(one["samples"])
        assert samples.shape == (50, LENGTH)
        np.testing.assert_allclose(one["mean"], samples.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(
            one["quantiles"]["0.9"], np.quantile(samples, 0.9, axis=0), rtol=1e-5
        )
    (default,) = ask(model, {"instances": asked[:1]})["predictions"]
    assert sorted(default) == ["mean", "quantiles"]
    assert list(default["quantiles"]) == [f"0.{i}" for i in range(1, 10)]
    numbers = {"instances": asked[:1], "configuration": {"quantiles": [0.25], "num_samples": 5}}
    assert list(ask(model, numbers)["predictions"][0]["quantiles"]) == ["0.25"]
    assert ask(model, {"instances": []}) == {"predictions": []}


def test_lines_are_answered_with_lines(model: JobFolder) -> None:
    asked = full(2, LENGTH)
    expected = ask(model, {"instances": asked})["predictions"]
    assert ask(model, lines(*asked), LINES) == expected
    assert ask(model, lines(*asked), LINES, LINES) == expected
    assert ask(model, lines(*asked), LINES, JSON) == {"predictions": expected}
    assert ask(model, {"instances": asked}, JSON, LINES) == expected


def test_the_environment_configures_batch_transform(
    model: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"num_samples": 5, "output_types": ["quantiles"], "quantiles": ["0.3"]}
    monkeypatch.setenv("DEEPAR_INFERENCE_CONFIG", json.dumps(wanted))
    (answer,) = ask(model, lines(*full(1, LENGTH)), LINES)
    assert list(answer) == ["quantiles"]
    assert list(answer["quantiles"]) == ["0.3"]
    monkeypatch.setenv("DEEPAR_INFERENCE_CONFIG", '{"num_samples": 0}')
    with pytest.raises(ValueError, match="DEEPAR_INFERENCE_CONFIG: num_samples is 0"):
        load(model.model)


ONE = full(1, LENGTH)[0]
REFUSED: dict[str, tuple[Any, str]] = {
    "no json": (b"{", "body: Error when parsing json"),
    "no instances": ({"instance": []}, 'body: must be a JSON object with an array "instances"'),
    "a number": ({"instances": [1]}, "instances[0]: must be a JSON object with start and target"),
    "no start": ({"instances": [ONE | {"start": None}]}, "instances[0]: 'start' is missing"),
    "no cat": (
        {"instances": [ONE, ONE | {"cat": None}]},
        "instances[1]: 'cat' is missing; the model takes 2 of them",
    ),
    "one cat": ({"instances": [ONE | {"cat": [0]}]}, "cat has 1 values, the model takes 2"),
    "new cat": (
        {"instances": [ONE | {"cat": [0, 1]}]},
        "instances[0], cat[1]: 1 is not among the categories of the training data",
    ),
    "no feature": (
        {"instances": [ONE | {"dynamic_feat": None}]},
        "instances[0]: 'dynamic_feat' is missing; the model takes 1 of them",
    ),
    "two features": (
        {"instances": [ONE | {"dynamic_feat": [[0] * 64] * 2}]},
        "instances[0]: dynamic_feat has 2 arrays, the model takes 1",
    ),
    "no future": (
        {"instances": [ONE | {"dynamic_feat": [[0] * 60]}]},
        "instances[0]: dynamic_feat has 60 values for a target of 60; it must have 64, with a "
        "prediction_length of 4",
    ),
    "samples": (
        {"instances": [ONE], "configuration": {"num_samples": 20000}},
        "configuration: num_samples is 20000; a whole number from 1 to 10000 is allowed",
    ),
    "types": (
        {"instances": [ONE], "configuration": {"output_types": ["median"]}},
        "configuration: output_types is ['median']; one or more of mean, quantiles, samples",
    ),
    "quantiles": (
        {"instances": [ONE], "configuration": {"quantiles": ["1.5"]}},
        "configuration: quantiles holds '1.5'; numbers above 0 and below 1 are allowed",
    ),
    "name": (
        {"instances": [ONE], "configuration": {"quantile": ["0.5"]}},
        "configuration: 'quantile' is unknown; num_samples, output_types, quantiles are known",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_request_gets_a_sentence(model: JobFolder, case: str) -> None:
    body, told = REFUSED[case]
    assert refusal(model, body).startswith("400 Unable to evaluate payload provided: ")
    assert told in refusal(model, body)


def test_other_forms_are_refused(model: JobFolder) -> None:
    assert refusal(model, b"1,2", "text/csv").startswith("415 ")
    assert refusal(model, {"instances": []}, JSON, "text/csv").startswith("406 ")
    told = refusal(model, lines(ONE) + b"{}", LINES)
    assert told == "400 Unable to evaluate payload provided: line 2: 'start' is missing"


def test_another_artifact_is_refused(model: JobFolder, tmp_path: Path) -> None:
    with pytest.raises(CustomerError, match=r"has no file deepar-model.safetensors"):
        load(tmp_path)
    (path,) = model.model.iterdir()
    values = stored(model)
    parts = tensors(model)
    for kind, version, changed, told in (
        ("sagemaker-platform/ntm", 1, values, "holds sagemaker-platform/ntm"),
        ("sagemaker-platform/deepar", 9, values, "format version 9"),
        ("sagemaker-platform/deepar", 1, values | {"num_cells": 9}, "does not fit its settings"),
        ("sagemaker-platform/deepar", 1, {"time_freq": "D"}, "does not fit its settings"),
    ):
        deep.save(path, kind, version, parts, changed)
        with pytest.raises(CustomerError, match=told):
            load(model.model)


HOST = """
import sys
from algorithms.toolkit import training
sys.exit(training.run("deepar"))
"""


def together(jobs: list[JobFolder], parts: list[Any]) -> list[str]:
    """Train on two hosts, each with its own series; gives their logs."""
    addresses = {"algo-1": "127.0.0.51", "algo-2": "127.0.0.52"}
    try:
        socket.create_server((addresses["algo-1"], 0)).close()
    except OSError:
        pytest.skip("this machine has one loopback address only")
    processes = []
    for host, job, part in zip(addresses, jobs, parts, strict=True):
        job.channel("train", None, {"a.json": lines(*part)})
        job.channel("test", None, {"a.json": lines(*rows())})
        config = job.base / "input" / "config"
        inputs = json.loads((config / "inputdataconfig.json").read_text())
        inputs["train"]["S3DistributionType"] = "ShardedByS3Key"
        settings = {**SETTINGS, "epochs": 2, "dropout_rate": 0}
        texts = {name: str(value) for name, value in settings.items()}
        for name, value in {
            "inputdataconfig": inputs,
            "resourceconfig": {"current_host": host, "hosts": list(addresses)},
            "hyperparameters": texts,
        }.items():
            (config / f"{name}.json").write_text(json.dumps(value))
        environment = {
            **os.environ,
            "SAGEMAKER_BASE_DIR": str(job.base),
            "SAGEMAKER_HOST_ADDRESSES": json.dumps(addresses),
            "OMP_NUM_THREADS": "1",
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", HOST], env=environment, stdout=subprocess.PIPE, text=True
            )
        )
    logs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], logs
    return logs


def test_two_hosts_with_series_of_their_own_train_as_one_with_all(new_job: NewJob) -> None:
    # A longer series on one host, so that shares are not alike.
    data = [*rows(5), *rows(1, 120)]
    alone = trained(new_job(NAME), data, rows(), epochs=2, dropout_rate=0)
    jobs = [new_job(NAME), new_job(NAME)]
    for job, text in zip(jobs, together(jobs, [data[:3], data[3:]]), strict=True):
        job.log = text
        # Sums in another order are all that differs.
        for name in ("train:loss", "train:final_loss"):
            assert metric(job, name) == pytest.approx(metric(alone, name), rel=1e-4)
        assert metric(job, "test:RMSE") == pytest.approx(metric(alone, "test:RMSE"), rel=0.05)
    first, second = tensors(jobs[0]), tensors(alone)
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], atol=1e-4, err_msg=name)
    assert not jobs[1].model.exists()
