import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans

from algorithms import kmeans as module
from algorithms.catalog import algorithm
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.peers import Peers
from tests.unit.algorithms.conftest import JobFolder, csv, digits

NewJob = Callable[[str], JobFolder]
REQUIRED = {"k": 10, "feature_dim": 64}


def job_on(new_job: NewJob, features: Any) -> JobFolder:
    job = new_job("kmeans")
    job.channel("train", "text/csv;label_size=0", {"a.csv": csv(features)})
    return job


def msd(log: str, channel: str = "train") -> float:
    found = re.search(rf"#quality_metric: host=algo-1, {channel} msd <loss>=(\S+)", log)
    assert found
    return float(found[1])


@pytest.fixture(scope="module")
def best() -> float:
    features, _ = digits()
    fitted = KMeans(n_clusters=10, n_init=10, random_state=0).fit(features)
    return float(fitted.inertia_) / len(features)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"init_method": "kmeans++"},
        {"local_lloyd_init_method": "random"},
        {"mini_batch_size": 300, "epochs": 3},
        {"mini_batch_size": 50},
        {"mini_batch_size": 300, "half_life_time_size": 2000, "epochs": 3},
    ],
    ids=str,
)
def test_is_within_two_percent_of_scikit_learn_on_handwriting(
    settings: dict[str, object], best: float, new_job: NewJob
) -> None:
    job = job_on(new_job, digits()[0])
    assert job.train(**REQUIRED, **settings) == 0, job.failure
    assert msd(job.log) <= 1.02 * best


def test_the_logged_measures_are_those_of_the_artifact(new_job: NewJob) -> None:
    features, _ = digits()
    job = job_on(new_job, features[:1000])
    job.channel("test", "text/csv;label_size=0", {"a.csv": csv(features[1000:])})
    assert job.train(**REQUIRED, eval_metrics='["msd","ssd"]') == 0, job.failure
    centers = module.load(job.model).centers
    squared = ((features[1000:, None].astype(float) - centers) ** 2).sum(axis=2).min(axis=1)
    assert msd(job.log, "test") == pytest.approx(squared.mean())
    assert f"test ssd <loss>={squared.sum():.4f}"[:20] in job.log


def test_every_metric_of_the_catalogue_is_found_in_the_log_by_its_expression(
    new_job: NewJob,
) -> None:
    features, _ = digits()
    job = job_on(new_job, features)
    job.channel("test", "text/csv;label_size=0", {"a.csv": csv(features)})
    assert job.train(**REQUIRED, eval_metrics='["msd","ssd"]') == 0
    for metric in algorithm("kmeans").metrics:
        assert re.search(metric.regex, job.log), metric.name


@pytest.mark.parametrize("sparse", [False, True])
def test_recordio_gives_the_model_that_csv_gives(sparse: bool, new_job: NewJob) -> None:
    features, _ = digits()
    job = job_on(new_job, features)
    assert job.train(**REQUIRED) == 0
    expected = module.load(job.model).centers
    table = Table(csr_matrix(features) if sparse else features)
    job.channel("train", "application/x-recordio-protobuf", {"a.csv": recordio.write(table)})
    assert job.train(**REQUIRED) == 0, job.failure
    np.testing.assert_array_equal(module.load(job.model).centers, expected)


def test_more_is_learnt_from_recent_points_with_a_half_life() -> None:
    stream = module.Stream(
        count=1,
        init_method="random",
        half_life=10,
        random=np.random.default_rng(0),
        peers=Peers("algo-1", ["algo-1"]),
    )
    stream.update(np.zeros((10, 1)))
    stream.update(np.full((10, 1), 3.0))
    np.testing.assert_allclose(stream.centers, [[2.0]])
    np.testing.assert_allclose(stream.weights, [15.0])


def test_without_a_half_life_a_center_is_the_mean_of_all_its_points() -> None:
    stream = module.Stream(
        count=1,
        init_method="kmeans++",
        half_life=0,
        random=np.random.default_rng(0),
        peers=Peers("algo-1", ["algo-1"]),
    )
    for value in (1.0, 2.0, 6.0):
        stream.update(np.full((5, 1), value))
    np.testing.assert_allclose(stream.centers, [[3.0]])


@pytest.mark.parametrize("method", ["random", "kmeans++"])
def test_repeated_points_still_give_k_centers(method: str, new_job: NewJob) -> None:
    job = job_on(new_job, np.repeat([[1.0, 2.0], [3.0, 4.0]], 10, axis=0))
    assert job.train(k=3, feature_dim=2, init_method=method, local_lloyd_init_method=method) == 0
    centers = module.load(job.model).centers
    assert centers.shape == (3, 2)
    assert msd(job.log) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("settings", "body", "message"),
    [
        ({"k": 2, "feature_dim": 3}, b"1,2\n3,4\n", "feature_dim is 3, but train/a.csv, record 1"),
        ({"k": 3, "feature_dim": 2}, b"1,2\n3,4\n", "only 2 records"),
        ({"k": 1, "feature_dim": 2}, b"1,nan\n3,4\n", "line 1, column 2: NaN"),
        ({"k": 1, "feature_dim": 2}, b"1,\n3,4\n", "line 1, column 2: empty"),
        ({"k": 0, "feature_dim": 2}, b"1,2\n3,4\n", "k "),
        ({"feature_dim": 2}, b"1,2\n3,4\n", "k "),
    ],
)
def test_says_which_setting_and_data_do_not_fit(
    settings: dict[str, int], body: bytes, message: str, new_job: NewJob
) -> None:
    job = new_job("kmeans")
    job.channel("train", "text/csv", {"a.csv": body})
    assert job.train(**settings) == 1
    assert job.failure.startswith("ClientError: ")
    assert message in job.failure


