import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import Lasso, LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from algorithms import linear_learner as module
from algorithms.linear_learner.losses import loss
from algorithms.toolkit.formats.table import Table
from tests.unit.algorithms.conftest import JobFolder, csv

NewJob = Callable[[str], JobFolder]

LOADERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "breast cancer": (load_breast_cancer, {"predictor_type": "binary_classifier"}),
    "digits": (load_digits, {"predictor_type": "multiclass_classifier", "num_classes": 10}),
    "diabetes": (load_diabetes, {"predictor_type": "regressor"}),
}
# One split of a few hundred rows decides by chance: two rows of breast cancer are 0.01.
SPLITS = 4


@cache
def parts(name: str, seed: int) -> list[tuple[Any, Any]]:
    """A half to train on, a quarter to choose by, and a quarter held out."""
    features, labels = LOADERS[name][0](return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    features, labels = features[order].astype(np.float32), labels[order]
    cuts = [len(labels) // 2, 3 * len(labels) // 4]
    return list(zip(np.split(features, cuts), np.split(labels, cuts), strict=True))


def fitted(job: JobFolder, channels: dict[str, Any], **settings: Any) -> module.Model:
    for name, (features, labels) in channels.items():
        job.channel(name, "text/csv", {"a.csv": csv(labels, features)})
    assert job.train(**settings) == 0, job.failure
    return module.load(job.model)


def together(*data: tuple[Any, Any]) -> tuple[Any, Any]:
    return np.concatenate([d[0] for d in data]), np.concatenate([d[1] for d in data])


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("name", ["breast cancer", "digits"])
def test_classifies_as_well_as_scikit_learn(name: str, validated: bool, new_job: NewJob) -> None:
    job, settings = new_job("linear-learner"), LOADERS[name][1]
    average = "binary" if name == "breast cancer" else "macro"
    differences = []
    for seed in range(SPLITS):
        train, validation, (features, labels) = parts(name, seed)
        channels = {"train": train, "validation": validation}
        if not validated:
            train = together(train, validation)
            channels = {"train": train}
        model = fitted(job, channels, **settings)
        reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(*train)
        expected, found = reference.predict(features), model.labels(model.scores(Table(features)))
        differences.append(
            (
                (found == labels).mean() - (expected == labels).mean(),
                f1_score(labels, found, average=average)
                - f1_score(labels, expected, average=average),
            )
        )
    assert np.mean(differences, axis=0).min() >= -0.01, differences


def test_regression_is_as_good_as_ridge(new_job: NewJob) -> None:
    job, ratios = new_job("linear-learner"), []
    for seed in range(SPLITS):
        train, validation, (features, labels) = parts("diabetes", seed)
        model = fitted(job, {"train": train, "validation": validation}, predictor_type="regressor")
        reference = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 20))).fit(*train)
        errors = [
            np.sqrt(((scores - labels) ** 2).mean())
            for scores in (model.scores(Table(features)), reference.predict(features))
        ]
        ratios.append(errors[0] / errors[1])
    assert np.mean(ratios) <= 1.02, ratios


def test_learns_handwriting_in_a_few_seconds(new_job: NewJob) -> None:
    train, validation, _ = parts("digits", 0)
    started = time.perf_counter()
    fitted(
        new_job("linear-learner"),
        {"train": train, "validation": validation},
        **LOADERS["digits"][1],
    )
    assert time.perf_counter() - started < 5


