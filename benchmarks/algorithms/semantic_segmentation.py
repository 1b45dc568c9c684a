"""Semantic Segmentation on pictures of real digits; ten minutes of two cores.

A pixel is of one of three digits, or of none. Beside the speed of training stands that of the same
network of torchvision in a bare loop, on squares that lie in memory.
"""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

import torch
from torchvision.models import segmentation

from benchmarks.algorithms import _processes
from benchmarks.measuring import Figure
from datasets.canvases import canvases

TRAINED, TESTED = 240, 40
SIDE, BATCH = 96, 4
DIGITS = (0, 1, 2)
SETTINGS = {
    "algorithm": "fcn",
    "backbone": "resnet-50",
    "use_pretrained_model": "False",
    "num_classes": 1 + len(DIGITS),
    "num_training_samples": TRAINED,
    "base_size": SIDE,
    "crop_size": SIDE,
    "mini_batch_size": BATCH,
    "epochs": 14,
    "optimizer": "adam",
    "learning_rate": 0.001,
}
# Of the bare loop, the first of which only warms up.
STEPS = 16


def measure() -> list[Figure]:
    """Mean intersection over union and pixel accuracy on digits of other writers, and speed."""
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
        Figure("training", "img/s", speeds, f"squares of {SIDE} x {SIDE}"),
        Figure("training by a bare loop", "img/s", _bare(), "the same network of torchvision"),
    ]


def _bare() -> list[float]:
    """Images a second of each step."""
    classes = 1 + len(DIGITS)
    network = segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=classes, aux_loss=True
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    images = torch.rand(BATCH, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    masks = torch.randint(classes, (BATCH, SIDE, SIDE))
    speeds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        optimizer.zero_grad()
        scores = network(images)
        entropies = [
            torch.nn.functional.cross_entropy(scores[head], masks) for head in ("out", "aux")
        ]
        (entropies[0] + 0.5 * entropies[1]).backward()
        optimizer.step()
        speeds.append(BATCH / (time.perf_counter() - began))
    return speeds[1:]


def _pictures(name: str, count: int, *, held_out: bool) -> dict[str, tuple[str, dict[str, bytes]]]:
    found = canvases(
        count, side=SIDE, digits=1, sizes=(70, 94), kinds=DIGITS, seed=0, held_out=held_out
    )
    return {
        name: ("image/jpeg", {f"{n}.jpg": each.jpeg() for n, each in enumerate(found)}),
        f"{name}_annotation": (
            "image/png",
            {f"{n}.png": each.mask_png() for n, each in enumerate(found)},
        ),
    }
