import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from algorithms import linear_learner as module
from algorithms.catalog import algorithm
from algorithms.catalog.rules import holds
from algorithms.linear_learner.model import MODEL_FILE
from algorithms.toolkit import available, content
from algorithms.toolkit.algorithm import module as by_name
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.invocations import encode, invoke
from algorithms.toolkit.job import Job
from tests.unit.algorithms.conftest import JobFolder, csv

NewJob = Callable[[str], JobFolder]
Data = tuple[Any, Any]
Settings = dict[str, Any]

BINARY: Settings = {"predictor_type": "binary_classifier"}
MANY: Settings = {"predictor_type": "multiclass_classifier", "num_classes": 4}
NUMBERS: Settings = {"predictor_type": "regressor"}
ONE: Settings = {"num_models": 1, "epochs": 4, "mini_batch_size": 50}


def data(kind: Settings, rows: int = 200, seed: int = 0) -> Data:
    """Four features, of which the labels are a noisy linear function; one class is rare."""
    random = np.random.default_rng(seed)
    features = random.normal([0, 5, -3, 0], [1, 2, 0.5, 3], (rows, 4)).astype(np.float32)
    truth = np.random.default_rng(9).normal(size=(4, 4))
    raw = (features - [0, 5, -3, 0]) / [1, 2, 0.5, 3] @ truth
    raw += random.normal(scale=0.5, size=raw.shape)
    if kind is NUMBERS:
        return features, 100 + 20 * raw[:, 0]
    if kind is MANY:
        return features, (raw - [0, 0, 0, 1.5]).argmax(axis=1)
    return features, raw[:, 0] > 1


def job_on(new_job: NewJob, kind: Settings, channels: tuple[str, ...] = ("train",)) -> JobFolder:
    job = new_job("linear-learner")
    for seed, name in enumerate(channels):
        features, labels = data(kind, seed=seed)
        job.channel(name, "text/csv", {"a.csv": csv(labels, features)})
    return job


def trained(job: JobFolder, **settings: Any) -> module.Model:
    assert job.train(**settings) == 0, job.failure
    return module.load(job.model)


def metric(log: str, channel: str, name: str) -> float:
    found = re.search(rf"#quality_metric: host=algo-1, {channel} {name} <\w+>=(\S+)", log)
    assert found, name
    return float(found[1])


def test_is_found_by_the_name_of_the_catalogue_and_nothing_else_is() -> None:
    assert "linear-learner" in available()
    assert by_name("linear-learner") is module
    assert not {"catalog", "toolkit"} & set(available())


@pytest.mark.parametrize("kind", [BINARY, MANY, NUMBERS], ids=lambda k: k["predictor_type"])
def test_every_metric_of_the_catalogue_is_found_in_the_log_by_its_expression(
    kind: Settings, new_job: NewJob
) -> None:
    job = job_on(new_job, kind, ("train", "validation", "test"))
    assert job.train(**kind) == 0, job.failure
    wanted = [
        m for m in algorithm("linear-learner").metrics if m.when is None or holds(m.when, kind)
    ]
    assert len(wanted) >= 12
    for each in wanted:
        found = re.search(each.regex, job.log)
        assert found, each.name
        assert np.isfinite(float(found[1])), each.name


