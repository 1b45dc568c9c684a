import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from algorithms.catalog import algorithm
from algorithms.randomcutforest import forest, scoring
from algorithms.randomcutforest import job as jobs
from algorithms.randomcutforest import model as module
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import pieces, recordio
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.invocations import Refusal, invoke
from algorithms.toolkit.peers import Peers
from algorithms.toolkit.records import Sample
from tests.unit.algorithms.conftest import JobFolder, csv

NewJob = Callable[[str], JobFolder]
CSV, RECORDIO = "text/csv", "application/x-recordio-protobuf"
SMALL = {"num_trees": 50, "num_samples_per_tree": 16, "feature_dim": 3}


def usual(rows: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32)


def planted() -> tuple[Any, Any]:
    """Rows of a test channel: 200 usual ones and four that are far away."""
    far = np.full((4, 3), 40, dtype=np.float32) * np.array([[1], [-1], [1], [-1]], np.float32)
    return np.concatenate([usual(200, 1), far]), np.repeat([0.0, 1.0], [200, 4]).astype(np.float32)


def samples(model_folder: Path) -> Any:
    return np.load(model_folder / module.MODEL_FILE)["samples"]


def trained(new_job: NewJob, rows: Any, **settings: Any) -> JobFolder:
    job = new_job("randomcutforest")
    job.channel("train", f"{CSV};label_size=0", {"a.csv": csv(rows)})
    assert job.train(**{**SMALL, **settings}) == 0, job.failure
    return job


def test_what_is_far_away_scores_above_everything_usual(new_job: NewJob) -> None:
    found = module.load(trained(new_job, usual(2000)).model)
    rows, labels = planted()
    scores = np.array([answer["score"] for answer in found.predict(Table(rows))])
    assert scores[labels == 1].min() > scores[labels == 0].max()


def test_every_metric_of_the_catalogue_is_found_in_the_log_by_its_expression(
    new_job: NewJob,
) -> None:
    rows, labels = planted()
    job = new_job("randomcutforest")
    job.channel("train", f"{CSV};label_size=0", {"a.csv": csv(usual(2000))})
    job.channel("test", f"{CSV};label_size=1", {"a.csv": csv(labels, rows)})
    assert job.train(**SMALL) == 0, job.failure
    found = {
        metric.name: float(match[1])
        for metric in algorithm("randomcutforest").metrics
        if (match := re.search(metric.regex, job.log))
    }
    assert found == {"test:accuracy": 1, "test:precision": 1, "test:recall": 1, "test:f1": 1}
    assert "test negative recall <score>=1.0" in job.log
    assert '"test f1": {"sum": 1.0' in job.log


@pytest.mark.parametrize(
    ("asked", "logged"),
    [
        ('["accuracy"]', {"accuracy"}),
        ('["precision_recall_fscore"]', {"precision", "recall", "f1"}),
        ("[]", set()),
    ],
)
def test_only_the_measures_asked_for_are_logged(
    asked: str, logged: set[str], new_job: NewJob
) -> None:
    rows, labels = planted()
    job = new_job("randomcutforest")
    job.channel("train", f"{CSV};label_size=0", {"a.csv": csv(usual(1000))})
    job.channel("test", f"{CSV};label_size=1", {"a.csv": csv(labels, rows)})
    assert job.train(**SMALL, eval_metrics=asked) == 0, job.failure
    assert set(re.findall(r"test (\w+) <score>", job.log)) == logged


def test_measures_follow_their_definitions() -> None:
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    found = np.array([1, 0, 0, 1, 0, 0, 0, 0], dtype=bool)
    assert scoring.measures(truth, found, ["accuracy", "precision_recall_fscore"]) == {
        "accuracy": pytest.approx(5 / 8),
        "precision": pytest.approx(1 / 2),
        "recall": pytest.approx(1 / 3),
        "f1": pytest.approx(2 / 5),
        "negative precision": pytest.approx(4 / 6),
        "negative recall": pytest.approx(4 / 5),
        "negative f1": pytest.approx(8 / 11),
    }
    none = np.zeros(3, dtype=bool)
    assert scoring.measures(none, none, ["precision_recall_fscore"])["f1"] == 0
    assert scoring.threshold(np.array([0.0, 2.0])) == 4