PATIENT = {
    "num_models": 1,
    "epochs": 400,
    "early_stopping_patience": 1000,
    "mini_batch_size": 100,
    "learning_rate": 0.02,
    "l1": 0,
    "wd": 0.01,
}
OBJECTIVES = [
    ("binary_classifier", "logistic", {}),
    ("binary_classifier", "hinge_loss", {"margin": 0.5}),
    ("multiclass_classifier", "softmax_loss", {}),
    ("regressor", "squared_loss", {}),
    ("regressor", "absolute_loss", {}),
    ("regressor", "eps_insensitive_squared_loss", {"loss_insensitivity": 0.2}),
    ("regressor", "eps_insensitive_absolute_loss", {"loss_insensitivity": 0.2}),
    ("regressor", "huber_loss", {"huber_delta": 0.5}),
    ("regressor", "quantile_loss", {"quantile": 0.8}),
]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize(("predictor", "name", "parameters"), OBJECTIVES, ids=lambda v: str(v))
def test_training_reaches_the_minimum_that_a_general_solver_finds(
    predictor: str, name: str, parameters: dict[str, Any], optimizer: str, new_job: NewJob
) -> None:
    random = np.random.default_rng(0)
    # Correlated, but not so much that any method of the first order would need thousands of epochs.
    features = (
        random.normal(size=(300, 5)) @ (np.eye(5) + 0.3 * random.normal(size=(5, 5)))
    ).astype(np.float32)
    raw = features @ random.normal(size=(5, 3)) + random.standard_t(3, size=(300, 3))
    classes = 3 if predictor == "multiclass_classifier" else 1
    labels: Any = raw[:, 0]
    if predictor == "binary_classifier":
        labels = (raw[:, 0] > 1).astype(int)
    elif classes == 3:
        labels = raw.argmax(axis=1)
    settings = PATIENT | {"predictor_type": predictor, "loss": name, "optimizer": optimizer}
    if classes == 3:
        settings["num_classes"] = 3
    model = fitted(
        new_job("linear-learner"), {"train": (features, labels)}, **settings, **parameters
    )

    wide = features.astype(float)
    mean, spread = wide.mean(axis=0), wide.std(axis=0)
    normal = (wide - mean) / spread
    middle, unit = (labels.mean(), labels.std()) if predictor == "regressor" else (0, 1)
    target = (labels - middle) / unit if predictor == "regressor" else labels
    function = loss(name, {"margin": 1, "huber_delta": 1, **parameters}, classes)

    def objective(flat: Any) -> float:
        weights, bias = flat[: 5 * classes].reshape(5, classes), flat[5 * classes :]
        losses = function.value(normal @ weights + bias, target)
        return float(losses.mean() + 0.01 / 2 * (weights**2).sum())

    start = np.zeros(6 * classes)
    best = min(
        minimize(objective, start, method=method, options={"maxiter": 20_000}).fun
        for method in ("L-BFGS-B", "Powell")
    )
    reached = np.concatenate(
        [
            (model.weights * spread[:, None] / unit).ravel(),
            (model.bias + mean @ model.weights - middle) / unit,
        ]
    )
    assert objective(reached) <= best * 1.005


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_penalties_are_those_of_lasso_and_ridge(optimizer: str, new_job: NewJob) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(400, 6))
    features = ((features - features.mean(axis=0)) / features.std(axis=0)).astype(np.float32)
    labels = features @ [3, -2, 0.05, 0, 0, 0] + random.normal(size=400) + 7
    job = new_job("linear-learner")
    settings = PATIENT | {
        "predictor_type": "regressor",
        "normalize_label": "false",
        "optimizer": optimizer,
    }
    lasso = Lasso(alpha=0.25).fit(features, labels)
    model = fitted(job, {"train": (features, labels)}, **settings | {"wd": 0, "l1": 0.5})
    np.testing.assert_allclose(model.weights[:, 0], lasso.coef_, atol=0.03)
    assert (model.weights[:, 0] == 0).tolist() == [False, False, True, True, True, True]
    assert model.bias[0] == pytest.approx(lasso.intercept_, abs=0.02)
    ridge = Ridge(alpha=0.5 * 400 / 2).fit(features, labels)
    model = fitted(job, {"train": (features, labels)}, **settings | {"wd": 0.5})
    np.testing.assert_allclose(model.weights[:, 0], ridge.coef_, atol=0.03)
    assert model.bias[0] == pytest.approx(ridge.intercept_, abs=0.02)


@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_a_quantile_has_its_share_of_held_out_labels_below(
    quantile: float, new_job: NewJob
) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(8000, 3)).astype(np.float32)
    labels = features @ [1, 2, 3] + random.exponential(size=8000)
    train = features[:4000], labels[:4000]
    model = fitted(
        new_job("linear-learner"),
        {"train": train},
        predictor_type="regressor",
        loss="quantile_loss",
        quantile=quantile,
    )
    below = (labels[4000:] < model.scores(Table(features[4000:]))).mean()
    # Three standard errors of a share, once for the training rows and once for those held out.
    assert below == pytest.approx(quantile, abs=3 * (0.09 / 4000 * 2) ** 0.5)


