"""K-Means on handwriting, through jobs and an endpoint of the platform."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans

from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from tests.local.algorithms.support import Data, Endpoint, completed, fit, served
from tests.platform import LocalPlatform
from tests.unit.algorithms.conftest import csv, digits

NAME, CSV, RECORDIO = "kmeans", "text/csv;label_size=0", "application/x-recordio-protobuf"
SETTINGS = {"k": 10, "feature_dim": 64, "mini_batch_size": 500}


@cache
def best() -> float:
    """The mean squared distance that scikit-learn reaches."""
    features, _ = digits()
    fitted = KMeans(n_clusters=10, n_init=10, random_state=0).fit(features)
    return float(fitted.inertia_) / len(features)


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    data = Data({"a.csv": csv(digits()[0])}, CSV)
    return fit(platform, NAME, {"train": data, "test": data}, SETTINGS)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def test_digits_are_as_near_to_their_centers_as_with_scikit_learn(
    endpoint: Endpoint, job: dict[str, Any]
) -> None:
    answer = json.loads(endpoint.ask(csv(digits()[0]), "text/csv"))["predictions"]
    distances = np.array([each["distance_to_cluster"] for each in answer])
    msd = float((distances**2).mean())
    assert msd <= 1.02 * best()
    assert {each["closest_cluster"] for each in answer} == set(map(float, range(10)))
    assert completed(job)["test:msd"] == pytest.approx(msd, rel=1e-4)


def test_a_pipe_and_two_hosts_come_as_near(platform: LocalPlatform) -> None:
    halves = [csr_matrix(half) for half in np.array_split(digits()[0], 2)]
    bodies = {f"{number}.pbr": recordio.write(Table(half)) for number, half in enumerate(halves)}
    data = Data(bodies, RECORDIO, "Pipe", "ShardedByS3Key")
    for hosts in (1, 2):
        settings = {**SETTINGS, "mini_batch_size": 500 // hosts}
        found = completed(fit(platform, NAME, {"train": data}, settings, hosts=hosts))
        assert 0.5 * best() < found["train:msd"] <= 1.03 * best()


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    row = digits()[0][0]
    keys = [int(key) for key in np.flatnonzero(row)]
    told = []
    for features in (
        {"features": row.tolist()},
        {"data": {"features": {"values": row.tolist()}}},
        {"data": {"features": {"keys": keys, "shape": [64], "values": row[keys].tolist()}}},
    ):
        body = json.dumps({"instances": [features]})
        (prediction,) = json.loads(endpoint.ask(body, "application/json"))["predictions"]
        line = endpoint.ask(json.dumps(features), "application/jsonlines", "application/jsonlines")
        told += [prediction, json.loads(line)]
    text = endpoint.ask(csv(row[None]), "text/csv", "text/csv").decode()
    told.append(
        dict(
            zip(
                ("closest_cluster", "distance_to_cluster"), map(float, text.split(",")), strict=True
            )
        )
    )
    assert told == told[:1] * 7
    answer = endpoint.ask(recordio.write(Table(row[None])), RECORDIO, RECORDIO)
    (message,) = recordio.frames(answer, "answer")
    assert np.float32(told[0]["distance_to_cluster"]).tobytes() in bytes(message)
    assert endpoint.refused("1,2", "text/csv") == (
        "400 Unable to evaluate payload provided: wrong width: 2 values, the model takes 64"
    )


def test_wrong_settings_and_corrupt_records_fail_with_their_place(platform: LocalPlatform) -> None:
    body = csv(digits()[0][:20])
    wrong = fit(platform, NAME, {"train": Data({"a.csv": body}, CSV)}, {**SETTINGS, "k": 21})
    assert wrong["FailureReason"].startswith(
        "ClientError: k is 21, but the train channel has only 20 records"
    )
    corrupt = fit(platform, NAME, {"train": Data({"a.csv": body + b"1,x"}, CSV)}, SETTINGS)
    assert corrupt["FailureReason"].startswith("ClientError: train/a.csv, line 21")
