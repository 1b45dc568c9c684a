import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms import kmeans, linear_learner
from algorithms.kmeans import Matrix, Stream
from algorithms.toolkit import peers
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.job import Job
from algorithms.toolkit.peers import PeerLost, Peers, meet
from algorithms.xgboost.artifact import read
from tests.unit.algorithms.conftest import digits

HOSTS = ("algo-1", "algo-2")


def _addresses() -> str:
    """Addresses that no other test listens on."""
    block = f"127.{secrets.randbelow(64) + 128}.{secrets.randbelow(256)}"
    return json.dumps({"algo-1": f"{block}.1", "algo-2": f"{block}.2"})


def _job(host: str, hosts: tuple[str, ...] = HOSTS) -> Job:
    return Job("kmeans", {}, {}, {}, {}, host, hosts, Path())


class Host:
    """A process that trains as one host of a job."""

    def __init__(
        self,
        base: Path,
        algorithm: str,
        host: str,
        told: str,
        table: Any,
        values: Mapping[str, Any],
    ) -> None:
        self.base = base
        config = base / "input" / "config"
        (base / "input" / "data" / "train").mkdir(parents=True)
        config.mkdir()
        np.savetxt(base / "input" / "data" / "train" / "a.csv", table, delimiter=",", fmt="%g")
        labels = 0 if algorithm == "kmeans" else 1
        channel = {"TrainingInputMode": "File", "ContentType": f"text/csv;label_size={labels}"}
        hosts = ["algo-1", *(["algo-2"] if told else [])]
        for name, document in {
            "hyperparameters": {key: str(value) for key, value in values.items()},
            "inputdataconfig": {"train": channel},
            "resourceconfig": {"current_host": host, "hosts": hosts},
        }.items():
            (config / f"{name}.json").write_text(json.dumps(document))
        self.log = (base / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "algorithms", "train"],
            env={
                **os.environ,
                "ALGORITHM_NAME": algorithm,
                "SAGEMAKER_BASE_DIR": str(base),
                "OMP_NUM_THREADS": "1",
                # What a host has said is waited for, and not what fills a buffer.
                "PYTHONUNBUFFERED": "1",
                **({"SAGEMAKER_HOST_ADDRESSES": told} if told else {}),
            },
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def said(self) -> str:
        return (self.base / "log").read_text()

    def failure(self) -> str:
        path = self.base / "output" / "failure"
        return path.read_text() if path.exists() else ""


@contextmanager
def _started(
    folder: Path, algorithm: str, tables: list[Any], **values: Any
) -> Iterator[list[Host]]:
    told = _addresses() if len(tables) > 1 else ""
    found = [
        Host(folder / host, algorithm, host, told, table, values)
        for host, table in zip(HOSTS, tables, strict=False)
    ]
    try:
        yield found
    finally:
        for host in found:
            host.process.kill()
            host.process.wait()
            host.log.close()


def _trained(folder: Path, algorithm: str, tables: list[Any], **values: Any) -> list[Host]:
    with _started(folder, algorithm, tables, **values) as hosts:
        for host in hosts:
            assert host.process.wait(120) == 0, host.said()
    return hosts


def _until_said(host: Host, text: str) -> None:
    end = time.monotonic() + 60
    while text not in host.said():
        assert time.monotonic() < end and host.process.poll() is None, host.said()
        time.sleep(0.02)


def _digits(*, labelled: bool) -> Any:
    features, labels = digits()
    return np.column_stack([labels, features]) if labelled else features


