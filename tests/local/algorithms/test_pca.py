"""PCA on handwriting, through jobs and an endpoint of the platform."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from datasets import mnist5000
from tests.local.algorithms.support import Data, Endpoint, completed, fit, served
from tests.platform import LocalPlatform
from tests.unit.algorithms.conftest import csv

NAME, RECORDIO = "pca", "application/x-recordio-protobuf"
COUNT, WIDTH = 20, 784
SETTINGS = {"feature_dim": WIDTH, "num_components": COUNT, "mini_batch_size": 400}


def rows() -> Any:
    return mnist5000.split()[0].pixels[:2000] / 255


def channel(mode: str, distribution: str = "FullyReplicated") -> dict[str, Data]:
    files = {
        f"{number}.pbr": recordio.write(Table(half))
        for number, half in enumerate(np.split(rows(), [700]))
    }
    return {"train": Data(files, RECORDIO, mode, distribution)}


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    return fit(platform, NAME, channel("File"), SETTINGS)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def learnt(platform: LocalPlatform, job: dict[str, Any]) -> dict[str, Any]:
    """The arrays of the artifact of a job."""
    completed(job)
    place = urlparse(job["ModelArtifacts"]["S3ModelArtifacts"])
    body = platform.client("s3").get_object(Bucket=place.netloc, Key=place.path[1:])["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        file = archive.extractfile("pca-model.npz")
        assert file
        return dict(np.load(io.BytesIO(file.read())))


def by_svd() -> tuple[Any, Any]:
    """The strongest components, ascending: their singular values and directions."""
    wide = rows().astype(float)
    _, values, vectors = np.linalg.svd(wide - wide.mean(axis=0), full_matrices=False)
    return values[:COUNT][::-1], vectors[:COUNT][::-1].T


def alike(found: Any, expected: Any) -> Any:
    """Vectors with the signs of others."""
    return found * np.sign((found * expected).sum(axis=0))


def test_regular_components_and_projections_are_those_of_svd(
    platform: LocalPlatform, job: dict[str, Any], endpoint: Endpoint
) -> None:
    values, vectors = by_svd()
    model = learnt(platform, job)
    np.testing.assert_allclose(model["s"], values, rtol=1e-4)
    np.testing.assert_allclose(alike(model["v"], vectors), vectors, atol=1e-4)
    fresh = mnist5000.split()[1].pixels[:50] / 255
    answer = json.loads(endpoint.ask(csv(fresh), "text/csv"))
    projections = np.array([one["projection"] for one in answer["projections"]])
    expected = (fresh - rows().astype(float).mean(axis=0)) @ vectors
    np.testing.assert_allclose(alike(projections, expected), expected, atol=1e-3)


def test_two_hosts_find_the_components_of_one(platform: LocalPlatform, job: dict[str, Any]) -> None:
    one = learnt(platform, job)
    both = learnt(
        platform, fit(platform, NAME, channel("File", "ShardedByS3Key"), SETTINGS, hosts=2)
    )
    for name in ("v", "s", "mean"):
        np.testing.assert_allclose(both[name], one[name], rtol=1e-4, atol=1e-5)


def test_randomized_components_from_a_pipe_keep_99_percent_of_the_spread_of_the_best(
    platform: LocalPlatform,
) -> None:
    settings = {**SETTINGS, "algorithm_mode": "randomized"}
    model = learnt(platform, fit(platform, NAME, channel("Pipe"), settings))
    wide = rows().astype(float)
    kept = (((wide - wide.mean(axis=0)) @ model["v"]) ** 2).sum()
    assert kept >= 0.99 * (by_svd()[0] ** 2).sum()


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    row = rows()[0]
    keys = [int(key) for key in np.flatnonzero(row)]
    sparse = {"keys": keys, "shape": [WIDTH], "values": row[keys].tolist()}
    dense = row.tolist()
    told = []
    for features in (
        {"features": dense},
        {"data": {"features": {"values": dense}}},
        {"data": {"features": sparse}},
    ):
        body = json.dumps({"instances": [features]})
        (projection,) = json.loads(endpoint.ask(body, "application/json"))["projections"]
        line = endpoint.ask(json.dumps(features), "application/jsonlines", "application/jsonlines")
        told += [projection, json.loads(line)]
    text = endpoint.ask(csv(row[None]), "text/csv", "text/csv").decode()
    told.append({"projection": [float(part) for part in text.split(",")]})
    assert told == told[:1] * 7
    for features in (row[None], csr_matrix(row[None])):
        answer = endpoint.ask(recordio.write(Table(features)), RECORDIO, RECORDIO)
        (message,) = recordio.frames(answer, "answer")
        assert np.array(told[0]["projection"], np.float32).tobytes() in bytes(message)
    assert endpoint.refused("1,2", "text/csv") == (
        "400 Unable to evaluate payload provided: wrong width: 2 values, the model takes 784"
    )


def test_corrupt_records_fail_a_job_with_their_place(platform: LocalPlatform) -> None:
    small = {"feature_dim": 2, "num_components": 2, "mini_batch_size": 10}
    text = "text/csv;label_size=0"
    corrupt = fit(platform, NAME, {"train": Data({"a.csv": b"1,2\n3,x\n"}, text)}, small)
    assert corrupt["FailureReason"].startswith("ClientError: train/a.csv, line 2, column 2")
