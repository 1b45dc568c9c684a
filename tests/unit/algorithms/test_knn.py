import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from algorithms.catalog import algorithm
from algorithms.knn import load, reduction
from algorithms.knn.model import FORMAT, MODEL_FILE
from algorithms.toolkit import arrays
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import pieces, recordio
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.invocations import Refusal, invoke
from tests.unit.algorithms.conftest import JobFolder, csv, digits

NewJob = Callable[[str], JobFolder]
CSV, RECORDIO = "text/csv;label_size=1", "application/x-recordio-protobuf"
SETTINGS = {"feature_dim": 64, "k": 5, "predictor_type": "classifier", "sample_size": 5000}


def trained(new_job: NewJob, **settings: Any) -> JobFolder:
    rows, labels = digits()
    job = new_job("knn")
    job.channel("train", CSV, {"a.csv": csv(labels[:1500], rows[:1500])})
    job.channel("test", CSV, {"a.csv": csv(labels[1500:], rows[1500:])})
    assert job.train(**{**SETTINGS, **settings}) == 0, job.failure
    return job


def score(job: JobFolder, name: str = "accuracy") -> float:
    found = re.search(rf"#quality_metric: host=algo-1, test {name} <\w+>=(\S+)", job.log)
    assert found
    return float(found[1])


def brute(metric: str) -> Any:
    """The distances of the test rows to all train rows."""
    rows = digits()[0].astype(float)
    one, two = rows[1500:], rows[:1500]
    if metric == "COSINE":
        one, two = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (one, two))
        return 1 - one @ two.T
    if metric == "INNER_PRODUCT":
        return -(one @ two.T)
    return ((one[:, None] - two) ** 2).sum(axis=2)


@pytest.mark.parametrize("metric", ["L2", "COSINE", "INNER_PRODUCT"])
def test_flat_neighbours_are_those_of_brute_force(metric: str, new_job: NewJob) -> None:
    model = load(trained(new_job, index_metric=metric).model)
    distances, _ = model.neighbours(digits()[0][1500:])
    expected = np.sort(brute(metric), axis=1)[:, :5]
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-5)


def test_votes_and_means_are_those_of_scikit_learn(new_job: NewJob) -> None:
    rows, labels = digits()
    job = trained(new_job)
    reference = KNeighborsClassifier(5).fit(rows[:1500], labels[:1500])
    assert score(job) == pytest.approx(reference.score(rows[1500:], labels[1500:]), abs=0.007)
    job = trained(new_job, predictor_type="regressor")
    found = KNeighborsRegressor(5).fit(rows[:1500], labels[:1500]).predict(rows[1500:])
    assert score(job, "mse") == pytest.approx(((found - labels[1500:]) ** 2).mean(), rel=0.02)
    model = load(job.model)
    assert [a["predicted_label"] for a in model.predict(Table(rows[1500:1600]))] == pytest.approx(
        found[:100], abs=1
    )


def test_of_as_many_votes_the_nearest_wins(new_job: NewJob) -> None:
    model = load(trained(new_job).model)
    labels = np.array([[3, 1, 1, 3, 2], [2, 1, 0, 1, 0], [4, 5, 5, 6, 5]], np.float32)
    assert model.decided(labels).tolist() == [3, 1, 5]


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"index_type": "faiss.IVFFlat"}, 0.9),
        ({"index_type": "faiss.IVFFlat", "index_metric": "COSINE"}, 0.9),
        ({"index_type": "faiss.IVFFlat", "faiss_index_ivf_nlists": 10}, 0.95),
        ({"index_type": "faiss.IVFFlat", "_faiss_index_nprobe": 39}, 0.99),
        ({"index_type": "faiss.IVFPQ", "faiss_index_pq_m": 32}, 0.8),
        ({"index_type": "faiss.IVFPQ"}, 0.5),
        ({"index_type": "faiss.IVFPQ", "faiss_index_pq_m": 12}, 0.4),
    ],
    ids=str,
)
def test_inverted_files_find_most_neighbours(
    settings: dict[str, Any], least: float, new_job: NewJob
) -> None:
    job = trained(new_job, **settings)
    model = load(job.model)
    rows = digits()[0][1500:]
    expected = np.argsort(brute(settings.get("index_metric", "L2")), axis=1)[:, :5]
    from algorithms.knn import index as indexes
    from algorithms.knn.model import prepared

    ready = prepared(rows, model.settings["index_metric"], model.parts, model.index.d)
    _, found = indexes.search(model.index, ready, 5)
    recall = np.mean([len({*a} & {*b}) / 5 for a, b in zip(found, expected, strict=True)])
    assert recall >= least
    assert score(job) >= 0.94


