import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.sparse import csr_matrix

from algorithms.catalog import algorithm
from algorithms.factorization_machines import load, machine
from algorithms.factorization_machines.machine import Adam, Parts, Rule
from algorithms.factorization_machines.model import FORMAT, MODEL_FILE, Model
from algorithms.factorization_machines.settings import start
from algorithms.toolkit import arrays
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.invocations import Refusal, invoke
from tests.unit.algorithms.conftest import JobFolder, csv

NewJob = Callable[[str], JobFolder]
NAME, RECORDIO = "factorization-machines", "application/x-recordio-protobuf"
PEOPLE, THINGS = 20, 15
WIDTH = PEOPLE + THINGS
REQUIRED = {"feature_dim": WIDTH, "num_factors": 3, "predictor_type": "regressor"}
QUICK = {
    **REQUIRED,
    "mini_batch_size": 50,
    "epochs": 20,
    "linear_lr": 0.02,
    "factors_lr": 0.02,
    "factors_init_sigma": 0.1,
}


def tastes(rows: int, *, sparse: bool = True, binary: bool = False) -> Table:
    """How people like things: a matrix of rank two, met in some of its places."""
    random = np.random.default_rng(5)
    liking = random.normal(size=(PEOPLE, 2)) @ random.normal(size=(2, THINGS)) + 3
    who, what = random.integers(PEOPLE, size=rows), random.integers(THINGS, size=rows)
    labels = liking[who, what].astype(np.float32)
    features = csr_matrix(
        (
            np.ones(2 * rows, np.float32),
            np.stack([who, PEOPLE + what], axis=1).ravel(),
            np.arange(0, 2 * rows + 1, 2),
        ),
        shape=(rows, WIDTH),
    )
    labels = (labels > 3).astype(np.float32) if binary else labels
    return Table(features if sparse else features.toarray(), labels)


def job_on(new_job: NewJob, table: Table, **channels: Table) -> JobFolder:
    job = new_job(NAME)
    for name, each in {"train": table, **channels}.items():
        job.channel(name, RECORDIO, {"a.pbr": recordio.write(each)})
    return job


def metric(log: str, name: str, channel: str = "test") -> float:
    found = re.search(rf"#quality_metric: host=algo-1, {channel} {name} <\w+>=(\S+)", log)
    assert found, log
    return float(found[1])


def machine_of(width: int, factors: int, dtype: Any = np.float32) -> Parts:
    random = np.random.default_rng(1)
    return Parts(
        random.normal(size=1).astype(dtype),
        random.normal(size=width).astype(dtype),
        random.normal(size=(width, factors)).astype(dtype),
    )


