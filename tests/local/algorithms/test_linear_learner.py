"""Linear Learner through jobs and an endpoint of the platform, held against scikit-learn."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from tests.local.algorithms.support import Data, Endpoint, completed, fit, served
from tests.platform import LocalPlatform
from tests.unit.algorithms.conftest import csv
from tests.unit.algorithms.test_linear_learner_quality import LOADERS, parts

NAME, RECORDIO = "linear-learner", "application/x-recordio-protobuf"


def channels(name: str, seed: int, mode: str = "File") -> dict[str, Data]:
    """A half to train on, in two objects; a quarter to choose by; a quarter held out."""
    found = {}
    for channel, (features, labels) in zip(
        ("train", "validation", "test"), parts(name, seed), strict=True
    ):
        pieces = 2 if channel == "train" else 1
        tables = [
            Table(features[first::pieces], labels[first::pieces].astype(np.float32))
            for first in range(pieces)
        ]
        if mode == "Pipe":
            files = {f"{i}.pbr": recordio.write(each) for i, each in enumerate(tables)}
            found[channel] = Data(files, RECORDIO, "Pipe")
        else:
            files = {f"{i}.csv": csv(each.labels, each.features) for i, each in enumerate(tables)}
            sharded = "ShardedByS3Key" if channel == "train" else "FullyReplicated"
            found[channel] = Data(files, "text/csv", distribution=sharded)
    return found


@pytest.fixture(scope="module")
def cancer(platform: LocalPlatform) -> dict[str, Any]:
    settings = {
        **LOADERS["breast cancer"][1],
        "binary_classifier_model_selection_criteria": "precision_at_target_recall",
        "target_recall": 0.95,
    }
    return fit(platform, NAME, channels("breast cancer", 1), settings)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, cancer: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, cancer) as found:
        yield found


def test_cancer_is_told_as_well_as_by_scikit_learn_at_the_recall_that_was_asked_for(
    endpoint: Endpoint, cancer: dict[str, Any]
) -> None:
    train, _, (features, labels) = parts("breast cancer", 1)
    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(*train)
    answer = json.loads(endpoint.ask(csv(features), "text/csv"))["predictions"]
    found = np.array([each["predicted_label"] for each in answer])
    assert (found == labels).mean() >= reference.score(features, labels) - 0.01
    assert f1_score(labels, found) >= f1_score(labels, reference.predict(features)) - 0.01
    metrics = completed(cancer)
    assert metrics["test:binary_classification_accuracy"] == pytest.approx(
        (found == labels).mean(), abs=1e-6
    )
    assert metrics["validation:recall"] >= 0.95
    assert metrics["test:recall"] >= 0.93


def test_digits_from_a_pipe_are_told_as_well_as_by_scikit_learn(platform: LocalPlatform) -> None:
    train, _, (features, labels) = parts("digits", 0)
    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(*train)
    job = fit(platform, NAME, channels("digits", 0, "Pipe"), LOADERS["digits"][1])
    found = completed(job)["test:multiclass_accuracy"]
    assert 1 > found >= reference.score(features, labels) - 0.01


def test_regression_on_two_hosts_is_as_good_as_ridge(platform: LocalPlatform) -> None:
    train, _, (features, labels) = parts("diabetes", 0)
    reference = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 20))).fit(*train)
    error = np.sqrt(((reference.predict(features) - labels) ** 2).mean())
    job = fit(platform, NAME, channels("diabetes", 0), LOADERS["diabetes"][1], hosts=2)
    assert 0.5 * error < np.sqrt(completed(job)["test:mse"]) <= 1.02 * error


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    row = parts("breast cancer", 1)[2][0][0]
    values = row.tolist()
    told = []
    for features in (
        {"features": values},
        {"data": {"features": {"values": values}}},
        {"data": {"features": {"keys": [*range(30)], "shape": [30], "values": values}}},
    ):
        body = json.dumps({"instances": [features]})
        (prediction,) = json.loads(endpoint.ask(body, "application/json"))["predictions"]
        line = endpoint.ask(json.dumps(features), "application/jsonlines", "application/jsonlines")
        told += [prediction, json.loads(line)]
    text = endpoint.ask(csv(row[None]), "text/csv", "text/csv").decode()
    score, label = text.split(",")
    told.append({"score": float(score), "predicted_label": int(label)})
    assert told == told[:1] * 7
    for table in (Table(row[None]), Table(csr_matrix(row[None]))):
        answer = endpoint.ask(recordio.write(table), RECORDIO, RECORDIO)
        (message,) = recordio.frames(answer, "answer")
        assert np.float32(told[0]["score"]).tobytes() in bytes(message)
    assert endpoint.refused("1,2", "text/csv") == (
        "400 Unable to evaluate payload provided: wrong width: 2 values, the model takes 30"
    )


def test_corrupt_records_fail_a_job_with_their_place(platform: LocalPlatform) -> None:
    settings = LOADERS["breast cancer"][1]
    corrupt = fit(platform, NAME, {"train": Data({"a.csv": b"1,2\n0,x\n"}, "text/csv")}, settings)
    assert corrupt["FailureReason"].startswith("ClientError: train/a.csv, line 2")
