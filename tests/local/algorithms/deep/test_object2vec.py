"""Object2Vec on MovieLens-100k, through jobs and an endpoint of the platform."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from datasets.movielens import ITEMS, USERS, Ratings, split
from tests.local.algorithms.support import Data, Endpoint, completed, fit, served
from tests.platform import LocalPlatform

NAME, JSONL = "object2vec", "application/jsonlines"
SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": USERS,
    "enc0_token_embedding_dim": 32,
    "enc1_network": "pooled_embedding",
    "enc1_max_seq_len": 1,
    "enc1_vocab_size": ITEMS,
    "enc1_token_embedding_dim": 32,
    "enc_dim": 64,
    "mlp_dim": 64,
    "mlp_layers": 1,
    "mlp_activation": "tanh",
    "mini_batch_size": 256,
    "learning_rate": 0.002,
    "dropout": 0.2,
    "epochs": 4,
}


def lines(ratings: Ratings, *, binary: bool) -> bytes:
    """A pair of a user and a film a line; what is liked has 4 or 5 stars."""
    labels = (ratings.ratings >= 4).astype(int) if binary else ratings.ratings
    columns = (labels.tolist(), ratings.users.tolist(), ratings.items.tolist())
    rows = (
        json.dumps({"label": label, "in0": [user], "in1": [item]})
        for label, user, item in zip(*columns, strict=True)
    )
    return "\n".join(rows).encode()


def channels(*, binary: bool) -> dict[str, Data]:
    learnt, tested = split()
    return {
        "train": Data({"a.jsonl": lines(learnt, binary=binary)}, JSONL),
        "test": Data({"a.jsonl": lines(tested, binary=binary)}, JSONL),
    }


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    settings = {**SETTINGS, "output_layer": "mean_squared_error"}
    return fit(platform, NAME, channels(binary=False), settings)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def test_ratings_are_predicted_to_within_a_star(job: dict[str, Any], endpoint: Endpoint) -> None:
    error = completed(job)["test:mean_squared_error"] ** 0.5
    assert error <= 0.95
    _, tested = split()
    some = tested.take(slice(0, 500))
    pairs = zip(some.users.tolist(), some.items.tolist(), strict=True)
    asked = "\n".join(json.dumps({"in0": [user], "in1": [item]}) for user, item in pairs)
    answers = [json.loads(line) for line in endpoint.ask(asked, JSONL, JSONL).splitlines()]
    squares = [
        (answer["scores"][0] - rating) ** 2
        for answer, rating in zip(answers, some.ratings.tolist(), strict=True)
    ]
    assert (sum(squares) / len(squares)) ** 0.5 <= 1.05


def test_vectors_and_refusals_come_from_the_endpoint(endpoint: Endpoint) -> None:
    body = json.dumps({"instances": [{"in0": [7]}, {"in1": [9]}, {"in0": [7], "in1": [9]}]})
    first, second, both = json.loads(endpoint.ask(body, "application/json"))["predictions"]
    assert len(first["embeddings"]) == len(second["embeddings"]) == 64
    assert len(both["scores"]) == 1
    assert 'Vocab id "943" is not less than vocab_size=943' in endpoint.refused(
        '{"instances": [{"in0": [943]}]}', "application/json"
    )


def test_what_is_liked_is_told_as_well_as_published(platform: LocalPlatform) -> None:
    job = fit(platform, NAME, channels(binary=True), SETTINGS)
    assert completed(job)["test:accuracy"] >= 0.7


def test_a_corrupt_line_fails_the_job_and_says_why(platform: LocalPlatform) -> None:
    good = b'{"label": 1, "in0": [1], "in1": [1]}\n'
    data = {"train": Data({"a.jsonl": good + b'{"label": 1, "in0": [1]}'}, JSONL)}
    job = fit(platform, NAME, data, SETTINGS)
    assert job["TrainingJobStatus"] == "Failed"
    wanted = "ClientError: train/a.jsonl, line 2: in1 must be a list of at least one token number"
    assert wanted in job["FailureReason"]