def test_the_score_is_the_sum_over_all_pairs_of_features() -> None:
    model, random = machine_of(5, 3), np.random.default_rng(2)
    rows = random.normal(size=(4, 5)).astype(np.float32)
    rows[0] = 0
    rows[1, 2] = 0
    expected = [
        model.bias[0]
        + row @ model.linear
        + sum(
            row[i] * row[j] * (model.factors[i] @ model.factors[j])
            for i in range(5)
            for j in range(i + 1, 5)
        )
        for row in rows
    ]
    np.testing.assert_allclose(machine.scores(model, rows), expected, rtol=1e-5)
    np.testing.assert_allclose(machine.scores(model, csr_matrix(rows)), expected, rtol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_the_gradient_is_that_of_the_loss(binary: bool, sparse: bool) -> None:
    model, random = machine_of(4, 2, np.float64), np.random.default_rng(3)
    rows = random.normal(size=(6, 4))
    rows[:, 1] = 0
    labels: Any = np.array([0, 1, 1, 0, 1, 0], dtype=np.float64)

    def loss(flat: Any) -> float:
        parts = Parts(flat[:1], flat[1:5], flat[5:].reshape(4, 2))
        said = parts.bias + rows @ parts.linear
        said += ((rows @ parts.factors) ** 2 - rows**2 @ parts.factors**2).sum(axis=1) / 2
        if binary:
            return float((np.logaddexp(0, said) - labels * said).sum())
        return float(((said - labels) ** 2).sum() / 2)

    flat = np.concatenate([model.bias, model.linear, model.factors.ravel()])
    features = csr_matrix(rows) if sparse else rows
    _, found = machine.gradient(model, features, labels, binary=binary)
    assert found.columns.tolist() == [0, 2, 3]
    expected = approx_fprime(flat, loss)
    np.testing.assert_allclose(found.parts.bias, expected[:1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.parts.linear, expected[1:5][[0, 2, 3]], rtol=1e-4, atol=1e-5)
    rest = expected[5:].reshape(4, 2)[[0, 2, 3]]
    np.testing.assert_allclose(found.parts.factors, rest, rtol=1e-4, atol=1e-5)


def test_the_gradients_of_hosts_add_up_to_that_of_all_records() -> None:
    model, table = machine_of(WIDTH, 3), tastes(40)
    labels = np.asarray(table.labels)
    parts = [
        machine.gradient(model, table.features[rows], labels[rows], binary=False)[1]
        for rows in (slice(0, 5), slice(5, 5), slice(5, 40))
    ]
    _, whole = machine.gradient(model, table.features, labels, binary=False)
    together = machine.merged(parts)
    assert together.rows == 40
    np.testing.assert_array_equal(together.columns, whole.columns)
    for name in ("bias", "linear", "factors"):
        np.testing.assert_allclose(
            getattr(together.parts, name), getattr(whole.parts, name), rtol=1e-4, atol=1e-4
        )


def stepped(**settings: Any) -> Parts:
    """Ones, after a step on a gradient of 2 for the sum of four records, of features 0 and 2."""
    model = Parts(np.ones(1, "f4"), np.ones(3, "f4"), np.ones((3, 2), "f4"))
    rules = {"bias": Rule(0.1, 0), "linear": Rule(0.01, 0), "factors": Rule(0.001, 0)}
    parts = Parts(np.full(1, 2, "f4"), np.full(2, 2, "f4"), np.full((2, 2), 2, "f4"))
    found = machine.Gradient(np.array([0, 2]), parts, 4)
    Adam(**{"rules": rules, **settings}).step(model, found)
    return model


def test_each_group_moves_at_its_own_rate_and_what_was_not_met_stays() -> None:
    model = stepped()
    np.testing.assert_allclose(model.bias, 0.9, rtol=1e-5)
    np.testing.assert_allclose(model.linear, [0.99, 1, 0.99], rtol=1e-5)
    expected = np.array([[0.999] * 2, [1, 1], [0.999] * 2])
    np.testing.assert_allclose(model.factors, expected, rtol=1e-5)


def test_decay_rescale_clip_and_eps_change_the_step_as_their_names_say() -> None:
    # The first step of Adam is rate * g / (|g| + eps / sqrt(1 - beta2)): a large eps shows g.
    large = 1e6
    rate = large / np.sqrt(1 - 0.999) * 0.1

    def slope(**settings: Any) -> float:
        rules = {"bias": Rule(rate, settings.pop("decay", 0.0))}
        model = stepped(rules=rules, eps=large, **settings)
        return float((1 - model.bias[0]) / 0.1 / (rate / large) * np.sqrt(1 - 0.999) / 1)

    mean = slope()
    assert slope(rescale=1.0) == pytest.approx(4 * mean, rel=1e-3)
    assert slope(decay=0.25) == pytest.approx(1.5 * mean, rel=1e-3)
    assert slope(clip=0.1) == pytest.approx(0.2 * mean, rel=1e-3)
    assert slope(clip=10.0) == pytest.approx(mean, rel=1e-3)
    small = stepped(rules={"bias": Rule(0.1, 0)}, eps=1e-8).bias[0]
    assert abs(1 - stepped(rules={"bias": Rule(0.1, 0)}, eps=10.0).bias[0]) < abs(1 - small) / 5


@pytest.mark.parametrize("group", ["bias", "linear", "factors"])
def test_each_group_starts_as_it_is_told(group: str) -> None:
    def started(**settings: Any) -> Any:
        texts = {name: str(value) for name, value in {**REQUIRED, **settings}.items()}
        texts["feature_dim"] = "2000"
        values = algorithm(NAME).parse(texts)
        return np.concatenate(
            [
                getattr(start(values, np.random.default_rng(seed)), group).ravel()
                for seed in range(9)
            ]
        )

    method = f"{group}_init_method"
    assert (started(**{method: "constant", f"{group}_init_value": 0.5}) == 0.5).all()
    uniform = started(**{method: "uniform", f"{group}_init_scale": 0.5})
    assert 0.2 < np.abs(uniform).max() <= 0.5 and uniform.min() < 0 < uniform.max()
    normal = started(**{method: "normal", f"{group}_init_sigma": 0.5})
    assert 0.25 < normal.std() < 0.75
    assert started().std() < 0.02


def test_learns_how_pairs_go_together_where_a_linear_model_cannot(new_job: NewJob) -> None:
    job = job_on(new_job, tastes(3000), test=tastes(500))
    assert job.train(**QUICK) == 0, job.failure
    linear = job_on(new_job, tastes(3000), test=tastes(500))
    assert linear.train(**{**QUICK, "factors_init_sigma": 0}) == 0
    assert metric(job.log, "rmse") < 0.1 < 0.5 < metric(linear.log, "rmse")
    assert re.search(r"epoch=19, train rmse <loss>=0\.\d+", job.log)


def test_the_logged_metrics_are_those_of_the_artifact(new_job: NewJob) -> None:
    test = tastes(700, binary=True)
    job = job_on(new_job, tastes(3000, binary=True), test=test)
    assert job.train(**{**QUICK, "predictor_type": "binary_classifier"}) == 0, job.failure
    answers = load(job.model).predict(test)
    score = np.array([answer["score"] for answer in answers])
    label = np.array([answer["predicted_label"] for answer in answers])
    truth = np.asarray(test.labels)
    assert metric(job.log, "binary_classification_accuracy") == (label == truth).mean() > 0.95
    entropy = -np.log(np.where(truth == 1, score, 1 - score)).mean()
    assert metric(job.log, "binary_classification_cross_entropy") == pytest.approx(entropy, 1e-4)
    both = ((label == 1) & (truth == 1)).sum()
    f1 = 2 * both / (label.sum() + truth.sum())
    assert metric(job.log, "binary_f_beta") == pytest.approx(f1)
    for each in algorithm(NAME).metrics:
        assert (each.name == "test:rmse") != bool(re.search(each.regex, job.log))


def test_dense_records_and_pipes_train_what_sparse_files_do(new_job: NewJob) -> None:
    settings = {**QUICK, "epochs": 3}
    files = job_on(new_job, tastes(600), test=tastes(100))
    assert files.train(**settings) == 0, files.failure
    dense = job_on(new_job, tastes(600, sparse=False), test=tastes(100, sparse=False))
    assert dense.train(**settings) == 0, dense.failure
    piped = new_job(NAME)
    for name, rows in (("train", 600), ("test", 100)):
        piped.pipe(name, RECORDIO, recordio.write(tastes(rows)))
    assert piped.train(**settings) == 0, piped.failure
    again = job_on(new_job, tastes(600), test=tastes(100))
    assert again.train(**settings) == 0
    first = load(files.model).parts
    for other, exact in ((again, True), (dense, False), (piped, False)):
        parts = load(other.model).parts
        for name in ("bias", "linear", "factors"):
            one, two = getattr(first, name), getattr(parts, name)
            if exact:
                np.testing.assert_array_equal(one, two)
            else:
                np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def test_says_which_settings_have_no_effect(new_job: NewJob) -> None:
    job = job_on(new_job, tastes(50))
    assert job.train(**REQUIRED, bias_init_value=3, linear_init_sigma=0.2) == 0, job.failure
    assert "bias_init_value has no effect: bias_init_method is normal" in job.log
    assert "linear_init_sigma has no effect" not in job.log


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"predictor_type": "binary_classifier"}, "train/a.pbr, record 1, label 'values': the la"),
        (
            {"feature_dim": 36},
            "feature_dim is 36, but train/a.pbr, record 1 of channel train has",
        ),
        ({"num_factors": 0}, "num_factors"),
        ({"factors_lr": -1}, "factors_lr"),
        ({"eps": 0}, "eps is 0; it must be above 0"),
        ({"clip_gradient": -1}, "clip_gradient is -1; it must be above 0"),
        ({"rescale_grad": 0}, "rescale_grad is 0; it must be above 0"),
        ({"factors_lr": 1e30, "epochs": 5}, "Training diverged in epoch"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_says_what_to_change(settings: dict[str, Any], message: str, new_job: NewJob) -> None:
    job = job_on(new_job, tastes(50))
    assert job.train(**{**REQUIRED, **settings}) == 1, job.log
    assert job.failure.startswith("ClientError: ") and message in job.failure, job.failure


def test_names_the_record_that_is_no_number_or_cut_off(new_job: NewJob) -> None:
    table = tastes(3)
    features: Any = table.features
    features.data[2] = np.inf
    job = job_on(new_job, table)
    assert job.train(**REQUIRED) == 1
    assert "train/a.pbr, record 2, feature " in job.failure
    cut = new_job(NAME)
    cut.channel("train", RECORDIO, {"a.pbr": recordio.write(tastes(3))[:-5]})
    assert cut.train(**REQUIRED) == 1
    assert "train/a.pbr, record 3" in cut.failure and "truncated" in cut.failure
    text = new_job(NAME)
    text.channel("train", "text/csv", {"a.csv": csv([1, 2], [3, 4])})
    assert text.train(**REQUIRED) == 1
    assert "text/csv" in text.failure


SPARSE = b'{"data":{"features":{"keys":[1,2],"shape":[3],"values":[1,2]}}}'
BODIES = {
    "application/json": b'{"instances":[' + SPARSE + b"]}",
    "application/jsonlines": b'{"features":[0,1,2]}\n',
    RECORDIO: recordio.write(Table(np.array([[0, 1, 2]], np.float32))),
}


@pytest.mark.parametrize("content_type", BODIES)
@pytest.mark.parametrize("predictor", ["regressor", "binary_classifier"])
def test_every_request_gets_the_answer_of_the_contract(predictor: str, content_type: str) -> None:
    parts = Parts(np.array([0.5], "f4"), np.array([9, 1, 2], "f4"), np.eye(3, 2, dtype="f4"))
    model = Model(predictor, parts)
    one = b'"score":5.5' if predictor == "regressor" else b'"score":0.995929'
    body = BODIES[content_type]
    _, kind, answer = invoke(model, body, content_type, None, batch=False)
    assert kind == "application/json"
    assert answer.startswith(b'{"predictions":[{' + one)
    assert (b'"predicted_label":1}' in answer) == (predictor != "regressor")
    _, _, lines = invoke(model, body, content_type, "application/jsonlines", batch=False)
    assert lines.startswith(b"{" + one) and lines.endswith(b"}\n")
    _, _, written = invoke(model, body, content_type, RECORDIO, batch=False)
    (frame, *_) = recordio.frames(written, "x")
    assert b"score" in bytes(frame)


def test_text_and_records_of_another_width_are_refused() -> None:
    parts = Parts(np.zeros(1, "f4"), np.zeros(3, "f4"), np.zeros((3, 2), "f4"))
    model = Model("regressor", parts)
    with pytest.raises(Refusal, match=r"'text/csv' is not supported") as refused:
        invoke(model, b"1,2,3", "text/csv", None, batch=False)
    assert refused.value.status == 415
    with pytest.raises(Refusal, match=r"Accept 'text/csv' is not supported") as refused:
        invoke(model, BODIES["application/json"], "application/json", "text/csv", batch=False)
    assert refused.value.status == 406
    with pytest.raises(Refusal, match=r"wrong width: 2 values, the model takes 3") as refused:
        invoke(model, b'{"instances":[{"features":[1,2]}]}', "application/json", None, batch=False)
    assert refused.value.status == 400


def test_artifacts_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").touch()
    with pytest.raises(CustomerError, match="MXNet file of AWS's own image"):
        load(tmp_path)
    good = {
        "predictor_type": np.array("regressor"),
        "bias": np.zeros(1, "f4"),
        "linear": np.zeros(3, "f4"),
        "factors": np.zeros((3, 2), "f4"),
    }
    arrays.save(tmp_path / MODEL_FILE, FORMAT, 1, **good)
    assert load(tmp_path).width == 3
    for name, wrong in {
        "predictor_type": np.array("other"),
        "bias": np.zeros(2, "f4"),
        "linear": np.full(3, np.nan, "f4"),
        "factors": np.zeros((4, 2), "f4"),
    }.items():
        arrays.save(tmp_path / MODEL_FILE, FORMAT, 1, **{**good, name: wrong})
        with pytest.raises(CustomerError, match="holds no factorization machine"):
            load(tmp_path)
    arrays.save(tmp_path / MODEL_FILE, FORMAT, 2, **good)
    with pytest.raises(CustomerError, match="format version 2; this image reads up to 1"):
        load(tmp_path)
