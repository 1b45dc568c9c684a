"""k-NN on handwriting, through jobs and an endpoint of the platform."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.neighbors import KNeighborsClassifier

from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from datasets import mnist5000
from tests.local.algorithms.support import Data, Endpoint, completed, fit, served
from tests.platform import LocalPlatform
from tests.unit.algorithms.conftest import csv

NAME, RECORDIO = "knn", "application/x-recordio-protobuf"
WIDTH = 784
SETTINGS = {"feature_dim": WIDTH, "k": 5, "predictor_type": "classifier", "sample_size": 9999}


def rows() -> tuple[Any, Any, Any, Any]:
    """Digits to learn from and their labels, and others to be tested on."""
    train, test = mnist5000.split()
    return train.pixels[:2000], train.labels[:2000], test.pixels[:300], test.labels[:300]


def channels(mode: str = "File", distribution: str = "FullyReplicated") -> dict[str, Data]:
    features, labels, others, truth = rows()
    files = {
        f"{number}.pbr": recordio.write(Table(features[part], labels[part]))
        for number, part in enumerate((slice(0, 700), slice(700, None)))
    }
    test = {"a.pbr": recordio.write(Table(others, truth))}
    return {
        "train": Data(files, RECORDIO, mode, distribution),
        "test": Data(test, RECORDIO, mode),
    }


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    return fit(platform, NAME, channels(), SETTINGS)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def test_flat_neighbours_and_accuracy_are_those_of_brute_force(
    endpoint: Endpoint, job: dict[str, Any]
) -> None:
    features, labels, others, truth = rows()
    reference = KNeighborsClassifier(5, algorithm="brute").fit(features, labels)
    near = labels[reference.kneighbors(others)[1]]
    # Of classes with as many votes, the one that comes first is told.
    told = [max(row, key=row.count) for row in near.tolist()]
    right = float(np.mean(np.array(told) == truth))
    assert completed(job)["test:accuracy"] == pytest.approx(right, abs=0.0034)
    body = recordio.write(Table(others[:40]))
    answer = json.loads(endpoint.ask(body, RECORDIO, "application/json; verbose=true"))
    distances = np.array([one["distances"] for one in answer["predictions"]])
    expected, _ = reference.kneighbors(others[:40])
    np.testing.assert_allclose(distances, expected**2, rtol=1e-5)


def test_an_inverted_file_from_a_pipe_is_nearly_as_accurate(
    platform: LocalPlatform, job: dict[str, Any]
) -> None:
    settings = {**SETTINGS, "index_type": "faiss.IVFFlat"}
    piped = completed(fit(platform, NAME, channels("Pipe"), settings))
    assert piped["test:accuracy"] >= completed(job)["test:accuracy"] - 0.02


def test_two_hosts_are_as_accurate_as_one(platform: LocalPlatform, job: dict[str, Any]) -> None:
    both = completed(fit(platform, NAME, channels("File", "ShardedByS3Key"), SETTINGS, hosts=2))
    assert both["test:accuracy"] == pytest.approx(completed(job)["test:accuracy"], abs=1e-6)


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    row = rows()[0][0]
    expected = {"predicted_label": float(rows()[1][0])}
    keys = [int(key) for key in np.flatnonzero(row)]
    sparse = {"keys": keys, "shape": [WIDTH], "values": row[keys].tolist()}
    for features in (
        {"features": row.tolist()},
        {"data": {"features": {"values": row.tolist()}}},
        {"data": {"features": sparse}},
    ):
        body = json.dumps({"instances": [features]})
        assert json.loads(endpoint.ask(body, "application/json")) == {"predictions": [expected]}
        line = endpoint.ask(
            json.dumps(features), "application/jsonlines", "application/jsonlines; verbose=true"
        )
        verbose = json.loads(line)
        assert verbose["predicted_label"] == expected["predicted_label"]
        assert len(verbose["labels"]) == 5 and verbose["distances"] == sorted(verbose["distances"])
    assert (
        float(endpoint.ask(csv(row[None]), "text/csv", "text/csv")) == expected["predicted_label"]
    )
    for features in (row[None], csr_matrix(row[None])):
        answer = endpoint.ask(recordio.write(Table(features)), RECORDIO, RECORDIO)
        (message,) = recordio.frames(answer, "answer")
        assert np.float32(expected["predicted_label"]).tobytes() in bytes(message)
    assert endpoint.refused("1,2", "text/csv") == (
        "400 Unable to evaluate payload provided: wrong width: 2 values, the model takes 784"
    )


def test_corrupt_records_fail_a_job_with_their_place(platform: LocalPlatform) -> None:
    small = {**SETTINGS, "feature_dim": 1, "k": 1}
    text = "text/csv;label_size=1"
    corrupt = fit(platform, NAME, {"train": Data({"a.csv": b"1,2\n3,x\n"}, text)}, small)
    assert corrupt["FailureReason"].startswith("ClientError: train/a.csv, line 2, column 2")