ROWS = 5000


@cache
def noisy() -> tuple[Any, Any]:
    """Two classes that overlap; one record in five is positive."""
    random = np.random.default_rng(0)
    features = random.normal(size=(3 * ROWS, 8)).astype(np.float32)
    odds = features @ np.linspace(-1.5, 1.5, 8) - 2.6
    labels = random.random(3 * ROWS) < 1 / (1 + np.exp(-odds))
    return features, labels.astype(int)


def calibrated(job: JobFolder, **settings: Any) -> tuple[Any, Any, module.Model]:
    """Predictions for held-out records, their labels, and the model."""
    features, labels = noisy()
    pairs = list(zip(np.split(features, 3), np.split(labels, 3), strict=True))
    channels = {"train": pairs[0], "validation": pairs[1]}
    model = fitted(job, channels, predictor_type="binary_classifier", **settings)
    return model.labels(model.scores(Table(pairs[2][0]))), pairs[2][1], model


def measured(predicted: Any, labels: Any) -> tuple[float, float]:
    hits = ((predicted == 1) & (labels == 1)).sum()
    return hits / predicted.sum(), hits / labels.sum()


def tolerance(share: float, count: int) -> float:
    """Three standard errors of the difference of two shares of `count` records each.

    A threshold is set where the share is met among the validation records; among as many other
    records, the same threshold finds another share by chance.
    """
    return float(3 * (2 * share * (1 - share) / count) ** 0.5)


@pytest.mark.parametrize("loss_name", ["logistic", "hinge_loss"])
@pytest.mark.parametrize("target", [0.6, 0.9])
def test_a_target_recall_holds_on_held_out_records_at_a_good_precision(
    target: float, loss_name: str, new_job: NewJob
) -> None:
    predicted, labels, model = calibrated(
        new_job("linear-learner"),
        loss=loss_name,
        binary_classifier_model_selection_criteria="precision_at_target_recall",
        target_recall=target,
    )
    precision, recall = measured(predicted, labels)
    positives = int(labels.sum())
    assert recall == pytest.approx(target, abs=tolerance(target, positives))
    # Not bought with more false alarms than needed: scikit-learn at the same recall.
    best = reference_precision(target)
    assert precision >= best - tolerance(best, int(predicted.sum()))
    assert model.threshold != (0.5 if loss_name == "logistic" else 0.0)


@cache
def reference() -> Any:
    features, labels = noisy()
    return LogisticRegression().fit(features[:ROWS], labels[:ROWS])


def reference_precision(recall: float) -> float:
    """Of scikit-learn's model on the held-out records, with the threshold that gives a recall."""
    features, labels = noisy()
    scores, truth = reference().decision_function(features[2 * ROWS :]), labels[2 * ROWS :]
    threshold = np.quantile(scores[truth == 1], 1 - recall)
    return float(truth[scores >= threshold].mean())


@pytest.mark.parametrize("target", [0.7, 0.9])
def test_a_target_precision_holds_on_held_out_records(target: float, new_job: NewJob) -> None:
    predicted, labels, _ = calibrated(
        new_job("linear-learner"),
        binary_classifier_model_selection_criteria="recall_at_target_precision",
        target_precision=target,
    )
    precision, recall = measured(predicted, labels)
    assert precision >= target - tolerance(target, int(predicted.sum()))
    # Nor is recall given away: at its recall, a precision far above the target was not needed.
    assert precision <= target + tolerance(target, int(predicted.sum()))
    assert reference_precision(recall) <= precision + tolerance(target, int(predicted.sum()))


