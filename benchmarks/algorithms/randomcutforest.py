"""Random Cut Forest beside krcf, the library that cuts its trees, used directly.

The library alone is shown every row, of which each tree keeps a sample of its own. It runs with its
own defaults, but for the seed and the sizes.
"""

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from krcf import RandomCutForest
from sklearn.metrics import roc_auc_score

from algorithms.randomcutforest.forest import Forest
from algorithms.randomcutforest.model import MODEL_FILE
from benchmarks.algorithms import _processes as processes
from benchmarks.measuring import Figure
from datasets import shuttle

Rows = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

RUNS = 5
TREES, SAMPLES = 100, 256
_ALONE = """
import sys
from pathlib import Path
from krcf import RandomCutForest
from algorithms.toolkit.formats import delimited
rows = delimited.read(Path(sys.argv[1]).read_bytes(), "rows")
forest = RandomCutForest({"dimensions": rows.shape[1], "shingle_size": 1,
    "num_trees": int(sys.argv[2]), "sample_size": int(sys.argv[3]), "random_seed": 1})
for row in rows.tolist():
    forest.update(row)
Path(sys.argv[4]).write_bytes(forest.to_msgpack())
"""


def measure() -> list[Figure]:
    """ROC AUC and training time."""
    rows = shuttle.rows()
    figures = [
        *_accuracy("shuttle", rows.features, rows.unusual),
        *_accuracy("planted", *_planted()),
    ]
    with tempfile.TemporaryDirectory() as folder:
        figures += _time(Path(folder), rows.features)
    return figures


def _planted() -> tuple[Rows, Flags]:
    """Three clouds of usual rows, and one row in a hundred from anywhere around them."""
    random = np.random.default_rng(0)
    clouds = random.normal(size=(60_000, 8)) + random.choice([-4, 0, 4], size=(60_000, 1))
    anywhere = random.uniform(-5, 5, size=(600, 8))
    features = np.concatenate([clouds, anywhere]).astype(np.float32)
    return features, np.repeat([False, True], [len(clouds), len(anywhere)])


def _accuracy(name: str, features: Rows, unusual: Flags) -> list[Figure]:
    own, alone = [], []
    for seed in range(RUNS):
        order = np.random.default_rng(seed).permutation(len(features))
        known, asked = order[: len(order) // 2], order[len(order) // 2 :][:10_000]
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            _train(base, features[known])
            samples = np.load(base / "model" / MODEL_FILE)["samples"]
        own.append(100 * roc_auc_score(unusual[asked], Forest(samples).scores(features[asked])))
        library = RandomCutForest(
            {
                "dimensions": features.shape[1],
                "shingle_size": 1,
                "num_trees": TREES,
                "sample_size": SAMPLES,
                "random_seed": seed,
            }
        )
        for row in features[known].tolist():
            library.update(row)
        scores = [library.score(row) for row in features[asked].tolist()]
        alone.append(100 * roc_auc_score(unusual[asked], scores))
    return [
        Figure(f"{name}: ROC AUC", "%", own),
        Figure(f"{name}: ROC AUC of krcf alone", "%", alone),
    ]


def _train(base: Path, features: Rows) -> processes.Spent:
    return processes.train(
        "randomcutforest",
        base,
        {"train": ("text/csv;label_size=0", {"rows.csv": _csv(features)})},
        {"feature_dim": features.shape[1], "num_trees": TREES, "num_samples_per_tree": SAMPLES},
    )


def _csv(features: Rows) -> bytes:
    return "\n".join(",".join(map(repr, row)) for row in features.tolist()).encode()


def _time(folder: Path, features: Rows) -> list[Figure]:
    path = folder / "rows.csv"
    path.write_bytes(_csv(features))
    own, alone = [], []
    for _ in range(RUNS):
        own.append(_train(folder / "own", features).seconds)
        sizes = (str(TREES), str(SAMPLES))
        alone.append(processes.run("-c", _ALONE, str(path), *sizes, str(folder / "forest")).seconds)
    ratios = [one / other for one, other in zip(own, alone, strict=True)]
    what = f"{len(features)} rows, whole process"
    return [
        Figure("training", "s", own, what),
        Figure("training by krcf alone", "s", alone, what),
        Figure("training over krcf alone", "", ratios, "goal <= 1.05"),
    ]
