"""k-means: a streaming pass that keeps more centres than asked, then Lloyd's algorithm over these.

The outline is AWS's: k * extra_center_factor centres learnt from mini-batches, each with the
weight of the points it stands for, then several local trials of Lloyd's algorithm on the weighted
centres. What AWS does not publish is ours: `auto` is 10 for extra_center_factor and for the number
of trials, as its logs show; a centre moves by its exact weighted mean; a local trial is scored on
the centres.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit import arrays, content, measured
from algorithms.toolkit.channels import Form, records
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.peers import Peers, meet
from algorithms.toolkit.records import Held, Records
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Answers
    from algorithms.toolkit.formats.table import Table
    from algorithms.toolkit.job import Job

MODEL_FILE = "kmeans-model.npz"
FORMAT = "sagemaker-platform/kmeans"
FORMAT_VERSION = 1

AUTO_EXTRA_CENTER_FACTOR = 10
AUTO_TRIALS = 10
# Of one block of distances while assigning points, in numbers.
_BLOCK = 4_000_000
# Records that are measured at once.
_MEASURED = 10_000
_FORM = Form(allowed=(content.RECORDIO, content.CSV), label_size=0)

Matrix = npt.NDArray[np.float64]


def train(job: Job) -> None:
    """Find k centres of the `train` channel, and measure them there and on `test`."""
    with meet(job) as peers:
        _train(job, peers)


def _train(job: Job, peers: Peers) -> None:
    settings = job.hyperparameters
    dimension, k = int(settings["feature_dim"]), int(settings["k"])
    if not settings["force_dense"]:
        log.warning(
            "force_dense is false, which has no effect: the rows of a mini-batch are made dense, "
            "and what is read stays as it is"
        )
    channels = {
        name: _Points(name, records(channel, _FORM.of_width(dimension)), dimension)
        for name, channel in job.channels.items()
    }
    points = channels["train"]

    started = time.time()
    # All hosts choose alike, and each goes through its own points in an order of its own.
    random, order = np.random.default_rng(0), np.random.default_rng([1, peers.rank])
    factor = _auto(settings.get("extra_center_factor"), AUTO_EXTRA_CENTER_FACTOR)
    stream = Stream(
        count=k * factor,
        init_method=settings["init_method"],
        half_life=int(settings["half_life_time_size"]),
        random=random,
        peers=peers,
    )
    epochs, size = int(settings["epochs"]), int(settings["mini_batch_size"])
    for epoch in range(epochs):
        epoch_started = time.time()
        own, total = 0, 0
        batches = points.batches(size, order)
        # A host that is through takes part with nothing until all are.
        while True:
            batch = next(batches, np.empty((0, dimension)))
            rows = stream.update(batch)
            if not rows:
                break
            own, total = own + len(batch), total + rows
        if total < k:
            raise CustomerError(f"k is {k}, but the train channel has only {total} records")
        stream.settle()
        seconds = max(time.time() - epoch_started, 1e-9)
        log.info("#progress_metric: host=%s, completed %g %%", job.host, 100 * (epoch + 1) / epochs)
        log.info(
            "#throughput_metric: host=%s, train throughput=%s records/second",
            job.host,
            own / seconds,
        )
    log.info("shrinking %d centers into %d", len(stream.centers), k)
    centers = lloyd(
        stream.centers,
        stream.weights,
        k,
        init_method=settings["local_lloyd_init_method"],
        trials=_auto(settings["local_lloyd_num_trials"], AUTO_TRIALS),
        max_iter=int(settings["local_lloyd_max_iter"]),
        tol=float(settings["local_lloyd_tol"]),
        random=random,
    ).astype(np.float32)
    metrics = list(settings["eval_metrics"])
    for name, each in channels.items():
        _report(job, peers, name, each, centers, metrics, started)
    if peers.first:
        save(job.model_dir, centers)
    # Nobody leaves before all are through: who ends early looks like one that died.
    peers.gather({})


def _auto(value: Any, automatic: int) -> int:
    return automatic if value in (None, "auto") else int(value)


class _Points:
    """The points of a channel, held to their width, as dense matrices of 64 bits."""

    def __init__(self, channel: str, found: Records, dimension: int) -> None:
        self._channel = channel
        self._records = found
        self._dimension = dimension
        if isinstance(found, Held):
            self._check(found.table)

    def batches(self, size: int, random: np.random.Generator) -> Iterator[Matrix]:
        """All of them in a new order each time: files are often sorted by class."""
        for table in self._records.batches(repeat(size), random):
            self._check(table)
            yield _wide(table)

    def pieces(self, size: int) -> Iterator[Matrix]:
        """All of them in their order."""
        for table in self._records.pieces(size):
            self._check(table)
            yield _wide(table)

    def _check(self, table: Table) -> None:
        if table.width != self._dimension:
            where = table.place(0) if table.files else "the first record"
            raise CustomerError(
                f"feature_dim is {self._dimension}, but {where} of channel {self._channel} has "
                f"{table.width} features"
            )


def _wide(table: Table) -> Matrix:
    return np.asarray(table.dense(), dtype=np.float64)


def squared_distances(points: Matrix, centers: Matrix) -> Matrix:
    """The squared Euclidean distance of each point to each centre."""
    found = points @ (-2 * centers.T)
    found += np.einsum("ij,ij->i", points, points)[:, None]
    found += np.einsum("ij,ij->i", centers, centers)
    return np.maximum(found, 0, out=found)


def nearest(points: Matrix, centers: Matrix) -> tuple[npt.NDArray[np.intp], Matrix]:
    """The nearest centre of each point, and its squared distance."""
    closest = np.empty(len(points), dtype=np.intp)
    distance = np.empty(len(points))
    step = max(1, _BLOCK // max(1, len(centers)))
    for start in range(0, len(points), step):
        block = squared_distances(points[start : start + step], centers)
        closest[start : start + step] = best = block.argmin(axis=1)
        distance[start : start + step] = block[np.arange(len(best)), best]
    return closest, distance


def means(
    points: Matrix, weights: Matrix, assigned: npt.NDArray[np.intp], count: int
) -> tuple[Matrix, npt.NDArray[Any]]:
    """The weighted sum of the points of each centre, and the sum of their weights."""
    from scipy.sparse import csr_matrix

    rows = len(points)
    members = csr_matrix((weights, (assigned, np.arange(rows))), shape=(count, rows))
    return np.asarray(members @ points), np.bincount(assigned, weights=weights, minlength=count)


class Stream:
    """Centres that follow a stream of points, seen once each.

    Each centre is the mean of the points it was nearest to. With a half life, what was seen so many
    points ago counts half. The hosts of a job each bring their points of a mini-batch, and hold the
    same centres after it: those that one host with all of these points would have.
    """

    def __init__(
        self,
        *,
        count: int,
        init_method: str,
        half_life: int,
        random: np.random.Generator,
        peers: Peers,
    ) -> None:
        self._count = count
        self._init_method = init_method
        self._half_life = half_life
        self._random = random
        self._peers = peers
        self._waiting: list[Matrix] = []
        self._seen: list[Matrix] = []
        self.centers: Matrix = np.empty((0, 0))
        self.weights: Matrix = np.empty(0)

    def update(self, points: Matrix) -> int:
        """Take one mini-batch, or this host's part of it, and tell how many points it has in all.

        Once no host has any left, that is 0.
        """
        if len(self.centers):
            return self._move(points)
        # Too small a first batch cannot yield all centres: it waits for the next.
        everything = [part["points"] for part in self._peers.gather({"points": points})]
        self._waiting.append(points)
        self._seen.extend(everything)
        if sum(map(len, self._seen)) >= self._count:
            self._begin()
        return sum(map(len, everything))

    def settle(self) -> None:
        """Make do with the points that came, where they are fewer than the centres asked for."""
        if not len(self.centers):
            self._count = min(self._count, sum(map(len, self._seen)))
            self._begin()

    def _begin(self) -> None:
        first, points = np.concatenate(self._seen), np.concatenate(self._waiting)
        self._seen.clear()
        self._waiting.clear()
        self.centers = choose(
            first, np.ones(len(first)), self._count, self._init_method, self._random
        )
        self.weights = np.zeros(self._count)
        self._move(points)

    def _move(self, points: Matrix) -> int:
        assigned, _ = nearest(points, self.centers)
        sums, counts = means(points, np.ones(len(points)), assigned, self._count)
        merged = self._peers.total({"sums": sums, "counts": counts, "rows": np.array(len(points))})
        sums, counts, rows = merged["sums"], merged["counts"], int(merged["rows"])
        if self._half_life:
            self.weights *= 0.5 ** (rows / self._half_life)
        met = counts > 0
        total = self.weights[met] + counts[met]
        self.centers[met] = (self.centers[met] * self.weights[met, None] + sums[met]) / total[
            :, None
        ]
        self.weights[met] = total
        return rows


def choose(
    points: Matrix, weights: Matrix, count: int, method: str, random: np.random.Generator
) -> Matrix:
    """First centres: random points, or by k-means++, each far from those before it."""
    usable = np.flatnonzero(weights > 0)
    if method == "random":
        chosen: Matrix = points[random.choice(usable, size=count, replace=len(usable) < count)]
        return chosen
    candidates = 2 + int(np.log(count))
    chosen = np.empty((count, points.shape[1]))
    chosen[0] = points[random.choice(len(points), p=weights / weights.sum())]
    distance = squared_distances(points, chosen[:1])[:, 0]
    for i in range(1, count):
        odds = weights * distance
        total = odds.sum()
        if total <= 0:
            # Fewer different points than centres: the rest are repetitions.
            chosen[i:] = points[random.choice(usable, size=count - i)]
            break
        # Several candidates, of which the one that helps most stays.
        picks = np.searchsorted(np.cumsum(odds), random.random(candidates) * total)
        picks = np.minimum(picks, len(points) - 1)
        after = np.minimum(distance[:, None], squared_distances(points, points[picks]))
        best = int((weights @ after).argmin())
        chosen[i], distance = points[picks[best]], after[:, best]
    return chosen


def lloyd(
    points: Matrix,
    weights: Matrix,
    k: int,
    *,
    init_method: str,
    trials: int,
    max_iter: int,
    tol: float,
    random: np.random.Generator,
) -> Matrix:
    """The best of several trials of Lloyd's algorithm on weighted points."""
    met = weights > 0
    points, weights = points[met], weights[met]
    enough = tol * float(points.var(axis=0).mean())
    best, best_loss = points[:0], np.inf
    for trial in range(trials):
        centers = choose(points, weights, k, init_method, random)
        for _ in range(max_iter):
            assigned, distance = nearest(points, centers)
            sums, counts = means(points, weights, assigned, k)
            moved = centers.copy()
            filled = counts > 0
            moved[filled] = sums[filled] / counts[filled, None]
            for empty in np.flatnonzero(~filled):
                # A centre without points takes over the point that is served worst.
                worst = int((weights * distance).argmax())
                moved[empty], distance[worst] = points[worst], 0
            shift = float(((moved - centers) ** 2).sum())
            centers = moved
            if shift <= enough:
                break
        loss = float(weights @ nearest(points, centers)[1] / weights.sum())
        log.info("local kmeans attempt #%d, current mean square distance %f", trial, loss)
        if loss < best_loss:
            best, best_loss = centers, loss
    return best