# For each hyperparameter a job, and a change after which something else comes out: the artifact,
# or the log where a setting is about what is reported.
EFFECTS: dict[str, tuple[Settings, Settings]] = {
    "num_classes": (MANY, {"num_classes": 5}),
    "accuracy_top_k": (MANY, {"accuracy_top_k": 2}),
    "balance_multiclass_weights": (MANY, {"balance_multiclass_weights": "true"}),
    "beta_1": (BINARY, {"beta_1": 0.5}),
    "beta_2": (BINARY, {"beta_2": 0.9}),
    "bias_lr_mult": (BINARY, {"bias_lr_mult": 10}),
    "bias_wd_mult": (BINARY | {"wd": 0.1}, {"bias_wd_mult": 5}),
    "binary_classifier_model_selection_criteria": (
        BINARY,
        {"binary_classifier_model_selection_criteria": "recall_at_target_precision"},
    ),
    "early_stopping_patience": (
        BINARY | {"early_stopping_tolerance": 0.9},
        {"early_stopping_patience": 1},
    ),
    "early_stopping_tolerance": (
        BINARY | {"early_stopping_patience": 1},
        {"early_stopping_tolerance": 0.9},
    ),
    "epochs": (BINARY, {"epochs": 2}),
    "f_beta": (
        BINARY | {"binary_classifier_model_selection_criteria": "f_beta"},
        {"f_beta": 20},
    ),
    "huber_delta": (NUMBERS | {"loss": "huber_loss"}, {"huber_delta": 0.1}),
    "init_bias": (BINARY, {"init_bias": 3}),
    "init_method": (BINARY, {"init_method": "normal"}),
    "init_scale": (BINARY, {"init_scale": 1}),
    "init_sigma": (BINARY | {"init_method": "normal"}, {"init_sigma": 1}),
    "l1": (BINARY, {"l1": 0.1}),
    "learning_rate": (BINARY, {"learning_rate": 0.2}),
    "loss": (BINARY, {"loss": "hinge_loss"}),
    "loss_insensitivity": (
        NUMBERS | {"loss": "eps_insensitive_squared_loss"},
        {"loss_insensitivity": 0.5},
    ),
    "lr_scheduler_factor": (BINARY, {"lr_scheduler_factor": 0.5}),
    "lr_scheduler_minimum_lr": (BINARY, {"lr_scheduler_minimum_lr": 0.1}),
    "lr_scheduler_step": (BINARY | {"lr_scheduler_factor": 0.5}, {"lr_scheduler_step": 1}),
    "margin": (BINARY | {"loss": "hinge_loss"}, {"margin": 0.1}),
    "mini_batch_size": (BINARY, {"mini_batch_size": 20}),
    "momentum": (BINARY | {"optimizer": "sgd", "learning_rate": 0.01}, {"momentum": 0.1}),
    "normalize_data": (BINARY, {"normalize_data": "false"}),
    "normalize_label": (NUMBERS, {"normalize_label": "false"}),
    "num_calibration_samples": (BINARY, {"num_calibration_samples": 10}),
    "num_models": (BINARY, {"num_models": 8}),
    "num_point_for_scaler": (BINARY, {"num_point_for_scaler": 20}),
    "optimizer": (BINARY, {"optimizer": "rmsprop"}),
    "positive_example_weight_mult": (BINARY, {"positive_example_weight_mult": "balanced"}),
    "predictor_type": (BINARY, NUMBERS),
    "quantile": (NUMBERS | {"loss": "quantile_loss"}, {"quantile": 0.9}),
    "target_precision": (
        BINARY | {"binary_classifier_model_selection_criteria": "recall_at_target_precision"},
        {"target_precision": 0.99},
    ),
    "target_recall": (
        BINARY | {"binary_classifier_model_selection_criteria": "precision_at_target_recall"},
        {"target_recall": 0.99},
    ),
    "unbias_data": (BINARY, {"unbias_data": "false"}),
    "unbias_label": (NUMBERS, {"unbias_label": "false"}),
    "use_bias": (BINARY, {"use_bias": "false"}),
    "use_lr_scheduler": (BINARY, {"use_lr_scheduler": "false"}),
    "wd": (BINARY, {"wd": 1}),
}


def test_the_table_of_effects_has_every_hyperparameter() -> None:
    every = {spec.name for spec in algorithm("linear-learner").hyperparameters}
    # feature_dim decides nothing but whether a job is refused.
    assert set(EFFECTS) == every - {"feature_dim"}


def outcome(job: JobFolder) -> tuple[Any, ...]:
    model = module.load(job.model)
    metrics = re.findall(r"#quality_metric: host=algo-1, (train (?!\S+_objective).*)", job.log)
    return model.weights.tolist(), model.bias.tolist(), model.threshold, metrics


