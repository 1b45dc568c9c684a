"""Neural Topic Model on documents of known topics and on news, through the platform."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.sparse import csr_matrix
from scipy.special import softmax
from sklearn.decomposition import LatentDirichletAllocation

from algorithms.ntm.fitting import top_words
from algorithms.ntm.topics import uniqueness
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from datasets.texts import lee_counts
from datasets.topics import coherence, griffiths_steyvers, topic_error
from tests.local.algorithms.support import Data, Endpoint, artifact, completed, fit, served
from tests.platform import LocalPlatform
from tests.unit.algorithms.conftest import csv

NAME = "ntm"
CSV, RECORDIO = "text/csv;label_size=0", "application/x-recordio-protobuf"
CORPUS = griffiths_steyvers(2400)
SETTINGS = {
    "feature_dim": 25,
    "num_topics": 5,
    "epochs": 50,
    "mini_batch_size": 100,
    "num_patience_epochs": 10,
}


def channels(mode: str = "File", distribution: str = "FullyReplicated") -> dict[str, Data]:
    found = {}
    for name, counts in (("train", CORPUS.counts[:2000]), ("validation", CORPUS.counts[2000:])):
        files = {
            f"{part}.pbr": recordio.write(Table(csr_matrix(half)))
            for part, half in enumerate(np.split(counts, 2))
        }
        spread = distribution if name == "train" else "FullyReplicated"
        found[name] = Data(files, RECORDIO, mode=mode, distribution=spread)
    return found


def error(platform: LocalPlatform, job: dict[str, Any], folder: Path) -> float:
    weights = load_file(artifact(platform, job, folder) / "ntm-model.safetensors")
    scores = weights["projection_weight"] + weights["projection_bias"][:, None]
    return topic_error(CORPUS.topics, softmax(scores.astype(float), axis=0).T)


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    return fit(platform, NAME, channels(), SETTINGS)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def test_known_topics_are_found_from_files_and_by_two_hosts_with_a_pipe_each(
    platform: LocalPlatform, job: dict[str, Any], tmp_path: Path
) -> None:
    loss = completed(job)["validation:total_loss"]
    assert error(platform, job, tmp_path / "file") < 0.02
    both = fit(platform, NAME, channels("Pipe", "ShardedByS3Key"), SETTINGS, hosts=2)
    assert completed(both)["validation:total_loss"] == pytest.approx(loss, rel=0.01)
    assert error(platform, both, tmp_path / "both") < 0.02


def test_topics_of_news_are_as_coherent_and_unlike_as_those_of_lda(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    counts, words = lee_counts()
    channels = {
        "train": Data({"train.csv": csv(counts)}, CSV),
        "auxiliary": Data({"vocab.txt": "\n".join(words).encode()}, "text/plain"),
    }
    settings = {
        "feature_dim": len(words),
        "num_topics": 10,
        "epochs": 100,
        "mini_batch_size": 32,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "num_patience_epochs": 100,
    }
    job = fit(platform, NAME, channels, settings)
    completed(job)
    weights = load_file(artifact(platform, job, tmp_path) / "ntm-model.safetensors")
    own = top_words(weights["projection_weight"])
    lda = LatentDirichletAllocation(10, max_iter=30, random_state=0).fit(counts)
    reference = top_words(lda.components_.T)
    assert coherence(own, counts) >= coherence(reference, counts)
    assert np.mean(uniqueness(own)) >= np.mean(uniqueness(reference))


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    row = CORPUS.counts[0]
    numbers = row.tolist()
    (expected,) = json.loads(endpoint.ask(csv(row[None]), "text/csv"))["predictions"]
    assert sum(expected["topic_weights"]) == pytest.approx(1)
    sparse = {"keys": list(range(25)), "shape": [25], "values": numbers}
    for features in (
        {"features": numbers},
        {"data": {"features": {"values": numbers}}},
        {"data": {"features": sparse}},
    ):
        body = json.dumps({"instances": [features]})
        assert json.loads(endpoint.ask(body, "application/json")) == {"predictions": [expected]}
        lines = endpoint.ask(json.dumps(features), "application/jsonlines", "application/jsonlines")
        assert json.loads(lines) == expected
    answer = endpoint.ask(recordio.write(Table(csr_matrix(row[None]))), RECORDIO, RECORDIO)
    (message,) = recordio.frames(answer, "answer")
    weights = np.array(expected["topic_weights"], dtype=np.float32)
    assert weights.tobytes() in bytes(message)
    text = endpoint.ask(csv(row[None]), "text/csv", "text/csv").decode()
    assert [float(one) for one in text.split(",")] == expected["topic_weights"]
    assert re.match("400 .*wrong width: 2 values", endpoint.refused("1,2", "text/csv"))


def test_a_corrupt_record_fails_the_job_with_its_place(platform: LocalPlatform) -> None:
    corrupt = {"train": Data({"a.csv": b"1,2,3\n1,-2,3\n"}, CSV)}
    failed = fit(platform, NAME, corrupt, {"feature_dim": 3, "num_topics": 2})
    assert failed["TrainingJobStatus"] == "Failed"
    assert "train/a.csv, record 2, feature 1: -2.0 is no count" in failed["FailureReason"]