@pytest.mark.parametrize(
    ("records", "settings", "shape"),
    [
        (2000, {"num_trees": 50, "num_samples_per_tree": 16}, (50, 16, 3)),
        (2000, {"num_trees": 60, "num_samples_per_tree": 2}, (60, 2, 3)),
        (4032, {"num_trees": 50, "num_samples_per_tree": 512}, (50, 80, 3)),
    ],
)
def test_each_tree_has_rows_of_its_own_as_far_as_they_go_round(
    records: int, settings: dict[str, int], shape: tuple[int, ...], new_job: NewJob
) -> None:
    rows = usual(records)
    job = trained(new_job, rows, **settings)
    found = samples(job.model)
    assert found.shape == shape
    drawn = {tuple(row) for row in found.reshape(-1, 3).tolist()}
    assert len(drawn) == shape[0] * shape[1]
    assert drawn <= {tuple(row) for row in rows.tolist()}
    assert ("enough for 80 a tree" in job.log) == (shape[1] == 80)


def test_trees_of_two_rows_tell_an_outlier(new_job: NewJob) -> None:
    job = trained(new_job, usual(100), num_trees=50)
    inside, outside = module.load(job.model).predict(
        Table(np.array([[0, 0, 0], [99, 99, 99]], dtype=np.float32))
    )
    assert outside["score"] > inside["score"]