@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_no_hyperparameter_is_silently_ignored(name: str, new_job: NewJob) -> None:
    base, change = EFFECTS[name]
    kind = next(k for k in (BINARY, MANY, NUMBERS) if k["predictor_type"] == base["predictor_type"])
    job = job_on(new_job, kind)
    outcomes = []
    for settings in (base, base, base | change):
        assert job.train(**(ONE | settings)) == 0, job.failure
        assert "has no effect" not in job.log
        outcomes.append(outcome(job))
    assert outcomes[0] == outcomes[1], "training is not deterministic"
    assert outcomes[0] != outcomes[2]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (BINARY | {"num_classes": 4}, "num_classes has no effect: predictor_type is binary"),
        (BINARY | {"margin": 2}, "margin has no effect: loss is logistic"),
        (BINARY | {"momentum": 0.5}, "momentum has no effect: optimizer is adam"),
        (BINARY | {"optimizer": "sgd", "beta_1": 0.5}, "beta_1 has no effect: optimizer is sgd"),
        (BINARY | {"normalize_label": "true"}, "normalize_label has no effect"),
        (BINARY | {"init_sigma": 1}, "init_sigma has no effect: init_method is uniform"),
        (BINARY | {"use_bias": "false", "init_bias": 1}, "init_bias has no effect: use_bias is"),
        (BINARY | {"target_recall": 0.5}, "target_recall has no effect"),
        (
            BINARY | {"use_lr_scheduler": "false", "lr_scheduler_step": 1},
            "lr_scheduler_step has no effect: use_lr_scheduler is false",
        ),
    ],
)
def test_a_setting_without_effect_beside_the_others_is_named(
    settings: Settings, reason: str, new_job: NewJob
) -> None:
    job = job_on(new_job, BINARY)
    assert job.train(**(ONE | settings)) == 0, job.failure
    assert f"Hyperparameter {reason}" in job.log


@pytest.mark.parametrize("kind", [BINARY, MANY, NUMBERS], ids=lambda k: k["predictor_type"])
@pytest.mark.parametrize("sparse", [False, True])
def test_recordio_gives_the_model_that_csv_gives(
    kind: Settings, sparse: bool, new_job: NewJob
) -> None:
    features, labels = data(kind)
    features[np.random.default_rng(1).random(features.shape) < 0.5] = 0
    job = new_job("linear-learner")
    job.channel("train", "text/csv", {"a": csv(labels, features)})
    expected = trained(job, **kind, **ONE)
    table = Table(csr_matrix(features) if sparse else features, labels.astype(np.float32))
    job.channel("train", "application/x-recordio-protobuf", {"a": recordio.write(table)})
    found = trained(job, **kind, **ONE)
    # Sparse products are summed in another order.
    np.testing.assert_allclose(found.weights, expected.weights, rtol=2e-3, atol=2e-5)
    if not sparse:
        np.testing.assert_allclose(found.bias, expected.bias, rtol=1e-5)
    request = Table(csr_matrix(features)) if sparse else Table(features)
    np.testing.assert_allclose(
        found.scores(request), expected.scores(Table(features)), rtol=5e-3, atol=1e-4
    )


def test_the_first_of_many_models_has_the_settings_that_were_given(new_job: NewJob) -> None:
    job = job_on(new_job, BINARY)
    given = {"learning_rate": 0.05, "wd": 0.02, "l1": 0.001, "num_models": 1}
    trained(job, **BINARY, **given)
    expected = "Chose model 0 of 1: learning_rate=0.05, wd=0.02, l1=0.001, positive_weight=1"
    assert expected in job.log
    trained(job, **BINARY, **given | {"num_models": 60})
    assert "Training 60 models" in job.log


def test_auto_trains_fewer_models_where_many_would_not_fit() -> None:
    from algorithms.linear_learner.settings import settle

    values = algorithm("linear-learner").parse(MANY | {"num_classes": 100_000})
    shape: dict[str, Any] = {"rows": 10_000, "balance": None, "mean_square": 1.0}
    assert len(settle(values, {}, width=300, **shape).variants) == 2
    assert len(settle(values, {}, width=100_000, **shape).variants) == 1


