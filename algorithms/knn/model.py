"""The artifact of k-NN, and its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.knn import index as indexes
from algorithms.knn import reduction
from algorithms.toolkit import arrays, content
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FloatArray, FormatError

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Request

MODEL_FILE = "knn-model.npz"
FORMAT = "sagemaker-platform/knn"
FORMAT_VERSION = 1
_SETTINGS = ("k", "width", "predictor_type", "index_type", "index_metric", "probes")


class Model:
    """Rows with their labels, among which the neighbours of a record are looked for."""

    accepts: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES, content.RECORDIO)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.CSV, content.RECORDIO)
    json_key = "predictions"

    def __init__(self, settings: dict[str, Any], parts: dict[str, Any]) -> None:
        """What `train` was told, and the arrays of the projection and the index."""
        self.settings = settings
        self.parts = parts
        self.width = int(settings["width"])
        self._labels = parts["labels"]
        self.index = indexes.built(
            settings["index_type"], settings["index_metric"], settings["probes"], parts
        )

    def neighbours(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The distances and the labels of the k nearest of each row, the nearest first."""
        rows = prepared(rows, self.settings["index_metric"], self.parts, self.index.d)
        distances, found = indexes.search(self.index, rows, int(self.settings["k"]))
        if self.settings["index_metric"] == "COSINE":
            distances = 1 - distances
        elif self.settings["index_metric"] == "INNER_PRODUCT":
            distances = -distances
        return distances, self._labels[found]

    def decided(self, labels: FloatArray) -> npt.NDArray[np.float64]:
        """What neighbours with these labels, the nearest first, make of each row."""
        if self.settings["predictor_type"] == "regressor":
            means: npt.NDArray[np.float64] = labels.mean(axis=1, dtype=np.float64)
            return means
        votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)
        # Of classes with as many votes, the first to come is the one that is nearest.
        winners: npt.NDArray[np.float64] = labels[np.arange(len(labels)), votes.argmax(axis=1)]
        return winners.astype(np.float64)

    def respond(self, request: Request) -> bytes:
        """Labels, and with `verbose=true` the neighbours' distances and labels besides."""
        from algorithms.toolkit.invocations import encode, read_table

        told = request.accept.parameters.get("verbose", "false")
        if told not in {"true", "false"}:
            raise FormatError(f"Accept has verbose={told}; true and false are allowed")
        table = read_table(self, request.content_type, request.body)
        distances, labels = self.neighbours(table.dense())
        answers: list[dict[str, Any]] = [
            {"predicted_label": value} for value in self.decided(labels).tolist()
        ]
        if told == "true":
            for answer, far, near in zip(answers, distances.tolist(), labels.tolist(), strict=True):
                answer.update(distances=far, labels=near)
        return encode(self, answers, request.accept.name, batch=request.batch)

    def predict(self, table: Any) -> list[dict[str, Any]]:
        """The label of each record."""
        return [
            {"predicted_label": value}
            for value in self.decided(self.neighbours(table.dense())[1]).tolist()
        ]

    def csv(self, answers: Any, *, batch: bool) -> str:
        """One line a record: the label, then the distances and the labels of a verbose answer."""
        lines = [
            ",".join(
                map(str, (a["predicted_label"], *a.get("distances", ()), *a.get("labels", ())))
            )
            for a in answers
        ]
        return "\n".join(lines) + ("\n" if batch else "")


def prepared(rows: FloatArray, metric: str, parts: dict[str, Any], width: int) -> FloatArray:
    """Rows as the index holds them: projected, of length 1 for COSINE, padded with zeros."""
    if "signs" in parts:
        rows = reduction.apply(rows, parts)
    if metric == "COSINE":
        rows = indexes.normalised(rows)
    if rows.shape[1] < width:
        rows = np.pad(rows, ((0, 0), (0, width - rows.shape[1])))
    return np.ascontiguousarray(rows, dtype=np.float32)


def save(folder: Path, settings: dict[str, Any], parts: dict[str, Any]) -> None:
    """Write the artifact, of what a `Model` is made: arrays alone."""
    arrays.save(
        folder / MODEL_FILE,
        FORMAT,
        FORMAT_VERSION,
        settings=np.array(json.dumps(settings)),
        **parts,
    )


def load(folder: Path) -> Model:
    """The rows that `train` left, indexed again."""
    parts = arrays.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "k-NN")
    try:
        settings = json.loads(str(parts.pop("settings")))
        parts = {key: each for key, each in parts.items() if not key.startswith("format")}
        _check(settings, parts)
        return Model(settings, parts)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise CustomerError(f"{MODEL_FILE} holds no index of k-NN: {error}") from None


def _check(settings: dict[str, Any], parts: dict[str, Any]) -> None:
    """Hold arrays to one another: faiss itself trusts what it is given."""
    for name in _SETTINGS:
        _need(name in settings, f"no {name}")
    kind, labels = settings["index_type"], parts["labels"]
    _need(kind in {indexes.FLAT, indexes.IVF_FLAT, indexes.IVF_PQ}, f"index_type {kind}")
    _floats(labels, "labels", 1)
    _need(
        0 < settings["k"] <= len(labels) and settings["width"] > 0 and settings["probes"] > 0,
        "its numbers do not fit",
    )
    if kind == indexes.IVF_PQ:
        books, codes, places = parts["parts"], parts["codes"], parts["lists"]
        _floats(books, "parts", 3)
        size = books.shape[1]
        bits = size.bit_length() - 1
        _need(size == 1 << bits and bits <= 8, "parts of the wrong size")
        _need(
            codes.dtype == np.uint8 and codes.shape == (len(labels), (len(books) * bits + 7) // 8),
            "codes of the wrong shape",
        )
        _need(places.dtype == np.int32 and places.shape == labels.shape, "lists")
        _need(
            settings["index_metric"] == "L2"
            and parts["centroids"].shape[1] == len(books) * books.shape[2]
            and int(places.min()) >= 0
            and int(places.max()) < len(parts["centroids"]),
            "lists that it lacks",
        )
        width = parts["centroids"].shape[1]
    else:
        _floats(parts["vectors"], "vectors", 2)
        _need(len(parts["vectors"]) == len(labels), "not a label for each row")
        width = parts["vectors"].shape[1]
    if kind != indexes.FLAT:
        _floats(parts["centroids"], "centroids", 2)
        _need(parts["centroids"].shape[1] == width, "centroids of another width")
    own = settings["width"]
    if "signs" in parts:
        signs = parts["signs"]
        _need(signs.dtype == np.int8 and len(signs) == own, "a projection of another width")
        own = len(parts["places"]) if "places" in parts else signs.shape[1]
    _need(own <= width, "rows of another width")


def _floats(array: Any, name: str, dimensions: int) -> None:
    _need(
        array.dtype == np.float32
        and array.ndim == dimensions
        and array.size > 0
        and bool(np.isfinite(array).all()),
        f"{name} that are no finite numbers",
    )


def _need(right: bool, what: str) -> None:
    if not right:
        raise ValueError(what)
