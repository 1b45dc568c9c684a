"""LDA on known topics and on Reuters, through jobs and an endpoint of the platform."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.matutils import Sparse2Corpus
from gensim.models import LdaModel
from scipy.sparse import csr_matrix

from algorithms.lda import load
from algorithms.lda.documents import mixtures, smoothed
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from datasets import reuters
from datasets import topics as bars
from tests.local.algorithms.support import Data, Endpoint, artifact, completed, fit, served
from tests.platform import LocalPlatform
from tests.unit.algorithms.conftest import csv

NAME, CSV, RECORDIO = "lda", "text/csv;label_size=0", "application/x-recordio-protobuf"
KNOWN = bars.griffiths_steyvers(3000)
BARS = {"num_topics": 5, "feature_dim": 25, "mini_batch_size": 2700}


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    channels = {
        "train": Data({"a.csv": csv(KNOWN.counts[:2700])}, CSV),
        "test": Data({"a.csv": csv(KNOWN.counts[2700:])}, CSV),
    }
    return fit(platform, NAME, channels, BARS)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def test_known_topics_are_found_to_two_percent_and_their_mixtures_are_told(
    platform: LocalPlatform, job: dict[str, Any], endpoint: Endpoint, tmp_path: Path
) -> None:
    topics = load(artifact(platform, job, tmp_path)).topics
    assert bars.topic_error(KNOWN.topics, topics) <= 0.02
    fresh = KNOWN.counts[2700:]
    answer = json.loads(endpoint.ask(csv(fresh), "text/csv"))
    shares = np.array([each["topic_mixture"] for each in answer["predictions"]])
    pairs = np.abs(KNOWN.topics[:, None] - topics[None]).sum(axis=2).argmin(axis=1)
    assert np.abs(shares[:, pairs] - KNOWN.mixtures[2700:]).mean() < 0.03
    odds = np.log(KNOWN.mixtures[2700:] @ KNOWN.topics)
    assert completed(job)["test:pwll"] == pytest.approx((fresh * odds).sum() / fresh.sum(), abs=0.1)


def test_articles_of_reuters_are_as_likely_as_under_the_topics_of_gensim(
    platform: LocalPlatform,
) -> None:
    counts = csr_matrix(reuters.articles().counts)
    order = np.random.default_rng(0).permutation(counts.shape[0])
    train, test = counts[order[:316]], counts[order[316:]]
    peer = LdaModel(
        Sparse2Corpus(train, documents_columns=False),
        num_topics=10,
        passes=10,
        alpha="auto",
        id2word=dict(enumerate(reuters.articles().words)),
        random_state=0,
    )
    topics = smoothed(peer.get_topics().astype(float), 1e-12)
    bound = mixtures(test.astype(float), topics, peer.alpha.astype(float)).bound
    channels = {
        "train": Data({"a.pbr": recordio.write(Table(train))}, RECORDIO, "Pipe"),
        "test": Data({"a.pbr": recordio.write(Table(test))}, RECORDIO, "Pipe"),
    }
    settings = {"num_topics": 10, "feature_dim": counts.shape[1], "mini_batch_size": 316}
    found = completed(fit(platform, NAME, channels, settings))["test:pwll"]
    assert -10 < bound.sum() / test.sum() - 0.02 <= found < -7


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    document = KNOWN.counts[2700]
    keys = [int(key) for key in np.flatnonzero(document)]
    values = document[keys].tolist()
    dense = {"features": document.tolist()}
    told = []
    for features in (
        dense,
        {"data": {"features": {"values": dense["features"]}}},
        {"data": {"features": {"keys": keys, "shape": [25], "values": values}}},
    ):
        body = json.dumps({"instances": [features]})
        (prediction,) = json.loads(endpoint.ask(body, "application/json"))["predictions"]
        line = endpoint.ask(json.dumps(features), "application/jsonlines", "application/jsonlines")
        told += [prediction, json.loads(line)]
    text = endpoint.ask(csv(document[None]), "text/csv", "text/csv").decode()
    told.append({"topic_mixture": [float(share) for share in text.split(",")]})
    assert told == told[:1] * 7
    answer = endpoint.ask(recordio.write(Table(document[None])), RECORDIO, RECORDIO)
    (message,) = recordio.frames(answer, "answer")
    assert np.array(told[0]["topic_mixture"], np.float32).tobytes() in bytes(message)
    assert endpoint.refused("1,2", "text/csv") == (
        "400 Unable to evaluate payload provided: wrong width: 2 values, the model takes 25"
    )


def test_corrupt_documents_fail_a_job_with_their_place(
    platform: LocalPlatform,
) -> None:
    body = csv(KNOWN.counts[:20])
    corrupt = fit(platform, NAME, {"train": Data({"a.csv": body + b"1,x"}, CSV)}, BARS)
    assert corrupt["FailureReason"].startswith("ClientError: train/a.csv, line 21")