@pytest.mark.parametrize(
    ("kind", "body", "settings", "message"),
    [
        (
            BINARY,
            b"0,1\n2,3\n",
            {},
            "train/a.csv, record 2, column 1: the label is 2; a binary_classifier",
        ),
        (
            BINARY,
            b"0,1\n0.5,3\n",
            {},
            "record 2, column 1: the label is 0.5; a binary_classifier takes 0 or",
        ),
        (BINARY, b"-1,1\n1,3\n", {}, "record 1, column 1: the label is -1"),
        (
            MANY,
            b"0,1\n4,3\n",
            {},
            "record 2, column 1: the label is 4; a multiclass_classifier with num_clas",
        ),
        (MANY, b"0,1\n1.5,3\n", {}, "takes a whole number from 0 to 3"),
        (NUMBERS, b"0,1\n1,nan\n", {}, "train/a.csv, line 2, column 2: NaN"),
        (NUMBERS, b"0,1\n,2\n", {}, "train/a.csv, line 2, column 1: empty"),
        (NUMBERS, b"0,1\n1,2,3\n", {}, "train/a.csv, line 2: 3 columns"),
        (NUMBERS, b"0\n1\n", {}, "at least one feature"),
        (NUMBERS, b"0,1\n1,2\n", {"feature_dim": 3}, "has 1 features, but feature_dim is 3"),
        (NUMBERS, b"0,1\n1,2\n", {"mini_batch_size": 3}, "train channel has only 2 records"),
        (BINARY, b"0,1\n0,2\n", {"positive_example_weight_mult": "balanced"}, "have the label 0"),
        (BINARY, b"1,1\n1,2\n", {"positive_example_weight_mult": "balanced"}, "have the label 1"),
        (BINARY, b"0,1\n1,2\n", {"loss": "softmax_loss"}, "loss "),
        (MANY | {"num_classes": ""}, b"0,1\n1,2\n", {}, "num_classes"),
        (
            BINARY,
            b"0,1\n1,2\n",
            {
                "loss": "hinge_loss",
                "binary_classifier_model_selection_criteria": "cross_entropy_loss",
            },
            "binary_classifier_model_selection_criteria is cross_entropy_loss, but the scores of",
        ),
    ],
)
def test_says_which_setting_and_data_do_not_fit(
    kind: Settings, body: bytes, settings: Settings, message: str, new_job: NewJob
) -> None:
    job = new_job("linear-learner")
    job.channel("train", "text/csv", {"a.csv": body})
    values = {name: value for name, value in (kind | settings).items() if value != ""}
    assert job.train(**values) == 1
    assert job.failure.startswith("ClientError: ")
    assert message in job.failure


def test_a_channel_of_another_width_is_named_with_its_record(new_job: NewJob) -> None:
    job = job_on(new_job, NUMBERS)
    job.channel("validation", "text/csv", {"b.csv": b"1,2,3\n"})
    assert job.train(**NUMBERS) == 1
    assert "validation/b.csv, record 1 has 2 features, but the train channel has 4" in job.failure


def test_nan_in_recordio_is_named_with_its_record(new_job: NewJob) -> None:
    table = Table(np.array([[1], [np.nan]], dtype=np.float32), np.zeros(2, dtype=np.float32))
    job = new_job("linear-learner")
    job.channel("train", "application/x-recordio-protobuf", {"a.pbr": recordio.write(table)})
    assert job.train(**NUMBERS) == 1
    assert "train/a.pbr, record 2, feature 0: nan is not a finite number" in job.failure


def test_records_without_a_label_are_refused(new_job: NewJob) -> None:
    job = new_job("linear-learner")
    body = recordio.write(Table(np.ones((2, 2), dtype=np.float32)))
    job.channel("train", "application/x-recordio-protobuf", {"a.pbr": body})
    assert job.train(**NUMBERS) == 1
    assert "train/a.pbr, record 1: has no label" in job.failure


def test_training_that_explodes_says_what_to_change(new_job: NewJob) -> None:
    job = job_on(new_job, NUMBERS)
    settings = {"optimizer": "sgd", "learning_rate": 1e6, "use_lr_scheduler": "false"}
    assert job.train(**NUMBERS, **settings, mini_batch_size=10) == 1
    assert "lower learning_rate or use optimizer=adam" in job.failure


def test_one_model_that_explodes_does_not_spoil_the_others(new_job: NewJob) -> None:
    job = job_on(new_job, NUMBERS, ("train", "validation"))
    settings = {"optimizer": "sgd", "learning_rate": 0.4, "num_models": 32, "mini_batch_size": 20}
    trained(job, **NUMBERS, **settings)
    assert metric(job.log, "validation", "rmse") < 15


def test_features_without_variety_do_not_count(new_job: NewJob) -> None:
    features, labels = data(NUMBERS)
    job = new_job("linear-learner")
    constant = np.full(len(labels), np.float32(0.1))
    job.channel("train", "text/csv", {"a.csv": csv(labels, features, constant)})
    model = trained(job, **NUMBERS)
    assert model.weights[4, 0] == 0
    assert (model.weights[:4, 0] != 0).all()


