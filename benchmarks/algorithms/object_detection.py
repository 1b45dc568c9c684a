"""Object Detection on pictures of real digits; ten minutes of one processor.

Beside the speed of training on vgg-16 stands that of torchvision's SSD in a bare loop, on pictures
that lie in memory.
"""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torchvision.models import detection

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
# For the speed of vgg-16, which torchvision has, too: pictures of an epoch, and steps of a loop.
TIMED, STEPS = 32, 8


def measure() -> list[Figure]:
    """Mean average precision on digits of other writers, and speed beside torchvision's."""
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
        Figure("training, vgg-16", "images/s", _timed(), "an epoch, decoding included"),
        Figure("training by torchvision's SSD, vgg-16", "images/s", _bare(), "a bare loop"),
    ]


def _timed() -> list[float]:
    """Images a second of each epoch but the first, which warms up as well."""
    pictures = _recorded(_pictures(TIMED, held_out=False))
    few = _recorded(_pictures(4, held_out=True))
    changes: dict[str, Any] = {"base_network": "vgg-16", "num_training_samples": TIMED, "epochs": 3}
    with tempfile.TemporaryDirectory() as folder:
        channels = {"train": pictures, "validation": few}
        spent = _processes.train("object-detection", Path(folder), channels, SETTINGS | changes)
    return [float(one) for one in re.findall(r"throughput=(\S+) records", spent.output)][1:]


def _bare() -> list[float]:
    """Images a second of each step."""
    size = int(str(SETTINGS["mini_batch_size"]))
    network = detection.ssd300_vgg16(weights=None, weights_backbone=None, num_classes=11)
    network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0006)
    images = list(torch.rand(size, 3, 300, 300))
    boxes = torch.tensor([[20.0 * n, 20.0 * n, 20.0 * n + 80, 20.0 * n + 80] for n in range(10)])
    targets = [{"boxes": boxes, "labels": torch.arange(1, 11)} for _ in range(size)]
    speeds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        optimizer.zero_grad()
        sum(network(images, targets).values()).backward()
        optimizer.step()
        speeds.append(size / (time.perf_counter() - began))
    return speeds[1:]


def _pictures(count: int, *, held_out: bool) -> list[Canvas]:
    return canvases(count, side=300, digits=10, sizes=(40, 100), seed=0, held_out=held_out)


def _recorded(found: list[Canvas]) -> tuple[str, dict[str, bytes]]:
    return RECORDIO, {
        "pictures.rec": b"".join(imagerecord.pack(each.label, each.jpeg()) for each in found)
    }
