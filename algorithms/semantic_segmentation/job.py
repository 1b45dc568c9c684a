"""A training job of Semantic Segmentation, from its channels to its artifact."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from algorithms.catalog import algorithm
from algorithms.semantic_segmentation import data, model, overlap, views
from algorithms.semantic_segmentation.network import Segmenter
from algorithms.toolkit import deep
from algorithms.toolkit.images import optimization, weights
from algorithms.toolkit.images.progress import Checkpoints, Progress
from algorithms.toolkit.images.training import Training, batches, bfloat16, stacked
from algorithms.toolkit.peers import meet
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.images.samples import Sample, Samples
    from algorithms.toolkit.job import Job

_CROP_STEP = 8
_PAIR = tuple[Any, Any]


def train(job: Job) -> None:
    """Train on `train`, measure on `validation` after each epoch, keep the best model."""
    job.one_host()
    settings = _settled(job.hyperparameters)
    torch.manual_seed(0)
    channels = {name: data.channel_samples(job, name) for name in ("train", "validation")}
    tables = {name: data.label_table(job, name) for name in channels}
    module = _network(job, settings).to(deep.device(), memory_format=torch.channels_last)
    optimizer = optimization.optimizer(
        module.parameters(),
        # AWS gives weight_decay to sgd alone.
        settings if settings["optimizer"] == "sgd" else {**settings, "weight_decay": 0.0},
        decay=float(settings["gamma1"]),
        rmsprop_momentum=float(settings["gamma2"]),
    )
    about = {name: settings[name] for name in (*model.SETTINGS, "optimizer")}
    with meet(job) as peers:
        training = Training(
            job,
            peers,
            module,
            optimizer,
            _rate(settings),
            Progress.of(settings),
            Checkpoints(job.checkpoint_dir, about),
            job.model_dir / model.MODEL_FILE,
            lambda path: model.write(path, module, settings),
        )
        training.run(
            lambda epoch: _learn(training, settings, channels["train"], tables["train"], epoch),
            lambda epoch: _measure(
                training, settings, channels["validation"], tables["validation"], epoch
            ),
        )


def _settled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters as they are gone by: crop_size is a multiple of eight."""
    crop_size = _CROP_STEP * math.ceil(int(settings["crop_size"]) / _CROP_STEP)
    return {**settings, "crop_size": crop_size}


def _network(job: Job, settings: Mapping[str, Any]) -> Any:
    module = Segmenter(settings["algorithm"], settings["backbone"], int(settings["num_classes"]))
    with weights.earlier(job, model.MODEL_FILE) as path:
        if path is not None:
            tensors, found = model.read(path)
            incremental = algorithm(job.name).incremental
            weights.must_match(settings, found, incremental.must_match if incremental else ())
            module.load_state_dict(tensors)
        elif settings["use_pretrained_model"]:
            module.begin_with(weights.pretrained(settings["backbone"], off=False))
    return module


def _rate(settings: Mapping[str, Any]) -> optimization.Rate:
    per_epoch = math.ceil(int(settings["num_training_samples"]) / int(settings["mini_batch_size"]))
    updates = per_epoch * int(settings["epochs"])
    if settings["lr_scheduler"] == "step":
        factor = float(settings["lr_scheduler_factor"])
        return optimization.steps(settings["lr_scheduler_step"], factor, per_epoch)
    if settings["lr_scheduler"] == "cosine":
        return optimization.cosine(updates)
    return optimization.poly(updates)


def _learn(
    training: Training, settings: Mapping[str, Any], samples: Samples, table: Any, epoch: int
) -> int:
    """Go through an epoch of images, of each a random square, and tell how many there were."""
    job, module = training.job, training.module
    device = module.mean.device
    classes = int(settings["num_classes"])
    base_size, crop_size = int(settings["base_size"]), int(settings["crop_size"])
    losses: list[float] = []
    images = 0

    def make(sample: Sample, random: np.random.Generator) -> _PAIR:
        image, mask = data.decoded(sample, table, classes)
        return views.cropped(image, mask, base_size, crop_size, random)

    def loss(batch: Sequence[_PAIR]) -> tuple[Any, int]:
        with bfloat16(device):
            total, count = module.loss(*_inputs(batch, device))
        losses.append(float(total.detach()))
        return total, count

    random = np.random.default_rng(epoch)
    made = batches(
        samples.shuffled(random),
        int(settings["mini_batch_size"]),
        make,
        seed=int(random.integers(2**63)),
    )
    for batch in training.steps(made, loss):
        images += len(batch)
    wanted = int(settings["num_training_samples"])
    if epoch == 0 and images != wanted:
        log.warning(
            "Channel train has %d images, and num_training_samples is %d: the learning rate's "
            "schedule goes by the latter",
            images,
            wanted,
        )
    log.info(
        "#quality_metric: host=%s, epoch=%d, train loss <loss>=%s",
        job.host,
        epoch,
        float(np.mean(losses)),
    )
    return images


def _measure(
    training: Training, settings: Mapping[str, Any], samples: Samples, table: Any, epoch: int
) -> float:
    """The mean overlap of the classes' pixels, of whole images at base_size."""
    host, module = training.job.host, training.module
    classes, base_size = int(settings["num_classes"]), int(settings["base_size"])
    counts = np.zeros((classes, classes), dtype=np.int64)
    images, began = 0, time.monotonic()

    def make(sample: Sample, _: np.random.Generator) -> _PAIR:
        return views.whole(*data.decoded(sample, table, classes), base_size)

    size = int(settings["validation_mini_batch_size"])
    for batch in batches(samples.ordered(), size, make, seed=0):
        pictures, masks = _inputs(batch, module.mean.device)
        with torch.inference_mode():
            told = model.enlarged(module.scores(pictures), (base_size, base_size)).argmax(dim=1)
        counts += overlap.counted(
            masks.cpu().numpy().astype(np.uint8), told.cpu().numpy().astype(np.uint8), classes
        )
        images += len(batch)
    score = overlap.mean_overlap(counts)
    for name, value in (
        ("mIOU", score),
        ("pixel_accuracy", overlap.pixel_accuracy(counts)),
        ("throughput", images / max(time.monotonic() - began, 1e-6)),
    ):
        log.info(
            "#quality_metric: host=%s, epoch=%d, validation %s <score>=%s", host, epoch, name, value
        )
    return score


def _inputs(batch: Sequence[_PAIR], device: Any) -> tuple[Any, Any]:
    """The images and the masks of a batch as the network takes them."""
    masks = torch.from_numpy(np.stack([mask for _, mask in batch])).to(device).long()
    return stacked([image for image, _ in batch], device), masks
