"""Random Cut Forest on the shuttle's sensors, through jobs and an endpoint of the platform."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from krcf import RandomCutForest
from sklearn.metrics import roc_auc_score

from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from datasets import shuttle
from tests.local.algorithms.support import Data, Endpoint, completed, fit, served
from tests.platform import LocalPlatform
from tests.unit.algorithms.conftest import csv

NAME = "randomcutforest"
TRAIN, TEST = "text/csv;label_size=0", "text/csv;label_size=1"
RECORDIO = "application/x-recordio-protobuf"
SETTINGS = {"feature_dim": 9, "num_trees": 50, "num_samples_per_tree": 128}
SHARDED = "ShardedByS3Key"


def data() -> tuple[Any, Any, Any]:
    """Rows to learn from, other rows, and which of those are unusual."""
    found = shuttle.rows()
    order = np.random.default_rng(0).permutation(len(found.features))[:9000]
    rows, unusual = found.features[order], found.unusual[order]
    return rows[:6000], rows[6000:], unusual[6000:]


def channels(mode: str = "File") -> dict[str, Data]:
    rows, others, unusual = data()
    halves = np.split(rows, 2)
    if mode == "File":
        files = {f"{number}.csv": csv(half) for number, half in enumerate(halves)}
        train = Data(files, TRAIN, distribution=SHARDED)
    else:
        files = {f"{number}.pbr": recordio.write(Table(h)) for number, h in enumerate(halves)}
        train = Data(files, RECORDIO, mode="Pipe", distribution=SHARDED)
    return {"train": train, "test": Data({"test.csv": csv(unusual, others)}, TEST)}


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    return fit(platform, NAME, channels(), SETTINGS)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def scores(endpoint: Endpoint, rows: Any) -> Any:
    answer = json.loads(endpoint.ask(csv(rows), "text/csv"))
    return np.array([one["score"] for one in answer["scores"]])


def test_unusual_rows_are_told_no_worse_than_by_the_library_itself(
    endpoint: Endpoint, job: dict[str, Any]
) -> None:
    rows, others, unusual = data()
    library = RandomCutForest(
        {"dimensions": 9, "shingle_size": 1, "num_trees": 50, "sample_size": 128, "random_seed": 1}
    )
    for row in rows.tolist():
        library.update(row)
    reference = [library.score(row) for row in others.tolist()]
    own = scores(endpoint, others)
    assert roc_auc_score(unusual, own) >= roc_auc_score(unusual, reference)
    found = own > own.mean() + 3 * own.std()
    assert completed(job)["test:accuracy"] == pytest.approx((found == unusual).mean(), abs=1e-6)


def test_a_pipe_and_two_hosts_tell_them_as_well(
    platform: LocalPlatform, job: dict[str, Any]
) -> None:
    one = completed(job)
    piped = completed(fit(platform, NAME, channels("Pipe"), SETTINGS))
    assert piped == pytest.approx(one)
    both = completed(fit(platform, NAME, channels(), SETTINGS, hosts=2))
    assert both["test:f1"] == pytest.approx(one["test:f1"], abs=0.1)


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    row = data()[1][0]
    numbers = row.tolist()
    expected = {"score": float(scores(endpoint, row[None])[0])}
    keys = list(range(9))
    for features in (
        {"features": numbers},
        {"data": {"features": {"values": numbers}}},
        {"data": {"features": {"keys": keys, "shape": [9], "values": numbers}}},
    ):
        body = json.dumps({"instances": [features, features]})
        assert json.loads(endpoint.ask(body, "application/json")) == {"scores": [expected] * 2}
        lines = endpoint.ask(json.dumps(features), "application/jsonlines", "application/jsonlines")
        assert json.loads(lines) == expected
    answer = endpoint.ask(recordio.write(Table(row[None])), RECORDIO, RECORDIO)
    (message,) = recordio.frames(answer, "answer")
    assert np.float32(expected["score"]).tobytes() in bytes(message)
    assert float(endpoint.ask(csv(row[None]), "text/csv", "text/csv")) == expected["score"]
    assert endpoint.refused("1,2", "text/csv") == (
        "400 Unable to evaluate payload provided: wrong width: 2 values, the model takes 9"
    )


def test_corrupt_records_fail_a_job_with_their_place(platform: LocalPlatform) -> None:
    rows = data()[0][:100]
    corrupt = fit(
        platform,
        NAME,
        {"train": Data({"a.csv": csv(rows) + b"1,2,x"}, TRAIN, distribution=SHARDED)},
        SETTINGS,
    )
    assert corrupt["FailureReason"].startswith("ClientError: train/a.csv, line 101")
