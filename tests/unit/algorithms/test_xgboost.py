import json
import os
import re
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from pyarrow import parquet
from scipy.sparse import csr_matrix

from algorithms import xgboost as module
from algorithms.catalog import algorithm
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.invocations import invoke
from algorithms.xgboost import rounds
from tests.unit.algorithms.conftest import JobFolder, csv, digits

NewJob = Callable[[str], JobFolder]
SPLIT = 1400
SETTINGS = {"objective": "multi:softprob", "num_class": 10, "max_depth": 4, "eta": 0.3}


def libsvm(labels: Any, features: Any) -> bytes:
    lines = [
        f"{label:g} " + " ".join(f"{i}:{value!r}" for i, value in enumerate(row) if value)
        for label, row in zip(labels.tolist(), features.tolist(), strict=True)
    ]
    return "\n".join(lines).encode()


def as_parquet(labels: Any, features: Any) -> bytes:
    sink = pa.BufferOutputStream()
    columns = {str(i): column for i, column in enumerate(np.c_[labels, features].T)}
    parquet.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


def small(new_job: NewJob, labels: int = 2, **channels: bytes) -> JobFolder:
    """A job on 200 digits of a few classes."""
    features, classes = digits()
    keep = classes < labels
    job = new_job("xgboost")
    body = csv(classes[keep][:200], features[keep][:200])
    job.channel("train", "text/csv", {"a.csv": channels.get("train", body)})
    rest = csv(classes[keep][200:300], features[keep][200:300])
    job.channel("validation", "text/csv", {"a.csv": channels.get("validation", rest)})
    return job


def test_reads_handwriting_and_predicts_what_the_library_does_bit_for_bit(new_job: NewJob) -> None:
    features, labels = digits()
    job = new_job("xgboost")
    job.channel("train", "text/csv", {"a.csv": csv(labels[:SPLIT], features[:SPLIT])})
    job.channel("validation", "text/csv", {"a.csv": csv(labels[SPLIT:], features[SPLIT:])})
    assert job.train(num_round=30, **SETTINGS) == 0

    scores = module.load(job.model).scores(Table(features[SPLIT:]))
    assert (scores.argmax(axis=1) == labels[SPLIT:]).mean() >= 0.95
    direct = xgboost.train(
        SETTINGS, xgboost.DMatrix(features[:SPLIT], labels[:SPLIT]), num_boost_round=30
    )
    np.testing.assert_array_equal(scores, direct.predict(xgboost.DMatrix(features[SPLIT:])))

    line = next(line for line in job.log.splitlines() if line.startswith("[29]"))
    _, train, validation = line.split("\t")
    assert train.startswith("train-mlogloss:0.0")
    assert validation.startswith("validation-mlogloss:")


@pytest.mark.parametrize("booster", ["gbtree", "gblinear", "dart"])
@pytest.mark.parametrize("objective", ["binary:logistic", "reg:squarederror", "count:poisson"])
def test_every_booster_predicts_what_the_library_does(
    booster: str, objective: str, new_job: NewJob
) -> None:
    features, labels = digits()
    keep = labels < 2
    settings = {"booster": booster, "objective": objective, "nthread": 1}
    job = small(new_job)
    assert job.train(num_round=5, **settings) == 0
    direct = xgboost.train(
        settings, xgboost.DMatrix(features[keep][:200], labels[keep][:200]), num_boost_round=5
    )
    held_out = features[keep][200:300]
    np.testing.assert_array_equal(
        module.load(job.model).scores(Table(held_out)), direct.predict(xgboost.DMatrix(held_out))
    )


@pytest.mark.parametrize(
    ("content_type", "encode"),
    [
        ("text/libsvm", libsvm),
        (None, libsvm),
        ("text/csv;label_size=1", csv),
        ("application/x-parquet", as_parquet),
        (
            "application/x-recordio-protobuf",
            lambda labels, features: recordio.write(Table(features, labels)),
        ),
        (
            "application/x-recordio-protobuf",
            lambda labels, features: recordio.write(Table(csr_matrix(features), labels)),
        ),
    ],
)
def test_every_format_gives_the_model_of_its_numbers(
    content_type: str | None, encode: Callable[[Any, Any], bytes], new_job: NewJob
) -> None:
    features, labels = digits()
    features, labels = features[:300], labels[:300]
    body = encode(labels, features)
    job = new_job("xgboost")
    job.channel("train", content_type, {"data": body})
    assert job.train(num_round=3, **SETTINGS) == 0, job.failure

    sparse = (
        encode is libsvm
        or b"\x1a" in body[:8]
        or (content_type == "application/x-recordio-protobuf" and recordio.read(body, "x").sparse)
    )
    data = csr_matrix(features) if sparse else features
    direct = xgboost.train(SETTINGS, xgboost.DMatrix(data, labels), num_boost_round=3)
    np.testing.assert_array_equal(
        module.load(job.model).scores(Table(data)), direct.predict(xgboost.DMatrix(data))
    )