def test_rows_are_drawn_from_the_whole_of_the_channel(new_job: NewJob) -> None:
    rows = np.arange(30_000, dtype=np.float32).reshape(-1, 3)
    found = samples(trained(new_job, rows).model)[..., 0].ravel() / 3
    quarters = np.bincount((found // 2500).astype(int), minlength=4)
    assert quarters.min() > 150 and quarters.sum() == 800


def test_the_same_job_twice_gives_the_same_model_and_scores(new_job: NewJob) -> None:
    first, second = (trained(new_job, usual(2000)).model for _ in range(2))
    np.testing.assert_array_equal(samples(first), samples(second))
    rows, _ = planted()
    assert module.load(first).predict(Table(rows)) == module.load(second).predict(Table(rows))


def test_answering_changes_nothing_in_the_forest(new_job: NewJob) -> None:
    found = module.load(trained(new_job, usual(2000)).model)
    rows, _ = planted()
    before = found.predict(Table(rows))
    for _ in range(3):
        found.predict(Table(rows[::-1].copy()))
    one_by_one = [found.predict(Table(rows[at : at + 1]))[0] for at in range(len(rows))]
    assert before == found.predict(Table(rows)) == one_by_one


@pytest.mark.parametrize("kind", [CSV, RECORDIO, "sparse"])
def test_a_pipe_gives_the_model_that_files_give(
    kind: str, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 10_000)
    expected = samples(trained(new_job, usual(2000)).model)
    halves = np.split(usual(2000), 2)
    if kind == CSV:
        bodies = [csv(half) for half in halves]
    else:
        bodies = [
            recordio.write(Table(csr_matrix(half) if kind == "sparse" else half)) for half in halves
        ]
    rows, labels = planted()
    job = new_job("randomcutforest")
    job.pipe("train", f"{CSV};label_size=0" if kind == CSV else RECORDIO, *bodies)
    job.pipe("test", RECORDIO, recordio.write(Table(rows, labels)))
    assert job.train(**SMALL) == 0, job.failure
    np.testing.assert_array_equal(samples(job.model), expected)
    assert "test f1 <score>=1.0" in job.log


def test_no_more_of_a_channel_is_held_than_the_trees_can_need(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 10_000)
    held: list[int] = []

    class Watched(Sample):
        def add(self, *columns: Any) -> None:
            super().add(*columns)
            held.append(self._held)

    monkeypatch.setattr(jobs, "Sample", Watched)
    trained(new_job, usual(20_000))
    assert len(held) > 20 and max(held) <= 2 * 50 * 16


@pytest.mark.parametrize(
    ("settings", "body", "message"),
    [
        ({"feature_dim": 2}, b"1,2,3\n", "feature_dim is 2, but train/a.csv, record 1 of channel"),
        ({}, b"1,2,3\n" * 49, "num_trees is 50, but the train channel has only 49 records"),
        ({}, b"1,2,3\n" * 99, "a tree of fewer than 2 rows of its own scores every record alike"),
        (
            {"num_trees": 100},
            b"1,2,3\n" * 150,
            "give 200 records or more, or set num_trees to 75 or less",
        ),
        ({"num_samples_per_tree": 1}, b"1,2,3\n" * 200, "set it to 2 or more"),
        ({}, b"1,2,3\n4,x,6\n", "train/a.csv, line 2, column 2: 'x' is not a number"),
        ({}, b"1,2,3\n4,,6\n", "train/a.csv, line 2, column 2: empty"),
        ({}, b"1,2,3\n4,inf,6\n", "train/a.csv, line 2, column 2: inf is not a finite number"),
        ({"num_trees": 49}, b"1,2,3\n", "num_trees"),
        ({"num_trees": 1001}, b"1,2,3\n", "num_trees"),
        ({"num_samples_per_tree": 2049}, b"1,2,3\n", "num_samples_per_tree"),
        ({"mini_batch_size": 500}, b"1,2,3\n", "mini_batch_size"),
        ({"eval_metrics": '["auc"]'}, b"1,2,3\n", "eval_metrics"),
        ({"trees": 5}, b"1,2,3\n", "trees"),
    ],
)
def test_says_which_setting_and_data_do_not_fit(
    settings: dict[str, Any], body: bytes, message: str, new_job: NewJob
) -> None:
    job = new_job("randomcutforest")
    job.channel("train", CSV, {"a.csv": body})
    assert job.train(**{**SMALL, **settings}) == 1
    assert job.failure.startswith("ClientError: ")
    assert message in job.failure


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"0,1,2,3\n2,1,2,3\n", "test/b.csv, record 2, column 1: the label is 2; 1 (unusual) or 0"),
        (b"0,1,2\n", "feature_dim is 3, but test/b.csv, record 1 of channel test has 2"),
    ],
)
def test_a_test_channel_is_held_to_labels_and_width(
    body: bytes, message: str, new_job: NewJob
) -> None:
    job = new_job("randomcutforest")
    job.channel("train", CSV, {"a.csv": csv(usual(100))})
    job.channel("test", CSV, {"b.csv": body})
    assert job.train(**SMALL) == 1
    assert message in job.failure


def test_a_corrupt_record_is_named_with_its_place(new_job: NewJob) -> None:
    body = recordio.write(Table(usual(3)))
    job = new_job("randomcutforest")
    job.channel("train", RECORDIO, {"a.pbr": body[:-4]})
    assert job.train(**SMALL) == 1
    assert "train/a.pbr, record 3, byte " in job.failure
    assert "truncated" in job.failure


class Together:
    """Peers of one process, one a thread, who give one another what they bring."""

    def __init__(self, count: int) -> None:
        from threading import Barrier

        self.hosts = [f"algo-{number + 1}" for number in range(count)]
        self._parts: list[Any] = [None] * count
        self._barrier = Barrier(count)

    def peer(self, rank: int) -> Peers:
        peer = Peers(self.hosts[rank], self.hosts)

        def gather(arrays: Any) -> list[Any]:
            self._parts[rank] = dict(arrays)
            self._barrier.wait(timeout=30)
            found = list(self._parts)
            self._barrier.wait(timeout=30)
            return found

        peer.gather = gather  # type: ignore[method-assign]
        return peer


