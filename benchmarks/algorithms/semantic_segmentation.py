"""Semantic Segmentation on pictures of real digits: each pixel is of one of three, or of none."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from benchmarks.algorithms import _processes
from benchmarks.measuring import Figure
from datasets.canvases import canvases

TRAINED, TESTED = 48, 12
DIGITS = (0, 1, 2)
SETTINGS = {
    "algorithm": "fcn",
    "backbone": "resnet-50",
    "use_pretrained_model": "False",
    "num_classes": 1 + len(DIGITS),
    "num_training_samples": TRAINED,
    "base_size": 64,
    "crop_size": 64,
    "mini_batch_size": 2,
    "epochs": 8,
    "optimizer": "adam",
    "learning_rate": 0.001,
}


def measure() -> list[Figure]:
    """Mean intersection over union and pixel accuracy on digits of other writers."""
    channels = {
        **_pictures("train", TRAINED, held_out=False),
        **_pictures("validation", TESTED, held_out=True),
    }
    with tempfile.TemporaryDirectory() as folder:
        spent = _processes.train("semantic-segmentation", Path(folder), channels, SETTINGS)

    def told(pattern: str) -> list[float]:
        return [float(found) for found in re.findall(pattern, spent.output)]

    note = f"{TRAINED} images, {SETTINGS['epochs']} epochs, fcn on resnet-50"
    best = max(told(r"validation mIOU <score>=(\S+)"))
    accuracy = max(told(r"validation pixel_accuracy <score>=(\S+)"))
    speeds = told(r"train throughput=(\S+) records")
    return [
        Figure("digits on canvases: mean IoU", "", [best], f"goal >= 0.80; {note}"),
        Figure("digits on canvases: pixel accuracy", "", [accuracy], note),
        Figure("training, squares of 64 x 64", "img/s", speeds, note),
    ]


def _pictures(name: str, count: int, *, held_out: bool) -> dict[str, tuple[str, dict[str, bytes]]]:
    found = canvases(
        count, side=64, digits=1, sizes=(46, 62), kinds=DIGITS, seed=0, held_out=held_out
    )
    return {
        name: ("image/jpeg", {f"{n}.jpg": each.jpeg() for n, each in enumerate(found)}),
        f"{name}_annotation": (
            "image/png",
            {f"{n}.png": each.mask_png() for n, each in enumerate(found)},
        ),
    }