def test_the_second_column_is_the_weight_when_asked(new_job: NewJob) -> None:
    features, labels = digits()
    weights = np.linspace(0.1, 2, 200, dtype=np.float32)
    job = new_job("xgboost")
    job.channel("train", "text/csv", {"a": csv(labels[:200], weights, features[:200])})
    assert job.train(num_round=3, csv_weights=1, **SETTINGS) == 0
    matrix = xgboost.DMatrix(features[:200], labels[:200], weight=weights)
    direct = xgboost.train(SETTINGS, matrix, num_boost_round=3)
    np.testing.assert_array_equal(
        module.load(job.model).scores(Table(features)), direct.predict(xgboost.DMatrix(features))
    )


# A value of each hyperparameter, with what else it needs.
BINARY: dict[str, object] = {"objective": "binary:logistic"}
DART: dict[str, object] = {"booster": "dart"}
EVERY: dict[str, tuple[object, dict[str, object]]] = {
    "num_class": (2, {"objective": "multi:softmax"}),
    "num_round": (3, {}),
    "alpha": (0.5, {}),
    "base_score": (0.3, {}),
    "booster": ("dart", {}),
    "colsample_bylevel": (0.5, {}),
    "colsample_bynode": (0.5, {}),
    "colsample_bytree": (0.5, {}),
    "csv_weights": (1, {}),
    "deterministic_histogram": ("true", {}),
    "early_stopping_rounds": (1, {}),
    "eta": (0.1, {}),
    "eval_metric": ("error@0.7,auc,f1", BINARY),
    "gamma": (0.1, {}),
    "grow_policy": ("lossguide", {"tree_method": "hist"}),
    "interaction_constraints": ("[[1,2],[3,4,5]]", {"tree_method": "hist"}),
    "lambda": (2, {}),
    "lambda_bias": (0, {}),
    "max_bin": (16, {"tree_method": "hist"}),
    "max_delta_step": (1, {}),
    "max_depth": (2, {}),
    "max_leaves": (4, {"tree_method": "hist"}),
    "min_child_weight": (2, {}),
    "monotone_constraints": ("(0, 1)", {"tree_method": "hist"}),
    "normalize_type": ("forest", DART),
    "nthread": (1, {}),
    "objective": ("reg:linear", {}),
    "one_drop": (1, DART),
    "process_type": ("default", {}),
    "rate_drop": (0.1, DART),
    "refresh_leaf": (1, {"updater": "grow_colmaker,refresh", "tree_method": "exact"}),
    "sample_type": ("weighted", DART),
    "scale_pos_weight": (2, BINARY),
    "seed": (7, {}),
    "single_precision_histogram": ("false", {}),
    "sketch_eps": (0.03, {}),
    "skip_drop": (0.1, DART),
    "subsample": (0.5, {}),
    "tree_method": ("approx", {}),
    "tweedie_variance_power": (1.2, {"objective": "reg:tweedie"}),
    "updater": ("grow_colmaker,prune", {}),
    "verbosity": (1, {}),
    "aft_loss_distribution": ("logistic", {"objective": "survival:aft"}),
    "aft_loss_distribution_scale": (1.1, {"objective": "survival:aft"}),
    "dsplit": ("row", {}),
    "predictor": ("cpu_predictor", {}),
    "num_parallel_tree": (2, {}),
    "sampling_method": ("uniform", {}),
    "save_model_on_termination": ("true", {}),
    "use_dask_gpu_training": ("false", {}),
}
# Values that this release of the library no longer follows, or that need what is not here.
REFUSED: dict[str, tuple[object, str]] = {
    "dsplit": ("col", "splitting by column"),
    "lambda_bias": (0.5, "no longer penalises"),
    "predictor": ("gpu_predictor", "needs a GPU"),
    "prob_buffer_row": (5, "was removed"),
    "sampling_method": ("gradient_based", "gpu_hist only"),
    "single_precision_histogram": ("true", "double precision"),
    "sketch_eps": (0.1, "max_bin"),
    "tree_method": ("gpu_hist", "needs a GPU"),
    "updater": ("grow_skmaker", "removed from the library"),
    "use_dask_gpu_training": ("true", "several GPUs"),
}


@pytest.mark.parametrize(
    "name", [h.name for h in algorithm("xgboost").hyperparameters if not h.name.startswith("_")]
)
def test_every_hyperparameter_works_or_is_refused_by_name(name: str, new_job: NewJob) -> None:
    assert name in EVERY.keys() | REFUSED.keys()
    features, labels = digits()
    job = small(new_job, train=csv(labels[:200] % 2, np.ones(200), features[:200]))
    job.channel("validation", "text/csv", {"a.csv": csv(labels[:9] % 2, np.ones(9), features[:9])})
    if name in EVERY:
        value, others = EVERY[name]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert job.train(**{"num_round": 2, **others, name: value}) == 0, job.failure
        assert not [w for w in caught if "are not used" in str(w.message)]
    if name in REFUSED:
        value, reason = REFUSED[name]
        assert job.train(num_round=2, **{name: value}) == 1
        assert name in job.failure
        assert reason in job.failure


