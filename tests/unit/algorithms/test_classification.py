import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from algorithms.toolkit.classification import Confusion, folds
from algorithms.toolkit.errors import CustomerError

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)
binary = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30)


@given(pairs)
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, guess = map(np.array, zip(*pairs, strict=True))
    confusion = Confusion(truth, guess)
    assert confusion.accuracy() == pytest.approx(metrics.accuracy_score(truth, guess))
    assert confusion.balanced_accuracy() == pytest.approx(
        np.mean([(guess[truth == c] == c).mean() for c in set(truth.tolist())])
    )
    for average in ("macro", "micro"):
        for ours, theirs in (
            (confusion.f1, metrics.f1_score),
            (confusion.precision, metrics.precision_score),
            (confusion.recall, metrics.recall_score),
        ):
            assert ours(average) == pytest.approx(
                theirs(truth, guess, average=average, zero_division=0)
            )


@given(binary)
def test_binary_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, guess = map(np.array, zip(*pairs, strict=True))
    confusion = Confusion(truth, guess)
    assert confusion.f1("binary") == pytest.approx(metrics.f1_score(truth, guess, zero_division=0))


def test_a_binary_score_of_several_classes_is_refused() -> None:
    with pytest.raises(CustomerError, match="Target is multiclass but average='binary'"):
        Confusion(np.array([0, 1, 2]), np.array([0, 1, 2])).f1("binary")


def test_folds_hold_every_record_once_and_every_class_evenly() -> None:
    labels = np.repeat([0, 1], [90, 10])
    parts = folds(labels, 100, 5, np.random.default_rng(0))
    assert sorted(np.concatenate(parts).tolist()) == list(range(100))
    assert [int(labels[part].sum()) for part in parts] == [2] * 5
