"""Object Detection on pictures of real digits; ten minutes of one processor."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from algorithms.toolkit.images import imagerecord
from benchmarks.algorithms import _processes
from benchmarks.measuring import Figure
from datasets.canvases import Canvas, canvases

RECORDIO = "application/x-recordio"
TRAINED, TESTED = 160, 30
SETTINGS = {
    "base_network": "resnet-50",
    "use_pretrained_model": 0,
    "num_classes": 10,
    "num_training_samples": TRAINED,
    "mini_batch_size": 4,
    "epochs": 15,
    "optimizer": "adam",
    "learning_rate": 0.0006,
    "lr_scheduler_step": "10,13",
    "lr_scheduler_factor": 0.2,
}


def measure() -> list[Figure]:
    """Mean average precision on digits of other writers."""
    channels = {
        "train": _recorded(_pictures(TRAINED, held_out=False)),
        "validation": _recorded(_pictures(TESTED, held_out=True)),
    }
    with tempfile.TemporaryDirectory() as folder:
        spent = _processes.train("object-detection", Path(folder), channels, SETTINGS)
    scores = [
        float(found) for found in re.findall(r"validation mAP <score>=\((\S+)\)", spent.output)
    ]
    speeds = [float(found) for found in re.findall(r"throughput=(\S+) records", spent.output)]
    note = f"{TRAINED} images of 300 x 300, {SETTINGS['epochs']} epochs, resnet-50"
    return [
        Figure("digits on canvases: mAP@0.5", "", [max(scores)], f"goal >= 0.80; {note}"),
        Figure("training", "images/s", speeds, note),
    ]


def _pictures(count: int, *, held_out: bool) -> list[Canvas]:
    return canvases(count, side=300, digits=10, sizes=(40, 100), seed=0, held_out=held_out)


def _recorded(found: list[Canvas]) -> tuple[str, dict[str, bytes]]:
    return RECORDIO, {
        "pictures.rec": b"".join(imagerecord.pack(each.label, each.jpeg()) for each in found)
    }