METRICS = {metric.name: metric.regex for metric in algorithm("xgboost").metrics}
OBJECTIVES = {
    "multi:softprob": {"merror", "mlogloss"},
    "rank:pairwise": {"map", "ndcg"},
    "survival:aft": {"aft-nloglik", "interval-regression-accuracy"},
    "survival:cox": {"cox-nloglik"},
    "reg:gamma": {"gamma-deviance", "gamma-nloglik"},
    "count:poisson": {"poisson-nloglik"},
    "reg:tweedie": {"tweedie-nloglik"},
}


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_of_the_catalogue_is_found_in_the_log_by_its_expression(
    metric: str, new_job: NewJob
) -> None:
    name = metric.split(":")[1]
    objective = next((o for o, names in OBJECTIVES.items() if name in names), "binary:logistic")
    job = small(new_job)
    if objective == "reg:gamma":
        features, labels = digits()
        body = csv(labels[:200] + 1, features[:200])
        job.channel("train", "text/csv", {"a.csv": body})
        job.channel("validation", "text/csv", {"a.csv": body})
    settings: dict[str, Any] = {"objective": objective, "num_round": 2, "eval_metric": name}
    if objective.startswith("multi:"):
        settings["num_class"] = 2
    assert job.train(**settings) == 0, job.failure
    found = [re.search(METRICS[metric], line) for line in job.log.splitlines()]
    assert len([match for match in found if match]) == 2


def test_the_tuned_metric_is_reported_without_being_asked_for(new_job: NewJob) -> None:
    job = small(new_job)
    code = job.train(
        num_round=2, objective="binary:logistic", _tuning_objective_metric="validation:f1"
    )
    assert code == 0
    assert "validation-f1:" in job.log


def test_stopping_early_keeps_the_best_model(new_job: NewJob) -> None:
    features, labels = digits()
    noise = np.random.default_rng(0).integers(0, 2, 200)
    job = small(
        new_job,
        train=csv(noise, features[:200]),
        validation=csv(labels[200:300] % 2, features[200:300]),
    )
    code = job.train(
        num_round=100, objective="binary:logistic", eval_metric="error", early_stopping_rounds=5
    )
    assert code == 0
    errors = [
        float(line.split("validation-error:")[1])
        for line in job.log.splitlines()
        if "validation-error:" in line
    ]
    assert len(errors) < 100
    booster = xgboost.Booster(model_file=str(job.model / "xgboost-model"))
    assert booster.num_boosted_rounds() == errors.index(min(errors)) + 1


@pytest.mark.parametrize(
    ("settings", "labels", "message"),
    [
        (SETTINGS, [0, 1, 10], "label must be in [0, num_class), and num_class is 10: "),
        (SETTINGS, [0, 1, 1.5], "label must be in [0, num_class)"),
        ({"objective": "binary:logistic"}, [0, 1, 2], "label must be in [0,1] for logistic"),
        ({"objective": "count:poisson"}, [0, 1, -1], "label must be nonnegative"),
    ],
)
def test_a_label_out_of_range_is_named_with_its_record(
    settings: dict[str, Any], labels: list[float], message: str, new_job: NewJob
) -> None:
    job = new_job("xgboost")
    job.channel("train", "text/csv", {"a.csv": csv(labels, np.ones((3, 2)))})
    assert job.train(num_round=1, **settings) == 1
    assert message in job.failure
    assert f"train/a.csv, record 3 has label {labels[-1]:g}" in job.failure


def test_missing_features_are_learnt_from_and_missing_labels_refused(new_job: NewJob) -> None:
    job = new_job("xgboost")
    job.channel("train", "text/csv", {"a.csv": b"0,1,\n1,,2\n"})
    assert job.train(num_round=1) == 0
    job.channel("train", "text/csv", {"a.csv": b"0,1,1\nnan,1,2\n"})
    assert job.train(num_round=1) == 1
    assert "train/a.csv, record 2, column 1: the label is nan" in job.failure


