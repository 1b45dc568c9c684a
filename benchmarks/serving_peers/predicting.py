"""The same work for every peer: numbers of text/csv in, JSON out, by the model of the benchmark."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xgboost

MODEL = Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model"


def predictor() -> Callable[[str], list[float]]:
    """What answers a text of rows: XGBoost's predictions, or the nearest centre of each."""
    if (MODEL / "xgboost-model").exists():
        booster = xgboost.Booster()
        booster.load_model(bytearray((MODEL / "xgboost-model").read_bytes()))
        booster.set_param({"nthread": 1})
        return lambda text: booster.inplace_predict(_numbers(text)).tolist()
    with np.load(MODEL / "kmeans-model.npz", allow_pickle=False) as archive:
        centers = archive["centers"]
    squares = (centers**2).sum(axis=1)
    return lambda text: (squares - 2 * _numbers(text) @ centers.T).argmin(axis=1).tolist()


def _numbers(text: str) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.loadtxt(io.StringIO(text), delimiter=",", dtype=np.float32, ndmin=2)
