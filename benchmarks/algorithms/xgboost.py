"""XGBoost beside the library itself: the same predictions, and training time over its own."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from algorithms.toolkit.formats.table import Table
from algorithms.xgboost import load
from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure
from datasets import shuttle

Matrix = npt.NDArray[np.float32]

_RUNS = 5
_SETS: dict[str, tuple[Any, dict[str, Any]]] = {
    "breast cancer": (load_breast_cancer, {"objective": "binary:logistic"}),
    "digits": (load_digits, {"objective": "multi:softprob", "num_class": 10}),
    "diabetes": (load_diabetes, {"objective": "reg:squarederror"}),
}
_ROUNDS = 50
_TIMED = {"objective": "binary:logistic", "max_depth": 6, "nthread": 1}
_TIMED_ROUNDS = 100


def measure() -> list[Figure]:
    """The share of predictions that are the library's to the last bit, and time."""
    figures = []
    for name, (loader, settings) in _SETS.items():
        features, labels = loader(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(labels))
        rows = np.column_stack([labels, features])[order].astype(np.float32)
        cut = 3 * len(rows) // 4
        with trained("xgboost", _channel(rows[:cut]), {**settings, "num_round": _ROUNDS}) as job:
            found = load(job.model).scores(Table(rows[cut:, 1:]))
        matrix = xgboost.DMatrix(rows[:cut, 1:], rows[:cut, 0])
        booster = xgboost.train(settings, matrix, _ROUNDS)
        expected = booster.predict(xgboost.DMatrix(rows[cut:, 1:]))
        same = 100 * float((found == expected).mean())
        figures.append(Figure(f"{name}: predictions that are the library's", "%", [same]))
    return [*figures, _time()]


def _channel(rows: Matrix) -> dict[str, tuple[str, dict[str, bytes]]]:
    text = "\n".join(",".join(map(repr, row)) for row in rows.tolist())
    return {"train": ("text/csv", {"rows.csv": text.encode()})}


def _time() -> Figure:
    found = shuttle.rows()
    rows = np.tile(np.column_stack([found.unusual, found.features]), (4, 1)).astype(np.float32)
    channel = _channel(rows)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(channel["train"][1]["rows.csv"])
        for _ in range(_RUNS):
            began = time.process_time()
            table = np.loadtxt(path, delimiter=",", dtype=np.float32)
            matrix = xgboost.DMatrix(table[:, 1:], table[:, 0], nthread=1)
            # As the container does after each round.
            booster = xgboost.train(
                _TIMED, matrix, _TIMED_ROUNDS, evals=[(matrix, "train")], verbose_eval=False
            )
            booster.save_model(Path(folder) / "model.ubj")
            bare = time.process_time() - began
            with trained("xgboost", channel, {**_TIMED, "num_round": _TIMED_ROUNDS}) as job:
                ratios.append(job.seconds / bare)
    what = f"{len(rows)} rows of CSV, {_TIMED_ROUNDS} rounds, {bare:.1f} s of one core"
    return Figure("shuttle, four times: time over the library's, read by numpy", "x", ratios, what)