def test_cross_validation_leaves_a_model_a_fold_and_the_held_out_predictions(
    new_job: NewJob,
) -> None:
    job = small(new_job, labels=3)
    settings = {"objective": "multi:softprob", "num_class": 3, "_kfold": 3, "_num_cv_round": 2}
    assert job.train(num_round=5, **settings) == 0, job.failure
    assert sorted(path.name for path in job.model.iterdir()) == [
        f"xgboost-model-{i}" for i in range(6)
    ]
    rows = np.loadtxt(job.base / "output/data/predictions.csv", delimiter=",")
    assert rows.shape == (300, 3)
    assert (rows[:, 0] == rows[:, 2]).mean() > 0.9
    assert "[5]\ttrain-mlogloss:" in job.log
    model = module.load(job.model)
    assert model.scores(Table(digits()[0])).shape == (1797, 3)


def test_training_goes_on_from_the_last_checkpoint(new_job: NewJob) -> None:
    job = small(new_job)
    (job.base / "input/config/checkpointconfig.json").write_text(
        json.dumps({"LocalPath": "/opt/ml/checkpoints", "S3Uri": "s3://b/k"})
    )
    assert job.train(num_round=8) == 0
    folder = job.base / "checkpoints"
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == [f"xgboost-checkpoint.{i}" for i in range(3, 8)]
    whole = (job.model / "xgboost-model").read_bytes()

    (folder / "xgboost-checkpoint.7").unlink()
    (folder / "xgboost-checkpoint.6").unlink()
    assert job.train(num_round=8) == 0
    assert "resuming from iteration 6" in job.log
    assert [line[:3] for line in job.log.splitlines() if "\ttrain-" in line] == ["[6]", "[7]"]
    first, second = xgboost.Booster(), xgboost.Booster()
    first.load_model(bytearray(whole))
    second.load_model(job.model / "xgboost-model")
    assert first.get_dump() == second.get_dump()


@pytest.mark.parametrize("keep", ["true", "false"])
def test_a_stop_request_ends_training_after_the_round_and_keeps_the_model_if_asked(
    keep: str, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small(new_job)
    printed = print

    def interrupt(text: str, **more: Any) -> None:
        printed(text, **more)
        if text.startswith("[2]"):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("builtins.print", interrupt)
    assert job.train(num_round=1000, save_model_on_termination=keep) == 0
    if keep == "true":
        booster = xgboost.Booster(model_file=str(job.model / "xgboost-model"))
        assert booster.num_boosted_rounds() in {3, 4}
    else:
        assert not (job.model / "xgboost-model").exists()


def test_a_stop_request_that_comes_while_hosts_agree_counts_after_the_next_round(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def agreed(*, stopping: bool) -> bool:
        asked.append(stopping)
        if len(asked) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return stopping

    monkeypatch.setattr(rounds, "any_host", agreed)
    assert small(new_job).train(num_round=100, save_model_on_termination="true") == 0
    assert asked == [False, False, True]


@pytest.fixture
def binary_model(new_job: NewJob) -> Path:
    job = small(new_job)
    assert job.train(num_round=3, objective="binary:logistic") == 0
    return job.model


def test_selected_outputs_are_given_in_the_order_asked_for(
    binary_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = "predicted_label, labels,probability,probabilities,raw_score,raw_scores,predicted_score"
    monkeypatch.setenv("SAGEMAKER_INFERENCE_OUTPUT", keys)
    model = module.load(binary_model)
    features, labels = digits()
    ones = features[labels == 1][:1]
    (answer,) = model.predict(Table(ones))
    score = answer["probability"]
    assert score > 0.5
    assert list(answer) == [key.strip() for key in keys.split(",")]
    assert answer["predicted_label"] == 1
    assert answer["labels"] == [0, 1]
    assert answer["probabilities"] == answer["raw_scores"] == [1 - score, score]
    assert np.isnan(answer["predicted_score"])
    assert model.csv([answer], batch=False).startswith('1,"[0, 1]",0.')


def test_scores_are_joined_by_commas_and_in_batch_one_a_line(binary_model: Path) -> None:
    model = module.load(binary_model)
    answers = [{"score": 0.25}, {"score": 0.5}]
    assert model.csv(answers, batch=False) == "0.25,0.5"
    assert model.csv(answers, batch=True) == "0.25\n0.5\n"


def test_a_request_may_leave_out_features(binary_model: Path) -> None:
    model = module.load(binary_model)
    _, _, answer = invoke(model, b",".join([b""] * 64), "text/csv", None, batch=False)
    nothing = np.full((1, 64), np.nan, dtype=np.float32)
    assert float(answer) == model.scores(Table(nothing))[0]


def test_an_output_that_does_not_exist_is_refused_at_the_start(
    binary_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_INFERENCE_OUTPUT", "certainty")
    with pytest.raises(CustomerError, match="names certainty; labels, "):
        module.load(binary_model)


def test_an_artifact_that_would_execute_something_is_refused_unread(tmp_path: Path) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    (tmp_path / "xgboost-model").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CustomerError, match="is not run: it names pathlib"):
        module.load(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_folder_without_a_model_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    with pytest.raises(CustomerError, match=r"no file xgboost-model; it holds code"):
        module.load(tmp_path)
