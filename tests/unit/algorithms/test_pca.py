import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from algorithms.catalog import algorithm
from algorithms.pca import load
from algorithms.pca.model import FORMAT, MODEL_FILE, Model
from algorithms.pca.scatter import Scatter, from_sketch, principal
from algorithms.toolkit import arrays
from algorithms.toolkit.channels import share
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import pieces, recordio
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.invocations import Refusal, invoke
from algorithms.toolkit.job import Channel
from tests.unit.algorithms.conftest import JobFolder, csv, digits

NewJob = Callable[[str], JobFolder]
CSV, RECORDIO = "text/csv;label_size=0", "application/x-recordio-protobuf"
SETTINGS = {"feature_dim": 64, "num_components": 10, "mini_batch_size": 500}


def trained(new_job: NewJob, rows: Any, **settings: Any) -> JobFolder:
    job = new_job("pca")
    job.channel("train", CSV, {"a.csv": csv(rows)})
    assert job.train(**{**SETTINGS, **settings}) == 0, job.failure
    return job


def reference(rows: Any, count: int, *, centred: bool = True) -> tuple[Any, Any]:
    """The strongest components by SVD, ascending: their singular values and directions."""
    wide = rows.astype(float)
    _, values, vectors = np.linalg.svd(wide - wide.mean(axis=0) if centred else wide)
    return values[:count][::-1], vectors[:count][::-1].T


def same(model: Model, values: Any, vectors: Any) -> None:
    np.testing.assert_allclose(model.values, values, rtol=1e-5)
    signs = np.sign((model.vectors * vectors).sum(axis=0))
    np.testing.assert_allclose(model.vectors * signs, vectors, atol=1e-4)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("size", [1, 7, 500, 5000])
def test_regular_components_are_those_of_svd_whatever_the_batches(
    centred: bool, size: int, new_job: NewJob
) -> None:
    rows = digits()[0][:600]
    job = trained(new_job, rows, mini_batch_size=size, subtract_mean=str(centred).lower())
    model = load(job.model)
    same(model, *reference(rows, 10, centred=centred))
    assert (model.mean is not None) == centred
    if model.mean is not None:
        np.testing.assert_allclose(model.mean, rows.mean(axis=0), rtol=1e-5)


def test_a_mean_that_is_far_off_costs_no_precision(new_job: NewJob) -> None:
    rows = digits()[0][:600] + 4096
    same(load(trained(new_job, rows, mini_batch_size=50).model), *reference(rows, 10))


@pytest.mark.parametrize("centred", [True, False])
def test_randomized_components_keep_99_percent_of_the_spread_of_the_best(
    centred: bool, new_job: NewJob
) -> None:
    rows = digits()[0]
    settings = {"algorithm_mode": "randomized", "subtract_mean": str(centred).lower()}
    model = load(trained(new_job, rows, **settings).model)
    values, _ = reference(rows, 10, centred=centred)
    kept = (model.centred(rows) @ model.vectors) ** 2
    assert kept.sum() >= 0.99 * (values**2).sum()
    np.testing.assert_allclose(np.sqrt(kept.sum(axis=0)), model.values, rtol=0.02)
    np.testing.assert_allclose(model.vectors.T @ model.vectors, np.eye(10), atol=1e-6)
    assert (np.diff(model.values) >= 0).all()


def test_extra_components_make_the_sketch_more_exact(new_job: NewJob) -> None:
    rows = digits()[0]
    kept = []
    for extra in (0, -1, 54, 100):
        job = trained(new_job, rows, algorithm_mode="randomized", extra_components=extra)
        kept.append(float(np.square(load(job.model).values).sum()))
    exact = float(np.square(reference(rows, 10)[0]).sum())
    assert kept[0] < kept[1] < kept[2] * (1 - 1e-6)
    assert kept[2] == pytest.approx(exact) and kept[3] == pytest.approx(exact)


@pytest.mark.parametrize("mode", ["regular", "randomized"])
@pytest.mark.parametrize("dense", ["true", "false"])
def test_sparse_rows_give_what_dense_ones_give(mode: str, dense: str, new_job: NewJob) -> None:
    rows = digits()[0][:600]
    expected = load(trained(new_job, rows, algorithm_mode=mode).model)
    job = new_job("pca")
    job.channel("train", RECORDIO, {"a.pbr": recordio.write(Table(csr_matrix(rows)))})
    assert job.train(**SETTINGS, algorithm_mode=mode, force_dense=dense) == 0, job.failure
    same(load(job.model), expected.values, expected.vectors)


