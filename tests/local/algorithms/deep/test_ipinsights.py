"""IP Insights on simulated logins, through jobs and an endpoint of the platform."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from datasets.logins import Logins, World, dotted, unseen
from tests.local.algorithms.support import Data, Endpoint, completed, fit, served
from tests.platform import LocalPlatform

NAME, CSV = "ipinsights", "text/csv"
SETTINGS = {
    "num_entity_vectors": 1000,
    "vector_dim": 16,
    "mini_batch_size": 1000,
    "learning_rate": 0.01,
    "epochs": 5,
}


@cache
def logins() -> tuple[Logins, Logins, Logins]:
    """Logins to learn from, later ones from addresses not met before, and those of intruders."""
    world = World(users=500, networks=100)
    known = world.logins(15_000)
    return known, unseen(world.logins(3000), known), world.intrusions(1500)


def channels() -> dict[str, Data]:
    known, later, _ = logins()
    halves = (known.take(slice(0, 7500)), known.take(slice(7500, None)))
    files = {f"{number}.csv": half.csv() for number, half in enumerate(halves)}
    return {
        "train": Data(files, CSV, distribution="ShardedByS3Key"),
        "validation": Data({"later.csv": later.csv()}, CSV),
    }


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    return fit(platform, NAME, channels(), SETTINGS)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def scores(endpoint: Endpoint, found: Logins) -> Any:
    answer = json.loads(endpoint.ask(found.csv(), CSV))
    return np.array([one["dot_product"] for one in answer["predictions"]])


def test_unseen_pairs_of_users_are_told_from_intruders(endpoint: Endpoint) -> None:
    _, later, intruders = logins()
    truth = np.repeat([1, 0], [len(later), len(intruders)])
    found = np.concatenate([scores(endpoint, later), scores(endpoint, intruders)])
    assert roc_auc_score(truth, found) >= 0.95


def test_the_usual_addresses_of_a_user_score_above_foreign_ones(endpoint: Endpoint) -> None:
    known, _, intruders = logins()
    for user in range(10):
        usual = scores(endpoint, known.take(known.users == user))
        addresses = intruders.addresses[:200]
        foreign = scores(endpoint, Logins(np.full(len(addresses), user), addresses))
        assert np.median(usual) > np.quantile(foreign, 0.95)


def test_two_hosts_learn_what_one_does(platform: LocalPlatform, job: dict[str, Any]) -> None:
    one = completed(job)
    both = completed(fit(platform, NAME, channels(), SETTINGS, hosts=2))
    assert one.keys() == both.keys()
    area = "validation:discriminator_auc"
    assert both[area] >= one[area] - 0.01
    loss = "train:binary_classification_cross_entropy:epoch"
    assert both[loss] == pytest.approx(one[loss], rel=0.1)


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    known = logins()[0]
    values = [f"user_{known.users[0]}", dotted(int(known.addresses[0]))]
    expected = {"dot_product": float(scores(endpoint, known.take(slice(0, 1)))[0])}
    for features in ({"features": values}, {"data": {"features": {"values": values}}}):
        body = json.dumps({"instances": [features, features]})
        answer = json.loads(endpoint.ask(body, "application/json", "application/json"))
        assert answer == {"predictions": [pytest.approx(expected)] * 2}
        lines = endpoint.ask(json.dumps(features), "application/jsonlines", "application/jsonlines")
        assert json.loads(lines) == pytest.approx(expected)
    for accept in ("application/json;verbose=True", "application/jsonlines; verbose=True"):
        (line,) = endpoint.ask(", ".join(values), CSV, accept).splitlines()
        found = json.loads(line)
        found = found["predictions"][0] if "predictions" in found else found
        product = np.dot(found["entity_embedding"], found["ip_embedding"])
        assert len(found["ip_embedding"]) == 16
        assert product == pytest.approx(found["dot_product"], rel=1e-4)
    assert endpoint.refused("user_1,::1", CSV).startswith(
        "400 Unable to evaluate payload provided: payload, line 1, column 2: '::1' is not an IPv4"
    )


def test_a_corrupt_line_fails_the_job_with_its_place(platform: LocalPlatform) -> None:
    body = logins()[0].take(slice(0, 99)).csv()
    corrupt = fit(platform, NAME, {"train": Data({"a.csv": body + b"user,10.0.0"}, CSV)}, SETTINGS)
    assert corrupt["FailureReason"].startswith(
        "ClientError: train/a.csv, line 100, column 2: '10.0.0' is not an IPv4 address"
    )