@pytest.mark.parametrize("sizes", [(1000, 1000), (1900, 100), (60, 60)])
def test_hosts_draw_alike_from_all_of_their_rows(sizes: tuple[int, int], new_job: NewJob) -> None:
    # The rows of the second host are shifted, so that they can be told apart.
    parts = [usual(sizes[0]), usual(sizes[1], 1) + 1000]
    together = Together(2)

    def found(rank: int) -> Any:
        job = new_job("randomcutforest")
        job.channel("train", f"{CSV};label_size=0", {"a.csv": csv(parts[rank])})
        values = json.dumps({name: str(value) for name, value in SMALL.items()})
        (job.base / "input" / "config" / "hyperparameters.json").write_text(values)
        from algorithms.toolkit.job import read_job

        return job.base, read_job("randomcutforest", job.base)

    ready = [found(rank) for rank in range(2)]
    with ThreadPoolExecutor(2) as pool:
        drawn = [
            *pool.map(lambda rank: jobs._samples(ready[rank][1], together.peer(rank)), range(2))
        ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    each = min(16, sum(sizes) // 50)
    assert drawn[0].shape == (50, each, 3)
    rows = drawn[0].reshape(-1, 3)
    assert len(np.unique(rows, axis=0)) == 50 * each
    share = float((rows[:, 0] > 500).mean())
    assert share == pytest.approx(sizes[1] / sum(sizes), abs=0.06)


def test_trees_of_several_hosts_score_as_those_of_one() -> None:
    rows = usual(320).reshape(10, 32, 3)
    whole = forest.Forest(rows)
    parts = [forest.Forest(rows[rank::2], range(rank, 10, 2)) for rank in range(2)]
    points, _ = planted()
    np.testing.assert_allclose(
        sum(part.totals(points) for part in parts) / 10, whole.scores(points)
    )


def test_each_tree_has_cuts_of_its_own() -> None:
    rows, (points, _) = usual(32)[None], planted()
    first, second = (forest.Forest(rows, [number]).totals(points) for number in (0, 1))
    assert (first != second).mean() > 0.9


@pytest.fixture(scope="module")
def model() -> module.Model:
    return module.Model(usual(800).reshape(50, 16, 3))


REQUESTS = {
    "csv": (CSV, b"0.1,0.2,0.3\n40,40,40\n"),
    "short": (
        "application/json",
        b'{"instances":[{"features":[0.1,0.2,0.3]},{"features":[40.0,40.0,40.0]}]}',
    ),
    "long": (
        "application/json",
        b'{"instances":[{"data":{"features":{"values":[0.1,0.2,0.3]}}},{"features":[40,40,40]}]}',
    ),
    "sparse": (
        "application/json",
        b'{"instances":[{"data":{"features":{"keys":[0,1,2],"shape":[3],"values":[0.1,0.2,0.3]}}},'
        b'{"features":[40,40,40]}]}',
    ),
    "lines": (
        "application/jsonlines",
        b'{"features":[0.1,0.2,0.3]}\n{"data":{"features":{"values":[40,40,40]}}}\n',
    ),
    "recordio": (
        RECORDIO,
        recordio.write(Table(np.array([[0.1, 0.2, 0.3], [40] * 3], np.float32))),
    ),
    "sparse recordio": (
        RECORDIO,
        recordio.write(Table(csr_matrix(np.array([[0.1, 0.2, 0.3], [40] * 3], np.float32)))),
    ),
}


@pytest.mark.parametrize("form", REQUESTS)
def test_every_form_of_request_is_answered_alike(form: str, model: module.Model) -> None:
    expected = model.predict(Table(np.array([[0.1, 0.2, 0.3], [40] * 3], np.float32)))
    kind, body = REQUESTS[form]
    status, answered, answer = invoke(model, body, kind, None, batch=False)
    assert (status, answered) == (200, "application/json")
    assert json.loads(answer) == {"scores": [*expected]}
    assert expected[1]["score"] > 1.5 > expected[0]["score"] > 0


def test_every_form_of_answer_says_the_same(model: module.Model) -> None:
    (expected,) = model.predict(Table(np.array([[1, 2, 3]], np.float32)))

    def asked(accept: str, batch: bool = False) -> bytes:
        return invoke(model, b"1,2,3", CSV, accept, batch=batch)[2]

    assert json.loads(asked("application/json")) == {"scores": [expected]}
    assert (
        asked("application/jsonlines")
        == json.dumps(expected, separators=(",", ":")).encode() + b"\n"
    )
    assert float(asked("text/csv")) == expected["score"]
    assert asked("text/csv", batch=True).endswith(b"\n")
    (message,) = recordio.frames(asked(RECORDIO), "answer")
    record = record_class()()
    record.ParseFromString(bytes(message))
    assert record.label["score"].float32_tensor.values == pytest.approx([expected["score"]])


@pytest.mark.parametrize(
    ("kind", "body", "status", "message"),
    [
        (CSV, b"1,2\n", 400, "wrong width: 2 values, the model takes 3"),
        (CSV, b"1,2,x\n", 400, "column 3: 'x' is not a number"),
        ("application/json", b"{}", 400, '{"instances": [...]}'),
        ("application/json", b'{"instances":[{"features":[1,2,1e999]}]}', 400, "payload"),
        (RECORDIO, b"garbage!", 400, "not RecordIO"),
        ("text/plain", b"1,2,3", 415, "Content type 'text/plain' is not supported"),
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(
    kind: str, body: bytes, status: int, message: str, model: module.Model
) -> None:
    with pytest.raises(Refusal, match=re.escape(message)) as refused:
        invoke(model, body, kind, None, batch=False)
    assert refused.value.status == status


def test_the_largest_numbers_of_32_bits_score_as_what_is_very_far(model: module.Model) -> None:
    largest = float(np.finfo(np.float32).max)
    table = Table(np.array([[largest, -largest, 0], [1e30, -1e30, 0]], np.float32))
    near, far = (answer["score"] for answer in model.predict(table))
    assert near == pytest.approx(far) and near > 2
    extreme = module.Model(np.array([[[largest] * 3, [-largest] * 3]] * 2, np.float32))
    assert all(np.isfinite(a["score"]) for a in extreme.predict(Table(usual(2))))


def test_rows_that_are_all_the_same_make_a_forest() -> None:
    model = module.Model(np.ones((50, 16, 3), np.float32))
    same, other = model.predict(Table(np.array([[1, 1, 1], [2, 2, 2]], np.float32)))
    assert other["score"] > same["score"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"format": "other", "format_version": 1}, "holds other"),
        ({"format": module.FORMAT, "format_version": 2}, "format version 2; this image reads up"),
        ({"format": module.FORMAT, "format_version": 1}, "holds no finite rows"),
        (
            {
                "format": module.FORMAT,
                "format_version": 1,
                "samples": np.full((2, 2, 2), np.nan, np.float32),
            },
            "holds no finite rows",
        ),
        (
            {"format": module.FORMAT, "format_version": 1, "samples": np.zeros((2, 2, 2))},
            "holds no finite rows",
        ),
        (
            {
                "format": module.FORMAT,
                "format_version": 1,
                "samples": np.array([print], dtype=object),
            },
            "is not a Random Cut Forest model",
        ),
    ],
    ids=["foreign", "newer", "empty", "nan", "wide", "object"],
)
def test_an_artifact_that_is_none_of_ours_is_refused(
    parts: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with (tmp_path / module.MODEL_FILE).open("wb") as file:
        np.savez(file, **parts)
    with pytest.raises(CustomerError, match=message):
        module.load(tmp_path)


def test_the_file_of_awss_own_image_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").touch()
    with pytest.raises(CustomerError, match="MXNet file of AWS's own image"):
        module.load(tmp_path)