def test_nan_in_recordio_is_named_with_its_record(new_job: NewJob) -> None:
    job = new_job("kmeans")
    numbers = np.array([[1, 2], [3, np.nan]], dtype=np.float32)
    body = recordio.write(Table(numbers))
    job.channel("train", "application/x-recordio-protobuf", {"a.pbr": body})
    assert job.train(k=1, feature_dim=2) == 1
    assert "train/a.pbr, record 2, feature 1: nan is not a finite number" in job.failure


def test_answers_with_the_nearest_center_and_the_distance_itself() -> None:
    model = module.Model(np.array([[0, 0], [3, 4]], dtype=np.float32))
    answers = model.predict(Table(np.array([[0, 1], [3, 4], [-3, -4]], dtype=np.float32)))
    assert answers == [
        {"closest_cluster": 0.0, "distance_to_cluster": 1.0},
        {"closest_cluster": 1.0, "distance_to_cluster": 0.0},
        {"closest_cluster": 0.0, "distance_to_cluster": 5.0},
    ]
    assert model.csv(answers, batch=False) == "0.0,1.0\n1.0,0.0\n0.0,5.0"


def write(folder: Path, **arrays: Any) -> None:
    with (folder / module.MODEL_FILE).open("wb") as file:
        np.savez(file, **arrays)


def test_a_newer_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    centers = np.zeros((1, 1), np.float32)
    write(tmp_path, format=module.FORMAT, format_version=2, centers=centers)
    with pytest.raises(CustomerError, match="format version 2; this image reads up to 1"):
        module.load(tmp_path)


def test_an_artifact_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").touch()
    with pytest.raises(CustomerError, match="MXNet file of AWS's own image"):
        module.load(tmp_path)
    (tmp_path / module.MODEL_FILE).write_bytes(b"not a zip")
    with pytest.raises(CustomerError, match="is not a k-means model"):
        module.load(tmp_path)
    write(tmp_path, format="other", format_version=1)
    with pytest.raises(CustomerError, match="holds other"):
        module.load(tmp_path)


def test_an_artifact_that_would_execute_something_is_refused_unread(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
            return Path.touch, (tmp_path / "sprung",)

    trap = np.array([Trap()], dtype=object)
    write(tmp_path, format=module.FORMAT, format_version=1, centers=trap)
    with pytest.raises(CustomerError, match="is not a k-means model"):
        module.load(tmp_path)
    assert not (tmp_path / "sprung").exists()


# What differs from the base job; it shows in the centres.
BASE = {
    **REQUIRED,
    "mini_batch_size": 200,
    "extra_center_factor": 40,
    "local_lloyd_num_trials": 1,
}
EFFECTS: dict[str, dict[str, object]] = {
    "k": {"k": 9},
    "mini_batch_size": {"mini_batch_size": 150},
    "epochs": {"epochs": 2},
    "extra_center_factor": {"extra_center_factor": 3},
    "half_life_time_size": {"half_life_time_size": 300},
    "init_method": {"init_method": "kmeans++"},
    "local_lloyd_init_method": {"local_lloyd_init_method": "random"},
    "local_lloyd_max_iter": {"local_lloyd_max_iter": 1},
    "local_lloyd_num_trials": {"local_lloyd_num_trials": 30},
    "local_lloyd_tol": {"local_lloyd_tol": 1},
}


def test_the_table_of_effects_has_every_hyperparameter() -> None:
    known = {each.name for each in algorithm("kmeans").hyperparameters}
    # A wrong feature_dim is refused, and what eval_metrics asks for is logged: see above.
    assert known == {*EFFECTS, "feature_dim", "eval_metrics", "force_dense"}


def test_what_cannot_be_kept_sparse_is_told(new_job: NewJob) -> None:
    job = job_on(new_job, digits()[0][:100])
    assert job.train(**REQUIRED, force_dense=False) == 0, job.failure
    assert "force_dense is false, which has no effect" in job.log


@pytest.mark.parametrize("name", EFFECTS)
def test_no_hyperparameter_is_silently_ignored(name: str, new_job: NewJob) -> None:
    found = []
    for settings in ({}, EFFECTS[name]):
        job = job_on(new_job, digits()[0][:800])
        assert job.train(**{**BASE, **settings}) == 0, job.failure
        found.append(module.load(job.model).centers)
    assert not np.array_equal(found[0], found[1])