@pytest.mark.parametrize("kind", ["sign", "fjlt"])
@pytest.mark.parametrize("index", ["faiss.Flat", "faiss.IVFPQ"])
def test_reduced_rows_keep_most_of_the_accuracy(kind: str, index: str, new_job: NewJob) -> None:
    settings = {"dimension_reduction_type": kind, "dimension_reduction_target": 33}
    settings |= {"index_type": index, "faiss_index_pq_m": 4}
    job = trained(new_job, **settings)
    assert score(job) >= (0.9 if index == "faiss.Flat" else 0.7)
    # With parts of a vector, the target is raised to a multiple of them.
    assert load(job.model).index.d == (33 if index == "faiss.Flat" else 36)
    rows = np.random.default_rng(1).normal(size=(100, 500)).astype(np.float32)
    found = reduction.apply(rows, reduction.drawn(kind, 500, 200))
    ratio = (found**2).sum(axis=1) / (rows**2).sum(axis=1)
    assert ratio.mean() == pytest.approx(1, abs=0.05) and ratio.std() < 0.2


def test_no_more_rows_than_sample_size_are_indexed(new_job: NewJob) -> None:
    small, whole = trained(new_job, sample_size=100), trained(new_job)
    assert load(small.model).parts["vectors"].shape == (100, 64)
    assert load(whole.model).parts["vectors"].shape == (1500, 64)
    assert score(small) < score(whole)


def test_cells_that_hold_too_few_are_not_all_that_is_looked_into(new_job: NewJob) -> None:
    job = trained(new_job, index_type="faiss.IVFFlat", faiss_index_ivf_nlists=400, k=100)
    distances, labels = load(job.model).neighbours(digits()[0][1500:1550])
    assert np.isfinite(distances).all() and (distances < 1e30).all() and labels.shape == (50, 100)


@pytest.mark.parametrize("kind", [CSV, RECORDIO])
def test_a_pipe_and_other_batches_give_the_model_of_the_file(
    kind: str, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 10_000)
    rows, labels = digits()
    body = csv(labels, rows) if kind == CSV else recordio.write(Table(rows, labels))
    found = []
    for mode, size in (("File", 5000), ("File", 100), ("Pipe", 500)):
        job = new_job("knn")
        if mode == "Pipe":
            job.pipe("train", kind, body)
        else:
            job.channel("train", kind, {"a": body})
        assert job.train(**{**SETTINGS, "sample_size": 300, "mini_batch_size": size}) == 0
        found.append(load(job.model).parts)
    for each in found[1:]:
        np.testing.assert_array_equal(each["vectors"], found[0]["vectors"])
        np.testing.assert_array_equal(each["labels"], found[0]["labels"])


@pytest.mark.parametrize("index", ["faiss.Flat", "faiss.IVFFlat", "faiss.IVFPQ"])
def test_the_same_job_twice_gives_the_same_model(index: str, new_job: NewJob) -> None:
    first, second = (load(trained(new_job, index_type=index).model).parts for _ in range(2))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_settings_without_effect_are_named_in_the_log(new_job: NewJob) -> None:
    job = trained(
        new_job, faiss_index_ivf_nlists=3, faiss_index_pq_m=4, dimension_reduction_target=3
    )
    for name in ("faiss_index_ivf_nlists", "faiss_index_pq_m", "dimension_reduction_target"):
        assert f"{name} has no effect" in job.log