@pytest.mark.parametrize(
    ("criterion", "beta"), [("accuracy", 1.0), ("f1", 1.0), ("f_beta", 3.0), ("f_beta", 0.3)]
)
def test_the_criterion_is_as_good_on_held_out_records_as_it_can_be(
    criterion: str, beta: float, new_job: NewJob
) -> None:
    predicted, labels, _ = calibrated(
        new_job("linear-learner"),
        binary_classifier_model_selection_criteria=criterion,
        f_beta=beta,
    )

    def value(guesses: Any) -> float:
        if criterion == "accuracy":
            return float((guesses == labels).mean())
        precision, recall = measured(guesses, labels)
        return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)

    scores = reference().predict_proba(noisy()[0][2 * ROWS :])[:, 1]
    # Scikit-learn's model with the threshold that is best for these very records.
    best = max(value((scores >= t).astype(int)) for t in np.linspace(0.05, 0.9, 86))
    # About a thousand positive records: a standard error of 0.015 in recall, and so in f_beta.
    assert value(predicted) >= best - (0.01 if criterion == "accuracy" else 0.03)


@pytest.mark.parametrize("criterion", ["cross_entropy_loss", "loss_function"])
def test_criteria_without_a_threshold_keep_the_natural_one_and_good_probabilities(
    criterion: str, new_job: NewJob
) -> None:
    job = new_job("linear-learner")
    _, labels, model = calibrated(job, binary_classifier_model_selection_criteria=criterion)
    assert model.threshold == 0.5
    features = noisy()[0][2 * ROWS :]
    ours = model.scores(Table(features))
    theirs = reference().predict_proba(features)[:, 1]

    def entropy(scores: Any) -> float:
        return float(-np.log(np.where(labels, scores, 1 - scores)).mean())

    assert entropy(ours) <= 1.01 * entropy(theirs)


def test_balanced_weights_find_as_many_of_either_class_as_scikit_learn(new_job: NewJob) -> None:
    predicted, labels, _ = calibrated(
        new_job("linear-learner"),
        positive_example_weight_mult="balanced",
        binary_classifier_model_selection_criteria="loss_function",
    )
    features, truth = noisy()
    balanced = LogisticRegression(class_weight="balanced").fit(features[:ROWS], truth[:ROWS])
    expected = balanced.predict(features[2 * ROWS :])
    plain = reference().predict(features[2 * ROWS :])
    for label in (0, 1):
        found = (predicted[labels == label] == label).mean()
        assert found == pytest.approx((expected[labels == label] == label).mean(), abs=0.03)
    assert (plain[labels == 1] == 1).mean() < (predicted[labels == 1] == 1).mean() - 0.15


def test_auto_weight_chooses_whatever_serves_the_criterion(new_job: NewJob) -> None:
    job = new_job("linear-learner")
    calibrated(job, positive_example_weight_mult="auto")
    assert "positive_weight=" in job.log
    calibrated(
        job,
        positive_example_weight_mult="auto",
        binary_classifier_model_selection_criteria="cross_entropy_loss",
    )
    # Only unweighted records give probabilities.
    assert "positive_weight=1\n" in job.log


def test_balanced_classes_find_the_rare_one(new_job: NewJob) -> None:
    random = np.random.default_rng(0)
    labels = random.choice(3, p=[0.6, 0.36, 0.04], size=3000)
    features = (random.normal(size=(3000, 2)) + np.eye(3)[labels, :2] * 2).astype(np.float32)
    job = new_job("linear-learner")
    recalls = []
    for balanced in ("false", "true"):
        model = fitted(
            job,
            {"train": (features, labels)},
            predictor_type="multiclass_classifier",
            num_classes=3,
            balance_multiclass_weights=balanced,
        )
        found = model.labels(model.scores(Table(features)))
        recalls.append(float((found[labels == 2] == 2).mean()))
    assert recalls[1] > recalls[0] + 0.3


def test_without_a_bias_the_models_go_through_the_origin(new_job: NewJob) -> None:
    random = np.random.default_rng(0)
    features = random.normal(5, 1, size=(2000, 2)).astype(np.float32)
    labels = features @ [2.0, -1.0] + 10
    job = new_job("linear-learner")
    model = fitted(job, {"train": (features, labels)}, predictor_type="regressor", use_bias="false")
    assert model.bias[0] == 0
    model = fitted(job, {"train": (features, labels)}, predictor_type="regressor")
    assert model.bias[0] == pytest.approx(10, abs=0.5)