def test_a_stop_keeps_the_best_model_so_far(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from algorithms.linear_learner import fitting

    reported: list[int] = []
    report = fitting._report

    def stop(job: Job, settings: Any, epoch: int, *rest: Any) -> None:
        report(job, settings, epoch, *rest)
        reported.append(epoch)
        if epoch == 2:
            job._stop(15, None)

    monkeypatch.setattr(fitting, "_report", stop)
    job = job_on(new_job, BINARY)
    model = trained(job, **BINARY)
    assert reported == [0, 1, 2]
    assert "Stopped by request" in job.log
    assert metric(job.log, "train", "binary_classification_accuracy") > 0.8
    assert model.width == 4


def test_training_ends_early_only_without_progress(new_job: NewJob) -> None:
    job = job_on(new_job, BINARY, ("train", "validation"))
    trained(job, **BINARY, epochs=50, early_stopping_patience=2, early_stopping_tolerance=0.5)
    stopped = job.log.count("#early_stopping_criteria_metric")
    assert stopped < 20
    assert "Early stop after epoch" in job.log
    trained(job, **BINARY, epochs=20, early_stopping_patience=21, early_stopping_tolerance=0.5)
    assert job.log.count("#early_stopping_criteria_metric") == 20


@pytest.mark.parametrize("kind", [BINARY, MANY, NUMBERS], ids=lambda k: k["predictor_type"])
def test_the_logged_scores_are_those_of_the_artifact(kind: Settings, new_job: NewJob) -> None:
    job = job_on(new_job, kind, ("train", "validation", "test"))
    model = trained(job, **kind)
    features, labels = data(kind, seed=2)
    scores = model.scores(Table(features))
    if kind is NUMBERS:
        error = scores - labels
        assert metric(job.log, "test", "mse") == pytest.approx((error**2).mean())
        assert metric(job.log, "test", "absolute_loss") == pytest.approx(np.abs(error).mean())
        return
    name = "binary_classification_accuracy" if kind is BINARY else "multiclass_accuracy"
    assert metric(job.log, "test", name) == (model.labels(scores) == labels).mean()
    right = (
        np.where(labels, scores, 1 - scores)
        if kind is BINARY
        else scores[np.arange(len(labels)), labels]
    )
    objective = metric(job.log, "test", r"\S+_objective")
    assert objective == pytest.approx(-np.log(right).mean())


def model(predictor: str, loss: str, outputs: int, threshold: float = 0.5) -> module.Model:
    weights = np.array([[1.0, -1.0, 0.5][:outputs], [0.0, 2.0, 0.5][:outputs]])
    return module.Model(predictor, loss, weights, np.zeros(outputs), threshold)


RESPONSES: list[tuple[module.Model, list[dict[str, Any]], str]] = [
    (
        model("binary_classifier", "hinge_loss", 1, 0.0),
        [{"score": 1.0, "predicted_label": 1}, {"score": -2.0, "predicted_label": 0}],
        "1.0,1\n-2.0,0",
    ),
    (model("regressor", "squared_loss", 1), [{"score": 1.0}, {"score": -2.0}], "1.0\n-2.0"),
]


@pytest.mark.parametrize(("served", "answers", "text"), RESPONSES, ids=["binary", "regressor"])
def test_answers_in_every_form(
    served: module.Model, answers: list[dict[str, Any]], text: str
) -> None:
    def ask(accept: str, *, batch: bool = False) -> bytes:
        status, kind, body = invoke(served, b"1,0\n-2,5\n", "text/csv", accept, batch=batch)
        assert (status, kind) == (200, accept)
        return body

    assert json.loads(ask("application/json")) == {"predictions": answers}
    lines = ask("application/jsonlines").splitlines()
    assert [json.loads(line) for line in lines] == answers
    assert ask("text/csv").decode() == text
    assert ask("text/csv", batch=True).decode() == text + "\n"
    messages = list(recordio.frames(ask("application/x-recordio-protobuf"), "answer"))
    records = [record_class().FromString(bytes(message)) for message in messages]
    for record, answer in zip(records, answers, strict=True):
        assert {
            name: list(value.float32_tensor.values) for name, value in record.label.items()
        } == {name: [value] for name, value in answer.items()}


def test_answers_for_many_classes_with_a_probability_for_each() -> None:
    served = model("multiclass_classifier", "softmax_loss", 3)
    table = Table(np.array([[3, 0], [0, 3]], dtype=np.float32))
    answers = served.predict(table)
    assert [answer["predicted_label"] for answer in answers] == [0, 1]
    assert sum(answers[0]["score"]) == pytest.approx(1)
    raw = np.exp([3, -3, 1.5])
    np.testing.assert_allclose(answers[0]["score"], raw / raw.sum())
    body = encode(served, answers, content.RECORDIO, batch=False)
    (first, _) = recordio.frames(body, "answer")
    record = record_class().FromString(bytes(first))
    np.testing.assert_allclose(
        record.label["score"].float32_tensor.values, answers[0]["score"], rtol=1e-6
    )
    assert served.csv(answers[:1], batch=False).split(",")[3] == "0"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/csv", b"3,4\n"),
        ("application/json", b'{"instances":[{"features":[3,4]}]}'),
        ("application/json", b'{"instances":[{"data":{"features":{"values":[3,4]}}}]}'),
        (
            "application/json",
            b'{"instances":[{"data":{"features":{"keys":[1,0],"shape":[2],"values":[4,3]}}}]}',
        ),
        ("application/jsonlines", b'{"features":[3,4]}\n'),
        (
            "application/x-recordio-protobuf",
            recordio.write(Table(np.array([[3, 4]], dtype=np.float32))),
        ),
        (
            "application/x-recordio-protobuf",
            recordio.write(Table(csr_matrix(np.array([[3, 4]], dtype=np.float32)))),
        ),
    ],
)
def test_takes_every_form_of_request(kind: str, body: bytes) -> None:
    served = module.Model("regressor", "squared_loss", np.array([[1.0], [10.0]]), np.array([0.5]))
    _, _, answer = invoke(served, body, kind, None, batch=False)
    assert json.loads(answer) == {"predictions": [{"score": 43.5}]}