@pytest.mark.parametrize("mode", ["regular", "randomized"])
@pytest.mark.parametrize("kind", [CSV, RECORDIO])
def test_a_pipe_gives_the_model_of_the_file(
    mode: str, kind: str, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 10_000)
    rows = digits()[0][:600]
    body = csv(rows) if kind == CSV else recordio.write(Table(rows))
    file, pipe = new_job("pca"), None
    file.channel("train", kind, {"a": body})
    assert file.train(**SETTINGS, algorithm_mode=mode) == 0, file.failure
    pipe = new_job("pca")
    pipe.pipe("train", kind, body)
    assert pipe.train(**SETTINGS, algorithm_mode=mode) == 0, pipe.failure
    np.testing.assert_array_equal(load(pipe.model).vectors, load(file.model).vectors)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("sketched", [True, False])
def test_parts_merge_to_what_one_sees_of_all(centred: bool, sketched: bool) -> None:
    rows = digits()[0][:300].astype(float)
    random = np.random.default_rng(0).standard_normal((64, 20))
    directions = np.linalg.qr(random)[0] if sketched else None
    whole = Scatter(64, directions, centred=centred)
    whole.add(rows)
    merged = Scatter(64, directions, centred=centred)
    for part in (rows[:1], rows[1:200], rows[:0], rows[200:]):
        each = Scatter(64, directions, centred=centred)
        each.add(part)
        merged.merge(each.parts())
    np.testing.assert_allclose(merged.product, whole.product, atol=1e-7)
    wide = rows - rows.mean(axis=0) if centred else rows
    exact = wide.T @ wide
    expected = exact if directions is None else exact @ directions
    np.testing.assert_allclose(whole.product, expected, atol=1e-7)


def test_each_record_of_a_replicated_channel_is_one_hosts(tmp_path: Path) -> None:
    tables = [
        Table(np.arange(start, start + rows, dtype=np.float32)[:, None])
        for start, rows in ((0, 3), (3, 1), (4, 1), (5, 6))
    ]
    for sharded, expected in ((False, range(11)), (True, sorted([*range(11)] * 3))):
        channel = Channel("train", tmp_path, None, "File", sharded)
        taken = [
            value
            for rank in range(3)
            for table in share(channel, tables, rank, 3)
            for value in table.dense().ravel().tolist()
        ]
        assert sorted(taken) == list(expected)


def test_rows_without_spread_and_too_few_rows_still_give_components(new_job: NewJob) -> None:
    for mode in ("regular", "randomized"):
        job = trained(new_job, np.full((3, 64), 2.0), algorithm_mode=mode)
        model = load(job.model)
        np.testing.assert_allclose(model.values, 0, atol=1e-5)
        np.testing.assert_allclose(model.vectors.T @ model.vectors, np.eye(10), atol=1e-6)
        assert "only 3 records" in job.log
    scatter = np.diag([4.0, 9.0, 0.0])
    values, vectors = principal(scatter, 2)
    np.testing.assert_allclose(values, [2, 3])
    np.testing.assert_allclose(vectors, [[1, 0], [0, 1], [0, 0]], atol=1e-12)
    again, _ = from_sketch(scatter[:, :2], np.eye(3)[:, :2], 2)
    np.testing.assert_allclose(again, [2, 3], atol=1e-5)


def test_the_log_tells_progress_speed_and_what_the_components_keep_of_the_test_channel(
    new_job: NewJob,
) -> None:
    rows = digits()[0]
    job = new_job("pca")
    job.channel("train", CSV, {"a.csv": csv(rows[:1500])})
    job.channel("test", CSV, {"a.csv": csv(rows[1500:])})
    assert job.train(**SETTINGS) == 0, job.failure
    assert "#progress_metric: host=algo-1, completed 100 %" in job.log
    assert "#throughput_metric: host=algo-1, train throughput=" in job.log
    found = re.search(r"test explained variance ratio: (\S+)", job.log)
    assert found
    model = load(job.model)
    centred = model.centred(rows[1500:])
    ratio = ((centred @ model.vectors) ** 2).sum() / (centred**2).sum()
    assert float(found[1]) == pytest.approx(ratio, rel=1e-5)
    assert '"test reconstruction mse"' in job.log


def test_the_same_job_twice_gives_the_same_model(new_job: NewJob) -> None:
    for mode in ("regular", "randomized"):
        first, second = (
            load(trained(new_job, digits()[0][:300], algorithm_mode=mode).model) for _ in range(2)
        )
        np.testing.assert_array_equal(first.vectors, second.vectors)