def test_hosts_with_parts_of_the_points_find_the_centers_of_one_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAGEMAKER_HOST_ADDRESSES", _addresses())
    points = np.random.default_rng(3).normal(size=(400, 5))
    steps = points.reshape(4, 2, 50, 5)

    def followed(peers: Peers, parts: Any) -> tuple[Matrix, Matrix]:
        random = np.random.default_rng(0)
        stream = Stream(count=60, init_method="kmeans++", half_life=70, random=random, peers=peers)
        for part in parts:
            stream.update(part)
        return stream.centers, stream.weights

    found: dict[str, tuple[Matrix, Matrix]] = {}

    def host(name: str, number: int) -> None:
        with meet(_job(name)) as peers:
            found[name] = followed(peers, steps[:, number])

    threads = [
        threading.Thread(target=host, args=(name, number)) for number, name in enumerate(HOSTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    alone = followed(Peers("algo-1", ["algo-1"]), steps.reshape(4, 100, 5))
    for part in (0, 1):
        np.testing.assert_array_equal(found["algo-1"][part], found["algo-2"][part])
        np.testing.assert_allclose(found["algo-1"][part], alone[part], rtol=1e-9)


def test_kmeans_on_two_hosts_is_as_good_as_on_one(tmp_path: Path) -> None:
    points = _digits(labelled=False)
    settings = {"k": 10, "feature_dim": 64, "mini_batch_size": 250}
    half = len(points) // 2
    two = _trained(tmp_path / "two", "kmeans", [points[:half], points[half + 40 :]], **settings)
    (one,) = _trained(tmp_path / "one", "kmeans", [points], **settings)
    assert [*two[1].base.glob("model/*")] == []
    losses = []
    for host in (one, two[0]):
        centers = kmeans.load(host.base / "model").centers.astype(float)
        losses.append(kmeans.nearest(points, centers)[1].mean())
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    told = [line for line in two[1].said().splitlines() if "#quality_metric" in line]
    assert told and "host=algo-2" in told[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"predictor_type": "multiclass_classifier", "num_classes": 10, "num_models": 4},
        {"predictor_type": "regressor", "num_models": 4, "mini_batch_size": 50},
        {
            "predictor_type": "binary_classifier",
            "binary_classifier_model_selection_criteria": "f1",
            "num_models": 4,
        },
    ],
    ids=lambda settings: settings["predictor_type"],
)
def test_linear_learner_on_uneven_hosts_is_as_good_as_on_one(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    table = _digits(labelled=True)
    if settings["predictor_type"] == "binary_classifier":
        table[:, 0] = table[:, 0] == 8
    parts = [table[:500], table[500:]]
    two = _trained(tmp_path / "two", "linear-learner", parts, epochs=10, **settings)
    (one,) = _trained(tmp_path / "one", "linear-learner", [table], epochs=10, **settings)
    assert [*two[1].base.glob("model/*")] == []
    # The scores that are logged are those on the records of all hosts.
    told = [_scores(host.said()) for host in (one, *two)]
    assert told[1] == told[2]
    for name, (kind, value) in told[0].items():
        found = told[1][name][1]
        assert found <= 1.1 * value if kind == "loss" else found >= value - 0.02, name
    models = [linear_learner.load(host.base / "model") for host in (one, two[0])]
    scores = [model.scores(Table(table[:, 1:].astype(np.float32))) for model in models]
    assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.98


def _scores(log: str) -> dict[str, tuple[str, float]]:
    """What is logged of the train channel in the end, as losses and scores."""
    found = re.findall(r"#quality_metric: host=\S+, train (\S+) <(\w+)>=(\S+)", log)
    return {name: (kind, float(value)) for name, kind, value in found}


def test_xgboost_on_two_hosts_is_as_good_as_on_one(tmp_path: Path) -> None:
    table = _digits(labelled=True)
    settings = {"num_round": 12, "objective": "multi:softmax", "num_class": 10}
    half = len(table) // 2
    two = _trained(tmp_path / "two", "xgboost", [table[:half], table[half:]], **settings)
    (one,) = _trained(tmp_path / "one", "xgboost", [table], **settings)
    assert not (two[1].base / "model" / "xgboost-model").exists()
    last = []
    for host in (one, *two):
        (line,) = [line for line in host.said().splitlines() if line.startswith("[11]")]
        last.append(float(line.rpartition(":")[2]))
    # The collective measures over the records of all hosts.
    assert last[1] == last[2]
    assert last[1] == pytest.approx(last[0], rel=0.15)
    booster = read(two[0].base / "model" / "xgboost-model")
    assert booster.num_boosted_rounds() == 12


@pytest.mark.parametrize(
    ("algorithm", "settings", "begun"),
    [
        (
            "xgboost",
            {"num_round": 100000, "objective": "multi:softmax", "num_class": 10},
            "[1]",
        ),
        ("kmeans", {"k": 10, "feature_dim": 64, "mini_batch_size": 100, "epochs": 100000}, "#prog"),
        (
            "linear-learner",
            {"predictor_type": "regressor", "epochs": 100000, "early_stopping_patience": 100000},
            "#progress",
        ),
    ],
)
@pytest.mark.parametrize("dying", [0, 1])
def test_a_host_whose_peer_dies_ends_and_says_so(
    tmp_path: Path, algorithm: str, settings: dict[str, Any], begun: str, dying: int
) -> None:
    table = _digits(labelled=algorithm != "kmeans")
    with _started(tmp_path, algorithm, [table[:900], table[900:]], **settings) as hosts:
        for host in hosts:
            _until_said(host, begun)
        hosts[dying].process.send_signal(signal.SIGKILL)
        other = hosts[1 - dying]
        assert other.process.wait(60) != 0
        assert other.failure().startswith(
            f"AlgorithmError: The host {HOSTS[dying]} ended while {HOSTS[1 - dying]} ran"
        ), other.said()


def test_hosts_that_are_stopped_end_after_the_same_round(tmp_path: Path) -> None:
    table = _digits(labelled=True)
    settings = {
        "num_round": 100000,
        "objective": "multi:softmax",
        "num_class": 10,
        "save_model_on_termination": "true",
    }
    with _started(tmp_path, "xgboost", [table[:900], table[900:]], **settings) as hosts:
        for host in hosts:
            _until_said(host, "[1]")
        # One alone is told, as if the other's signal came a little later.
        hosts[1].process.terminate()
        assert [host.process.wait(60) for host in hosts] == [0, 0], hosts[0].said()
        rounds = [host.said().count("\ttrain-") for host in hosts]
        assert rounds[0] == rounds[1]
        booster = read(hosts[0].base / "model" / "xgboost-model")
        assert booster.num_boosted_rounds() == rounds[0]


def test_hosts_that_do_not_come_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_HOST_ADDRESSES", _addresses())
    monkeypatch.setattr(peers, "JOIN_SECONDS", 0.2)
    with pytest.raises(PeerLost, match="algo-2 did not come within"), meet(_job("algo-1")):
        pass
    with pytest.raises(PeerLost, match="algo-1 was not reached"), meet(_job("algo-2")):
        pass


def test_who_is_no_host_of_the_job_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _addresses()
    monkeypatch.setenv("SAGEMAKER_HOST_ADDRESSES", told)
    monkeypatch.setattr(peers, "JOIN_SECONDS", 3)
    ranks: list[int] = []

    def first() -> None:
        with meet(_job("algo-1")) as found:
            ranks.append(len(found.gather({})))

    thread = threading.Thread(target=first)
    thread.start()
    with pytest.raises(PeerLost), meet(_job("algo-3", (*HOSTS, "algo-3"))) as stranger:
        monkeypatch.setattr(peers, "GRACE_SECONDS", 0)
        stranger.gather({})
    with meet(_job("algo-2")) as second:
        second.gather({})
    thread.join(60)
    assert ranks == [2]


def test_hosts_are_counted_by_their_numbers() -> None:
    hosts = tuple(f"algo-{number}" for number in range(12, 0, -1))
    assert sorted(hosts, key=peers._order)[-3:] == ["algo-10", "algo-11", "algo-12"]