def test_a_probability_at_the_threshold_is_positive() -> None:
    served = module.Model(
        "binary_classifier", "logistic", np.array([[1.0]]), np.zeros(1), threshold=0.5
    )
    answers = served.predict(Table(np.array([[0], [-1e-3], [3e38]], dtype=np.float32)))
    assert [answer["predicted_label"] for answer in answers] == [1, 0, 1]
    assert answers[0]["score"] == 0.5
    assert answers[2]["score"] == 1.0


PARTS: dict[str, Any] = {
    "format": "sagemaker-platform/linear-learner",
    "format_version": 1,
    "predictor_type": "regressor",
    "loss": "squared_loss",
    "weights": np.ones((2, 1)),
    "bias": np.ones(1),
    "threshold": 0.0,
}


def write(folder: Path, parts: Mapping[str, Any]) -> None:
    with (folder / MODEL_FILE).open("wb") as file:
        np.savez(file, **parts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format version 2; this image reads up to 1"),
        ({"format": "other"}, "holds other, where sagemaker-platform/linear-learner is expected"),
        ({"weights": np.array([[1.0], [np.inf]])}, "no linear model of finite numbers"),
        ({"weights": np.ones((2, 3))}, "no linear model"),
        ({"weights": np.ones((0, 1))}, "no linear model"),
        ({"weights": np.ones((2, 1), dtype=np.float32)}, "no linear model"),
        ({"bias": np.ones(2)}, "no linear model"),
        ({"threshold": np.nan}, "no linear model"),
        ({"predictor_type": "other"}, "no linear model"),
        ({"loss": "softmax_loss"}, "no linear model"),
    ],
)
def test_an_artifact_that_is_not_one_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write(tmp_path, PARTS)
    assert module.load(tmp_path).scores(Table(np.ones((1, 2), np.float32))).tolist() == [3.0]
    write(tmp_path, PARTS | change)
    with pytest.raises(CustomerError, match=message):
        module.load(tmp_path)


def test_an_artifact_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").touch()
    with pytest.raises(CustomerError, match="MXNet file of AWS's own image"):
        module.load(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes(b"not a zip")
    with pytest.raises(CustomerError, match="is not a Linear Learner model"):
        module.load(tmp_path)


def test_an_artifact_that_would_execute_something_is_refused_unread(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
            return Path.touch, (tmp_path / "sprung",)

    write(tmp_path, PARTS | {"weights": np.array([Trap()], dtype=object)})
    with pytest.raises(CustomerError, match="is not a Linear Learner model"):
        module.load(tmp_path)
    assert not (tmp_path / "sprung").exists()