@pytest.mark.parametrize(
    ("body", "settings", "message"),
    [
        (b"1,2,3\n0,x,2\n", {}, "train/a.csv, line 2"),
        (b"1,2,3\n0,nan,2\n", {}, "train/a.csv, line 2"),
        (b"1,2,3\n0,inf,2\n", {}, "train/a.csv"),
        (b"1,2\n0,1\n", {}, "feature_dim is 3, but train/a.csv, record 1 of channel train has 2"),
        (b"1,2,3\n", {"num_components": 4}, "num_components"),
        (b"1,2,3\n", {"num_components": 0}, "num_components"),
        (b"1,2,3\n", {"mini_batch_size": 0}, "mini_batch_size"),
        (b"1,2,3\n", {"extra_components": -2}, "extra_components"),
        (b"1,2,3\n", {"algorithm_mode": "quick"}, "algorithm_mode"),
        (b"1,2,3\n", {"subtract_mean": "perhaps"}, "subtract_mean"),
        (b"1,2,3\n", {"epochs": 1}, "epochs"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", str(value))[:30],
)
def test_says_what_is_wrong_and_where(
    body: bytes, settings: dict[str, Any], message: str, new_job: NewJob
) -> None:
    job = new_job("pca")
    job.channel("train", CSV, {"a.csv": body})
    required = {"num_components": 2, "feature_dim": 3, "mini_batch_size": 9}
    assert job.train(**{**required, **settings}) == 1, job.log
    assert job.failure.startswith("ClientError: ") and message in job.failure, job.failure


MODEL = Model(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]), np.array([1.0, 2.0]), np.ones(3))
RECORD = [0.0, 3.0, 1.0]
BODIES = {
    "short": ("application/json", b'{"instances":[{"features":[0,3,1]}]}'),
    "long": ("application/json", b'{"instances":[{"data":{"features":{"values":[0,3,1]}}}]}'),
    "sparse": (
        "application/json",
        b'{"instances":[{"data":{"features":{"keys":[1,2],"shape":[3],"values":[3,1]}}}]}',
    ),
    "lines": (
        "application/jsonlines",
        b'{"data":{"features":{"keys":[1,2],"shape":[3],"values":[3,1]}}}\n',
    ),
    "csv": ("text/csv", b"0,3,1\n"),
    "recordio": (RECORDIO, recordio.write(Table(np.array([RECORD], np.float32)))),
    "recordio sparse": (RECORDIO, recordio.write(Table(csr_matrix([RECORD], dtype=np.float32)))),
}


@pytest.mark.parametrize("form", BODIES)
def test_every_request_gets_every_answer_of_the_contract(form: str) -> None:
    kind, body = BODIES[form]
    expected = {"projection": [2.0, -1.0]}
    _, name, answer = invoke(MODEL, body, kind, None, batch=False)
    assert (name, json.loads(answer)) == ("application/json", {"projections": [expected]})
    _, _, line = invoke(MODEL, body, kind, "application/jsonlines", batch=False)
    assert json.loads(line) == expected
    _, _, text = invoke(MODEL, body, kind, "text/csv", batch=True)
    assert text == b"2.0,-1.0\n"
    _, _, written = invoke(MODEL, body, kind, RECORDIO, batch=False)
    (message,) = recordio.frames(written, "x")
    record = record_class().FromString(bytes(message))
    assert list(record.label["projection"].float32_tensor.values) == expected["projection"]


def test_a_record_of_another_width_is_refused() -> None:
    with pytest.raises(Refusal, match=r"wrong width: 2 values, the model takes 3") as refused:
        invoke(MODEL, b"0,2", "text/csv", None, batch=False)
    assert refused.value.status == 400


def test_artifacts_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").touch()
    with pytest.raises(CustomerError, match="MXNet file of AWS's own image"):
        load(tmp_path)
    good = {
        name: np.ones(shape, np.float32)
        for name, shape in {"v": (3, 2), "s": (2,), "mean": (1, 3)}.items()
    }
    wrong = {
        "v": np.ones((3, 3), np.float32),
        "s": np.full(2, np.nan, np.float32),
        "mean": np.ones((1, 2), np.float32),
    }
    for name, array in wrong.items():
        arrays.save(tmp_path / MODEL_FILE, FORMAT, 1, **{**good, name: array})
        with pytest.raises(CustomerError, match="holds no components"):
            load(tmp_path)
    arrays.save(tmp_path / MODEL_FILE, FORMAT, 2, **good)
    with pytest.raises(CustomerError, match="format version 2; this image reads up to 1"):
        load(tmp_path)


def test_every_hyperparameter_of_the_catalogue_is_shown_here() -> None:
    text = Path(__file__).read_text()
    assert [h.name for h in algorithm("pca").hyperparameters if h.name not in text] == []
