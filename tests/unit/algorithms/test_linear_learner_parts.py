from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.sparse import csr_matrix
from sklearn.metrics import fbeta_score, roc_auc_score

from algorithms.linear_learner.calibration import calibrate
from algorithms.linear_learner.data import Block, scaler
from algorithms.linear_learner.losses import loss
from algorithms.linear_learner.optimizers import Optimizer, Rule
from algorithms.linear_learner.scores import binary, multiclass, ranks
from algorithms.linear_learner.settings import Schedule
from algorithms.toolkit.classification import roc_auc
from algorithms.toolkit.peers import Peers

ALONE = Peers("algo-1", ("algo-1",))
LOSSES = {
    "logistic": "classes",
    "hinge_loss": "classes",
    "softmax_loss": "many",
    "squared_loss": "numbers",
    "absolute_loss": "numbers",
    "eps_insensitive_squared_loss": "numbers",
    "eps_insensitive_absolute_loss": "numbers",
    "huber_loss": "numbers",
    "quantile_loss": "numbers",
}
PARAMETERS = {"margin": 0.7, "loss_insensitivity": 0.3, "huber_delta": 0.6, "quantile": 0.2}


def some_labels(kind: str, random: np.random.Generator, rows: int) -> Any:
    if kind == "numbers":
        return random.normal(size=rows)
    return random.integers(0, 4 if kind == "many" else 2, size=rows)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_each_gradient_is_the_slope_of_its_loss(name: str) -> None:
    random = np.random.default_rng(0)
    classes = 4 if name == "softmax_loss" else 1
    found = loss(name, PARAMETERS, classes)
    labels = some_labels(LOSSES[name], random, 20)
    scores = random.normal(size=(20, 3 * classes))

    def total(flat: Any) -> float:
        return float(found.value(flat.reshape(scores.shape), labels).sum())

    slope = approx_fprime(scores.ravel(), total, 1e-7).reshape(scores.shape)
    np.testing.assert_allclose(found.gradient(scores, labels), slope, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "label", "score", "expected"),
    [
        ("logistic", 1, 0.0, np.log(2)),
        ("logistic", 0, 1000.0, 1000.0),
        ("hinge_loss", 1, 0.2, 0.5),
        ("hinge_loss", 0, -0.7, 0.0),
        ("squared_loss", 1.0, 3.0, 4.0),
        ("absolute_loss", 1.0, 3.0, 2.0),
        ("eps_insensitive_squared_loss", 1.0, 2.3, 1.0),
        ("eps_insensitive_absolute_loss", 1.0, 2.3, 1.0),
        ("eps_insensitive_absolute_loss", 1.0, 1.3, 0.0),
        ("huber_loss", 0.0, 0.5, 0.125),
        ("huber_loss", 0.0, 2.6, 0.6 * 2.3),
        ("quantile_loss", 1.0, 0.0, 0.2),
        ("quantile_loss", 0.0, 1.0, 0.8),
    ],
)
def test_a_loss_has_the_value_that_its_definition_gives(
    name: str, label: float, score: float, expected: float
) -> None:
    value = loss(name, PARAMETERS, 1).value(np.array([[score]]), np.array([label]))
    assert value[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop"])
def test_an_optimizer_finds_the_minimum_of_loss_and_penalties(name: str) -> None:
    # (w - 2)^2 / 2 + wd w^2 / 2 + l1 |w| is least at (2 - l1) / (1 + wd), or at 0.
    wd = np.array([0.0, 1.0, 0.0, 0.5, 0.0], dtype=np.float32)
    l1 = np.array([0.0, 0.0, 0.5, 0.5, 3.0], dtype=np.float32)
    weights = np.ones((1, 5), dtype=np.float32)
    optimizer = Optimizer(Rule(name, momentum=0.5), weights, wd=wd, l1=l1)
    for step in range(2000):
        optimizer.step(weights - 2, np.full(5, 0.1 * 0.997**step, dtype=np.float32))
    np.testing.assert_allclose(weights[0], [2, 1, 1.5, 1, 0], atol=0.01)
    assert weights[0, 4] == 0


def test_momentum_adds_up_and_without_it_a_step_is_rate_times_gradient() -> None:
    none = np.zeros(1, dtype=np.float32)
    rate, gradient = np.ones(1, dtype=np.float32), np.ones((1, 1), dtype=np.float32)
    for momentum, expected in ((0.0, -2.0), (0.5, -2.5)):
        weights = np.zeros((1, 1), dtype=np.float32)
        optimizer = Optimizer(Rule("sgd", momentum=momentum), weights, wd=none, l1=none)
        optimizer.step(gradient, rate)
        optimizer.step(gradient, rate)
        assert weights[0, 0] == expected


def test_the_rate_falls_in_steps_down_to_its_minimum() -> None:
    schedule = Schedule(step=10, factor=0.5, minimum=0.2)
    start = np.array([1.0, 0.1], dtype=np.float32)
    rates = [schedule.rates(start, steps)[0] for steps in (0, 9, 10, 29, 30)]
    assert rates == pytest.approx([1, 1, 0.5, 0.25, 0.2])
    assert schedule.rates(start, 100)[1] == np.float32(0.1)


@pytest.mark.parametrize("unbias", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
def test_sparse_records_are_normalised_like_dense_ones(unbias: bool, normalize: bool) -> None:
    random = np.random.default_rng(0)
    dense = (random.normal(3, 2, (50, 6)) * (random.random((50, 6)) < 0.4)).astype(np.float32)
    sparse = csr_matrix(dense)
    found = [scaler(x, unbias=unbias, normalize=normalize, peers=ALONE) for x in (dense, sparse)]
    np.testing.assert_allclose(found[0].scale, found[1].scale, rtol=1e-6)
    expected = dense.astype(np.float64)
    if unbias:
        expected = expected - expected.mean(axis=0)
    if normalize:
        expected = expected / dense.astype(np.float64).std(axis=0)
    weights = random.normal(size=(6, 4)).astype(np.float32)
    gradient = random.normal(size=(50, 4)).astype(np.float32)
    for features, scaling in zip((dense, sparse), found, strict=True):
        block = Block(features, scaling)
        np.testing.assert_allclose(block.times(weights), expected @ weights, atol=1e-4)
        np.testing.assert_allclose(block.back(gradient), expected.T @ gradient, atol=1e-4)
        assert block.squares() == pytest.approx((expected**2).sum(), rel=1e-4)


def criterion_value(
    criterion: str, predicted: Any, labels: Any, settings: dict[str, float]
) -> float:
    hits = ((predicted == 1) & (labels == 1)).sum()
    precision = hits / predicted.sum() if predicted.any() else 0.0
    recall = hits / labels.sum()
    if criterion == "accuracy":
        return float((predicted == labels).mean())
    if criterion in ("f1", "f_beta"):
        beta = 1.0 if criterion == "f1" else settings["f_beta"]
        return float(fbeta_score(labels, predicted, beta=beta, zero_division=0))
    if criterion == "precision_at_target_recall":
        return float(precision) if recall >= settings["target_recall"] else -1.0
    return float(recall) if precision >= settings["target_precision"] else -1.0


CRITERIA = ["accuracy", "f1", "f_beta", "precision_at_target_recall", "recall_at_target_precision"]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_would_serve_the_criterion_better(criterion: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    settings = {"f_beta": 2.0, "target_recall": 0.7, "target_precision": 0.6}
    # Rounded, so that many scores are the same.
    scores = np.round(random.random(60), 1 + seed % 2)
    labels = (random.random(60) < scores).astype(int)
    threshold, value = calibrate(scores, labels, criterion, settings, 0.5)
    assert value == pytest.approx(
        criterion_value(criterion, (scores >= threshold).astype(int), labels, settings)
    )
    every = np.concatenate([np.unique(scores), [2.0]])
    assert value == pytest.approx(
        max(criterion_value(criterion, (scores >= t).astype(int), labels, settings) for t in every)
    )


def test_of_thresholds_that_are_equally_good_the_natural_one_is_kept() -> None:
    scores, labels = np.array([0.1, 0.2, 0.9, 0.95]), np.array([0, 0, 1, 1])
    assert calibrate(scores, labels, "accuracy", {}, 0.5) == (0.5, 1.0)


def test_a_precision_that_no_threshold_reaches_gives_the_highest_one() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7, 0.1]), np.array([0, 1, 1, 0])
    threshold, value = calibrate(
        scores, labels, "recall_at_target_precision", {"target_precision": 0.99}, 0.5
    )
    assert value == pytest.approx(2 / 3 - 2)
    assert (scores >= threshold).tolist() == [True, True, True, False]


def test_area_under_the_curve_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    scores, labels = np.round(random.random(100), 1), random.integers(0, 2, 100)
    assert roc_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    assert roc_auc(scores, np.ones(100)) is None


def test_scores_of_two_classes_count_hits_and_misses() -> None:
    predicted, labels = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0])
    found = binary(predicted.astype(float), predicted, labels, {"f_beta": 2.0})
    assert found["binary_classification_accuracy"] == pytest.approx(0.6)
    assert found["precision"] == found["recall"] == pytest.approx(2 / 3)
    assert found["binary_f_2.000"] == pytest.approx(fbeta_score(labels, predicted, beta=2))


def test_scores_of_many_classes_look_at_the_rank_of_the_right_one() -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    labels = np.array([0, 1, 2, 1])
    settings = {"f_beta": 0.5, "accuracy_top_k": 2}
    found = multiclass(ranks(scores, labels), scores.argmax(axis=1), labels, settings)
    assert found["multiclass_accuracy"] == 0.25
    # Of the two classes with 0.2 in the last row, the first comes before the right one.
    assert found["multiclass_top_k_accuracy_2"] == 0.5
    assert found["dcg"] == pytest.approx((1 + 1 / np.log2(3) + 0.5 + 0.5) / 4)
    assert found["macro_f_0.500"] == pytest.approx(
        fbeta_score(labels, scores.argmax(axis=1), beta=0.5, average="macro", zero_division=0)
    )
