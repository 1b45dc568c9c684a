"""Linear Learner beside scikit-learn on held-out data, and records a second."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, RidgeCV, SGDClassifier
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from algorithms.linear_learner import load
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure
from datasets import shuttle

Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]

_SPLITS = 4
_TIMES = 3
_EPOCHS = 5
_SETS: dict[str, tuple[Any, dict[str, Any]]] = {
    "breast cancer": (load_breast_cancer, {"predictor_type": "binary_classifier"}),
    "digits": (load_digits, {"predictor_type": "multiclass_classifier", "num_classes": 10}),
}


def measure() -> list[Figure]:
    """Accuracy and F1 less the reference's, RMSE over Ridge's, and time."""
    figures = []
    for name in _SETS:
        differences = np.array([_classes(name, seed) for seed in range(_SPLITS)]).T
        for kind, values in zip(("accuracy", "F1"), differences.tolist(), strict=True):
            note = "in hundredths; goal: -1"
            figures.append(Figure(f"{name}: {kind} less that of scikit-learn", "", values, note))
    ratios = [_numbers(seed) for seed in range(_SPLITS)]
    return [*figures, Figure("diabetes: RMSE over Ridge", "x", ratios, "goal: 1.02"), *_time()]


def _parts(loader: Any, seed: int) -> list[Pair]:  # noqa: ANN401 scikit-learn has no types
    features, labels = loader(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    cuts = [len(labels) // 2, 3 * len(labels) // 4]
    columns = (features[order].astype(np.float32), labels[order].astype(np.float32))
    return list(zip(*(np.split(column, cuts) for column in columns), strict=True))


def _channels(**parts: Pair) -> dict[str, tuple[str, dict[str, bytes]]]:
    return {
        name: ("application/x-recordio-protobuf", {"a.pbr": recordio.write(Table(*pair))})
        for name, pair in parts.items()
    }


def _classes(name: str, seed: int) -> tuple[float, float]:
    loader, settings = _SETS[name]
    train, validation, (features, labels) = _parts(loader, seed)
    channels = _channels(train=train, validation=validation)
    with trained("linear-learner", channels, settings) as job:
        model = load(job.model)
    found = model.labels(model.scores(Table(features)))
    reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(*train)
    expected = reference.predict(features)
    average = "binary" if name == "breast cancer" else "macro"
    scores = [f1_score(labels, told, average=average) for told in (found, expected)]
    accuracy = (found == labels).mean() - (expected == labels).mean()
    return 100 * float(accuracy), 100 * float(scores[0] - scores[1])


def _numbers(seed: int) -> float:
    train, validation, (features, labels) = _parts(load_diabetes, seed)
    channels = _channels(train=train, validation=validation)
    with trained("linear-learner", channels, {"predictor_type": "regressor"}) as job:
        scores = load(job.model).scores(Table(features))
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 20))).fit(*train)
    errors = [np.sqrt(((told - labels) ** 2).mean()) for told in (scores, ridge.predict(features))]
    return float(errors[0] / errors[1])


def _time() -> list[Figure]:
    found = shuttle.rows()
    rows, labels = found.features, found.unusual.astype(np.float32)
    settings = {
        "predictor_type": "binary_classifier",
        "epochs": _EPOCHS,
        "early_stopping_patience": _EPOCHS,
    }
    own: list[float] = []
    several: list[float] = []
    peers: list[float] = []
    channels = _channels(train=(rows, labels))
    for _ in range(_TIMES):
        for models, values in ((1, own), (32, several)):
            with trained("linear-learner", channels, {**settings, "num_models": models}) as job:
                values.append(_EPOCHS * len(rows) / job.seconds / 1e3)
        began = time.process_time()
        peer = SGDClassifier(loss="log_loss", max_iter=_EPOCHS, tol=None, random_state=0)
        make_pipeline(StandardScaler(), peer).fit(rows, labels)
        peers.append(_EPOCHS * len(rows) / (time.process_time() - began) / 1e3)
    what = f"{len(rows)} rows of {rows.shape[1]} numbers, {_EPOCHS} epochs"
    return [
        Figure("records by the whole job, 1 model", "k/s", own, what),
        Figure("records by the whole job, 32 models", "k/s", several, what),
        Figure("records by SGDClassifier, 1 model, in memory", "k/s", peers, what),
    ]