@pytest.mark.parametrize(
    ("body", "settings", "message"),
    [
        (b"0,2,3\n1,x,2\n", {}, "train/a.csv, line 2"),
        (b"0,2,3\n1,nan,2\n", {}, "train/a.csv, line 2"),
        (b"0,2,3,4\n", {}, "feature_dim is 2, but train/a.csv, record 1 of channel train has 3"),
        (b"0,2,3\n", {"k": 2}, "k is 2, but only 1 records"),
        (b"0,2,3\n", {"k": 0}, "k"),
        (b"0,2,3\n", {"predictor_type": "ranker"}, "predictor_type"),
        (b"0,2,3\n", {"dimension_reduction_type": "sign"}, "dimension_reduction_target"),
        (
            b"0,2,3\n",
            {"index_type": "faiss.IVFPQ", "index_metric": "COSINE"},
            "index_metric",
        ),
        (
            b"0,2,3\n",
            {"index_type": "faiss.IVFFlat", "faiss_index_ivf_nlists": 2},
            "faiss_index_ivf_nlists is 2, but only 1 records",
        ),
        (b"0,2,3\n", {"faiss_index_pq_m": 5}, "faiss_index_pq_m"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", str(value))[:30],
)
def test_says_what_is_wrong_and_where(
    body: bytes, settings: dict[str, Any], message: str, new_job: NewJob
) -> None:
    job = new_job("knn")
    job.channel("train", CSV, {"a.csv": body})
    assert job.train(**{**SETTINGS, "feature_dim": 2, "k": 1, **settings}) == 1, job.log
    assert job.failure.startswith("ClientError: ") and message in job.failure, job.failure


@pytest.fixture
def small(new_job: NewJob) -> Any:
    job = new_job("knn")
    job.channel("train", CSV, {"a.csv": b"0,0,0\n1,3,0\n0,0,4\n"})
    values = {"feature_dim": 2, "k": 3, "predictor_type": "classifier", "sample_size": 9}
    assert job.train(**values) == 0, job.failure
    return load(job.model)


BODIES = {
    "short": ("application/json", b'{"instances":[{"features":[0,0]}]}'),
    "long": ("application/json", b'{"instances":[{"data":{"features":{"values":[0,0]}}}]}'),
    "lines": ("application/jsonlines", b'{"features":[0,0]}\n'),
    "csv": ("text/csv", b"0,0\n"),
    "recordio": (RECORDIO, recordio.write(Table(np.zeros((1, 2), np.float32)))),
    "sparse": (RECORDIO, recordio.write(Table(csr_matrix((1, 2), dtype=np.float32)))),
}


@pytest.mark.parametrize("form", BODIES)
@pytest.mark.parametrize("verbose", [False, True])
def test_every_request_gets_every_answer_of_the_contract(
    form: str, verbose: bool, small: Any
) -> None:
    kind, body = BODIES[form]
    expected: dict[str, Any] = {"predicted_label": 0.0}
    more = "; verbose=true" if verbose else ""
    if verbose:
        expected |= {"distances": [0.0, 9.0, 16.0], "labels": [0.0, 1.0, 0.0]}
    _, name, answer = invoke(small, body, kind, f"application/json{more}", batch=False)
    assert (name, json.loads(answer)) == ("application/json", {"predictions": [expected]})
    _, _, line = invoke(small, body, kind, f"application/jsonlines{more}", batch=False)
    assert json.loads(line) == expected
    _, _, text = invoke(small, body, kind, f"text/csv{more}", batch=True)
    assert text == (b"0.0,0.0,9.0,16.0,0.0,1.0,0.0\n" if verbose else b"0.0\n")
    _, _, written = invoke(small, body, kind, f"{RECORDIO}{more}", batch=False)
    (message,) = recordio.frames(written, "x")
    record = record_class().FromString(bytes(message))
    told = {key: list(value.float32_tensor.values) for key, value in record.label.items()}
    assert told == {**expected, "predicted_label": [0.0]}


def test_wrong_requests_are_refused(small: Any) -> None:
    for body, accept, sentence in (
        (b"0,2,3", None, "wrong width: 3 values, the model takes 2"),
        (b"0,2", "application/json;verbose=very", "verbose=very; true and false are allowed"),
    ):
        with pytest.raises(Refusal, match=sentence) as refused:
            invoke(small, body, "text/csv", accept, batch=False)
        assert refused.value.status == 400


def test_artifacts_that_are_none_are_refused(tmp_path: Path, new_job: NewJob) -> None:
    (tmp_path / "model_algo-1").touch()
    with pytest.raises(CustomerError, match="MXNet file of AWS's own image"):
        load(tmp_path)
    good = dict(np.load(trained(new_job, index_type="faiss.IVFPQ").model / MODEL_FILE))
    good = {key: each for key, each in good.items() if not key.startswith("format")}
    for name, wrong in {
        "labels": good["labels"][1:],
        "codes": good["codes"][:, 1:],
        "lists": good["lists"] + 1000,
        "parts": good["parts"][:, 1:],
        "centroids": good["centroids"] * np.float32(np.nan),
        "settings": np.array("{}"),
    }.items():
        arrays.save(tmp_path / MODEL_FILE, FORMAT, 1, **{**good, name: wrong})
        with pytest.raises(CustomerError, match="holds no index of k-NN"):
            load(tmp_path)
    arrays.save(tmp_path / MODEL_FILE, FORMAT, 2, **good)
    with pytest.raises(CustomerError, match="format version 2; this image reads up to 1"):
        load(tmp_path)


def test_every_hyperparameter_of_the_catalogue_is_shown_here() -> None:
    text = Path(__file__).read_text()
    assert [h.name for h in algorithm("knn").hyperparameters if h.name not in text] == []
