"""A training job of Object Detection, from its channels to its artifact."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from algorithms.catalog import algorithm
from algorithms.object_detection import augmentation, data, model
from algorithms.object_detection.loss import multibox
from algorithms.object_detection.network import Detector
from algorithms.object_detection.precision import mean_average_precision
from algorithms.toolkit import deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.images import optimization, weights
from algorithms.toolkit.images.progress import Checkpoints, Progress
from algorithms.toolkit.images.training import (
    Training,
    batches,
    bfloat16,
    refuse_asynchronous,
    stacked,
)
from algorithms.toolkit.peers import meet
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.images.samples import Sample, Samples
    from algorithms.toolkit.job import Job
    from algorithms.toolkit.peers import Peers

# Every so many batches a line tells the losses.
_TOLD = 10
_RMSPROP_DECAY = 0.9


def train(job: Job) -> None:
    """Train on `train`, measure on `validation` after each epoch, keep the best model."""
    refuse_asynchronous(job)
    torch.manual_seed(0)
    with meet(job) as peers:
        channels = {
            name: data.channel_samples(job, name, peers) for name in ("train", "validation")
        }
        module = _network(job).to(deep.device(), memory_format=torch.channels_last)
        with deep.together(job, peers):
            _train(job, peers, module, channels)


def _network(job: Job) -> Any:
    """The network with the weights to begin with, and with those frozen that are not to change."""
    settings = job.hyperparameters
    module = Detector(
        settings["base_network"], int(settings["num_classes"]), int(settings["image_shape"])
    )
    with weights.earlier(job, model.MODEL_FILE) as path:
        if path is not None:
            tensors, found = model.read(path)
            incremental = algorithm(job.name).incremental
            weights.must_match(settings, found, incremental.must_match if incremental else ())
            module.begin_with(tensors)
        elif settings["use_pretrained_model"]:
            module.base.begin_with(weights.pretrained(settings["base_network"], off=0))
    pattern = settings.get("freeze_layer_pattern")
    try:
        frozen = module.freeze(pattern)
    except re.error as error:
        raise CustomerError(
            f"freeze_layer_pattern {pattern!r} is not a regular expression: {error}"
        ) from None
    if pattern and not frozen:
        raise CustomerError(
            f"freeze_layer_pattern {pattern!r} matches none of the layers: "
            + ", ".join(module.layers())
        )
    if pattern and not any(each.requires_grad for each in module.parameters()):
        raise CustomerError(f"freeze_layer_pattern {pattern!r} matches all layers")
    for name in frozen:
        log.info("Frozen: %s", name)
    return module


def _train(job: Job, peers: Peers, module: Any, channels: Mapping[str, Samples]) -> None:
    settings = job.hyperparameters
    size, hosts = int(settings["mini_batch_size"]), len(peers.hosts)
    optimizer = optimization.optimizer(
        [each for each in module.parameters() if each.requires_grad],
        settings,
        decay=_RMSPROP_DECAY,
    )
    rate = optimization.steps(
        settings["lr_scheduler_step"] or (),
        float(settings["lr_scheduler_factor"]),
        math.ceil(int(settings["num_training_samples"]) / (size * hosts)),
    )
    about = {
        name: settings.get(name)
        for name in (
            "base_network",
            "num_classes",
            "image_shape",
            "optimizer",
            "freeze_layer_pattern",
        )
    }
    training = Training(
        job,
        peers,
        module,
        optimizer,
        rate,
        Progress.of(settings),
        Checkpoints(job.checkpoint_dir, about),
        job.model_dir / model.MODEL_FILE,
        lambda path: model.write(path, module, settings),
    )
    training.run(
        lambda epoch: _learn(training, channels["train"], epoch),
        lambda epoch: _measure(training, channels["validation"], epoch),
    )


def _learn(training: Training, samples: Samples, epoch: int) -> int:
    """Go through an epoch of images, each varied anew, and tell how many there were."""
    job, module = training.job, training.module
    settings, device = job.hyperparameters, module.anchors.device
    side = int(settings["image_shape"])
    sums, images, number = np.zeros(3), 0, 0

    def make(sample: Sample, random: np.random.Generator) -> tuple[Any, Any]:
        image, rows = data.decoded(sample, settings)
        return augmentation.varied(image, rows, side, random)

    def loss(batch: Sequence[tuple[Any, Any]]) -> tuple[Any, int]:
        nonlocal sums
        with bfloat16(device):
            scores, offsets = module(stacked([image for image, _ in batch], device))
        truths = [torch.from_numpy(rows).to(device) for _, rows in batch]
        found = multibox(scores, offsets, truths, module.anchors)
        sums += (found.cross_entropy, found.smooth_l1, 1)
        return found.total, found.positives

    def tell() -> None:
        for place, name in enumerate(("cross_entropy", "smooth_l1")):
            log.info(
                "#quality_metric: host=%s, epoch=%d, batch=%d train %s <loss>=(%s)",
                job.host,
                epoch,
                number,
                name,
                sums[place] / sums[2],
            )

    random = np.random.default_rng([epoch, training.peers.rank])
    made = batches(
        samples.shuffled(random),
        int(settings["mini_batch_size"]),
        make,
        seed=int(random.integers(2**63)),
    )
    for number, batch in enumerate(training.steps(made, loss), 1):
        images += len(batch)
        if number % _TOLD == 0:
            tell()
    if number % _TOLD:
        tell()
    wanted = int(settings["num_training_samples"])
    if epoch == 0 and len(job.hosts) == 1 and images != wanted:
        log.warning(
            "Channel train has %d images, and num_training_samples is %d: the epochs of "
            "lr_scheduler_step are counted by the latter",
            images,
            wanted,
        )
    return images


def _measure(training: Training, samples: Samples, epoch: int) -> float:
    """The mean average precision on the images of all hosts."""
    job, module = training.job, training.module
    settings = job.hyperparameters
    found, truths = [], []

    def make(sample: Sample, _: np.random.Generator) -> tuple[Any, Any]:
        image, rows = data.decoded(sample, settings)
        return augmentation.plain(image, side), rows

    side, device = int(settings["image_shape"]), module.anchors.device
    size = int(settings["mini_batch_size"])
    for batch in batches(samples.ordered(), size, make, seed=0):
        with torch.inference_mode():
            seen = module.detect(
                stacked([image for image, _ in batch], device), float(settings["nms_threshold"])
            )
        found += [rows.cpu().numpy().astype(np.float64) for rows in seen]
        truths += [rows.astype(np.float64) for _, rows in batch]
    score = mean_average_precision(
        _of_all_hosts(training.peers, found),
        _of_all_hosts(training.peers, truths),
        float(settings["overlap_threshold"]),
    )
    log.info(
        "#quality_metric: host=%s, epoch=%d, validation mAP <score>=(%s)", job.host, epoch, score
    )
    return score


def _of_all_hosts(peers: Peers, rows: Sequence[Any]) -> list[Any]:
    """The rows of each image, of all hosts one after another."""
    parts = peers.gather(
        {"counts": np.array([len(each) for each in rows]), "rows": np.concatenate(rows)}
    )
    return [
        each for part in parts for each in np.split(part["rows"], np.cumsum(part["counts"])[:-1])
    ]
