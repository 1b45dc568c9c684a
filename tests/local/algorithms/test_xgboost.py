"""XGBoost through jobs and an endpoint of the platform, held against the library itself."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from scipy.sparse import csr_matrix
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from tests.local.algorithms.support import Data, Endpoint, artifact, completed, fit, served
from tests.platform import LocalPlatform
from tests.unit.algorithms.conftest import csv
from tests.unit.algorithms.test_xgboost import libsvm

NAME, RECORDIO = "xgboost", "application/x-recordio-protobuf"
SETTINGS = {
    "breast cancer": {"objective": "binary:logistic", "subsample": 0.8, "seed": 3},
    "digits": {"objective": "multi:softprob", "num_class": 10, "max_depth": 4},
    "diabetes": {"objective": "reg:squarederror", "eta": 0.1, "lambda": 2},
}
LOADERS = {
    "breast cancer": load_breast_cancer,
    "digits": load_digits,
    "diabetes": load_diabetes,
}
ROUNDS = 15


@cache
def parts(name: str) -> tuple[Any, Any, Any, Any]:
    """Features and labels to train on, and others."""
    features, labels = LOADERS[name](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    features, labels = features[order].astype(np.float32), labels[order].astype(np.float32)
    cut = 3 * len(labels) // 4
    return features[:cut], labels[:cut], features[cut:], labels[cut:]


@cache
def expected(name: str) -> Any:
    """What the library predicts of the others."""
    features, labels, others, _ = parts(name)
    booster = xgboost.train(SETTINGS[name], xgboost.DMatrix(features, labels), ROUNDS)
    return booster.predict(xgboost.DMatrix(others))


def channels(name: str) -> dict[str, Data]:
    features, labels, others, truth = parts(name)
    pairs = {"train": (features, labels), "validation": (others, truth)}
    if name == "diabetes":
        return {
            channel: Data({"a.libsvm": libsvm(y, x)}, "text/libsvm")
            for channel, (x, y) in pairs.items()
        }
    if name == "digits":
        return {
            channel: Data({"a.pbr": recordio.write(Table(x, y))}, RECORDIO, "FastFile")
            for channel, (x, y) in pairs.items()
        }
    return {channel: Data({"a.csv": csv(y, x)}, "text/csv") for channel, (x, y) in pairs.items()}


def trained(platform: LocalPlatform, name: str) -> dict[str, Any]:
    return fit(platform, NAME, channels(name), {**SETTINGS[name], "num_round": ROUNDS})


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    return trained(platform, "breast cancer")


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def test_an_endpoint_answers_what_the_library_predicts_bit_for_bit(
    endpoint: Endpoint, job: dict[str, Any]
) -> None:
    _, _, others, labels = parts("breast cancer")
    answer = json.loads(endpoint.ask(csv(others), "text/csv", "application/json"))
    found = np.array([each["score"] for each in answer["predictions"]], dtype=np.float32)
    np.testing.assert_array_equal(found, expected("breast cancer"))
    loss = -np.log(np.where(labels == 1, found, 1 - found).astype(np.float64)).mean()
    assert completed(job)["validation:logloss"] == pytest.approx(loss, abs=1e-4)


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_the_model_of_every_format_predicts_what_the_library_does_bit_for_bit(
    platform: LocalPlatform, name: str, tmp_path: Path
) -> None:
    folder = artifact(platform, trained(platform, name), tmp_path)
    booster = xgboost.Booster(model_file=str(folder / "xgboost-model"))
    found = booster.predict(xgboost.DMatrix(parts(name)[2]))
    np.testing.assert_array_equal(found, expected(name))


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    rows, score = parts("breast cancer")[2][:2], expected("breast cancer")[:2]
    sparse = Table(csr_matrix(rows))
    for body, kind in (
        (csv(rows), "text/csv"),
        (libsvm(np.zeros(2), rows), "text/libsvm"),
        (recordio.write(Table(rows)), RECORDIO),
        (recordio.write(sparse), RECORDIO),
    ):
        told = endpoint.ask(body, kind, "text/csv").decode()
        np.testing.assert_array_equal(np.array(told.split(","), dtype=np.float32), score)
    body = csv(rows)
    lines = endpoint.ask(body, "text/csv", "application/jsonlines").splitlines()
    assert [np.float32(json.loads(line)["score"]) for line in lines] == score.tolist()
    messages = [*recordio.frames(endpoint.ask(body, "text/csv", RECORDIO), "answer")]
    for message, one in zip(messages, score, strict=True):
        assert one.tobytes() in bytes(message)
    assert endpoint.refused("x,y", "text/csv").startswith("400 Unable to evaluate payload provided")
    assert endpoint.refused("{}", "application/json").startswith("415 ")


def test_corrupt_records_fail_a_job_with_their_place(platform: LocalPlatform) -> None:
    settings = {**SETTINGS["digits"], "num_round": 1}
    corrupt = fit(platform, NAME, {"train": Data({"a.csv": b"1,2\n1,x\n"}, "text/csv")}, settings)
    assert corrupt["FailureReason"].startswith("ClientError: train/a.csv, line 2")