def _report(
    job: Job,
    peers: Peers,
    name: str,
    points: _Points,
    centers: npt.NDArray[np.float32],
    metrics: Sequence[str],
    started: float,
) -> None:
    """Log how far the points of a channel are from their centres, in AWS's words."""
    wide = centers.astype(np.float64)
    total, rows = 0.0, 0
    for piece in points.pieces(_MEASURED):
        total += float(nearest(piece, wide)[1].sum())
        rows += len(piece)
    everywhere = peers.total({"ssd": np.array(total), "rows": np.array(rows)})
    ssd = float(everywhere["ssd"])
    values = {"msd": ssd / int(everywhere["rows"]), "ssd": ssd}
    for metric in metrics:
        log.info(
            "#quality_metric: host=%s, %s %s <loss>=%s", job.host, name, metric, values[metric]
        )
    measured.report(
        "AWS/KMeansWebscale",
        job.host,
        started,
        {f"{name} {metric}": value for metric, value in values.items() if metric in metrics},
    )


def save(folder: Path, centers: npt.NDArray[np.float32]) -> None:
    """Write the artifact: plain arrays in a zip, with the name and version of the format."""
    arrays.save(
        folder / MODEL_FILE,
        FORMAT,
        FORMAT_VERSION,
        centers=np.ascontiguousarray(centers, dtype=np.float32),
    )


class Model:
    """The centres, to which requests are compared."""

    accepts: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES, content.RECORDIO)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.CSV, content.RECORDIO)

    def __init__(self, centers: npt.NDArray[np.float32]) -> None:
        self.centers = centers
        self.width = centers.shape[1]
        wide = centers.astype(np.float64)
        self._wide = wide

    def predict(self, table: Table) -> Answers:
        """The nearest centre of each record, and the Euclidean distance to it."""
        closest, squared = nearest(table.dense().astype(np.float64), self._wide)
        distance = np.sqrt(squared).astype(np.float32).tolist()
        return [
            {"closest_cluster": float(cluster), "distance_to_cluster": far}
            for cluster, far in zip(closest.tolist(), distance, strict=True)
        ]

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """One line a record: the cluster and the distance."""
        lines = [f"{a['closest_cluster']},{a['distance_to_cluster']}" for a in answers]
        return "\n".join(lines) + ("\n" if batch else "")


def load(folder: Path) -> Model:
    """The centres that `train` left."""
    parts = arrays.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "k-means")
    centers = parts.get("centers")
    if (
        centers is None
        or centers.dtype != np.float32
        or centers.ndim != 2
        or not centers.size
        or not np.isfinite(centers).all()
    ):
        raise CustomerError(f"{MODEL_FILE} holds no matrix of finite centres")
    return Model(centers)
