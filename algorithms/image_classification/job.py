"""A training job of Image Classification, from its channels to its artifact."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from algorithms.catalog import algorithm
from algorithms.image_classification import augmentation, data, model
from algorithms.toolkit import deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.images import optimization, pixels, weights
from algorithms.toolkit.images.progress import Checkpoints, Progress
from algorithms.toolkit.images.samples import Filed
from algorithms.toolkit.images.training import (
    Training,
    batches,
    bfloat16,
    computes_bfloat16,
    refuse_asynchronous,
    stacked,
)
from algorithms.toolkit.peers import meet
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.images.samples import Sample, Samples
    from algorithms.toolkit.job import Job
    from algorithms.toolkit.peers import Peers

# Every so many batches a line tells the accuracy.
_TOLD = 20
# What a network with several labels must be sure of a label by, to be counted as having told it.
_SURE = 0.5
# The models of every checkpoint_frequency epochs.
_KEPT = "image-classification-[0-9]*.safetensors"
_ABOUT = ("num_layers", "image_shape", "num_classes", "multi_label", "optimizer")


def train(job: Job) -> None:
    """Train on `train`, measure on `validation` after each epoch, keep the best model."""
    _check(job)
    torch.manual_seed(0)
    with meet(job) as peers:
        channels = {
            name: data.channel_samples(job, name, peers) for name in ("train", "validation")
        }
        module = _network(job).to(deep.device(), memory_format=torch.channels_last)
        with deep.together(job, peers):
            _train(job, peers, module, channels)


def _check(job: Job) -> None:
    """Refuse what the catalogue cannot: combinations and values that this image does not have."""
    settings = job.hyperparameters
    shape = settings["image_shape"]
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise CustomerError(
            f"image_shape is {','.join(map(str, shape))}; it must be channels, height and width, "
            "with 1 or 3 channels, such as 3,224,224"
        )
    refuse_asynchronous(job)
    top, classes = settings.get("top_k"), int(settings["num_classes"])
    if top is not None and (settings["multi_label"] == 1 or top > classes):
        raise CustomerError(
            f"top_k is {top}; it is for multi_label 0, and at most num_classes, which is {classes}"
        )


def _network(job: Job) -> Any:
    """The network with the weights to begin with."""
    settings = job.hyperparameters
    module = model.network(settings)
    with weights.earlier(job, model.MODEL_FILE) as path:
        if path is not None:
            tensors, found = model.read(path)
            incremental = algorithm(job.name).incremental
            weights.must_match(settings, found, incremental.must_match if incremental else ())
            module.load_state_dict(tensors)
        elif settings["use_pretrained_model"]:
            module.begin_with(weights.pretrained(f"resnet-{settings['num_layers']}", off=0))
    return module


def _train(job: Job, peers: Peers, module: Any, channels: Mapping[str, Samples]) -> None:
    settings = job.hyperparameters
    size, hosts = int(settings["mini_batch_size"]), len(peers.hosts)
    samples = channels["train"]
    if isinstance(samples, Filed) and len(samples) < size:
        raise CustomerError(_too_few(len(samples), size))
    rules = dict(settings)
    if rules["optimizer"] not in {"sgd", "nag"}:
        # The page of the hyperparameters gives weight_decay to these two alone.
        rules["weight_decay"] = 0.0
    optimizer = optimization.optimizer(module.parameters(), rules, decay=float(settings["gamma"]))
    rate = optimization.steps(
        settings.get("lr_scheduler_step"),
        float(settings["lr_scheduler_factor"]),
        math.ceil(int(settings["num_training_samples"]) / (size * hosts)),
    )
    training = Training(
        job,
        peers,
        module,
        optimizer,
        rate,
        Progress.of(settings),
        Checkpoints(job.checkpoint_dir, {name: settings.get(name) for name in _ABOUT}),
        job.model_dir / model.MODEL_FILE,
        lambda path: model.write(path, module, settings),
    )
    if settings.get("checkpoint_frequency") is not None and peers.first:
        training.checkpoints.kept(_KEPT, job.model_dir)
    classifier = _Classification(training, channels, _class_weights(job, peers, samples))
    training.run(classifier.learn, classifier.measure)


def _too_few(images: int, size: int) -> str:
    return (
        "The number of input images must be bigger or equal to the mini_batch_size. There are "
        f"{images} for one host, and mini_batch_size is {size}"
    )


def _class_weights(job: Job, peers: Peers, samples: Samples) -> Any:
    """How much more a label counts that an image has, where rare ones are to count as much."""
    settings = job.hyperparameters
    if not settings["use_weighted_loss"]:
        return None
    form = data.labels(job, "train")
    have, images = np.zeros(form.classes), 0
    for sample in samples.ordered():
        have += form.target(sample)
        images += 1
    everywhere = peers.total({"have": have, "images": np.array(images)})
    have = everywhere["have"]
    lack = float(everywhere["images"]) - have
    weighed = np.where(have > 0, lack / np.maximum(have, 1), 1.0)
    return torch.tensor(np.maximum(weighed, 1e-3), dtype=torch.float32, device=deep.device())


class _Classification:
    """What an epoch does to the network, and how good the network is after it."""

    def __init__(
        self, training: Training, channels: Mapping[str, Samples], class_weights: Any
    ) -> None:
        self._training = training
        self._channels = channels
        self._weights = class_weights
        settings = training.job.hyperparameters
        self._settings = settings
        self._shape = [int(length) for length in settings["image_shape"]]
        self._several = settings["multi_label"] == 1
        self._top = settings.get("top_k")
        self._half = settings["precision_dtype"] == "float16"
        self._device = deep.device()
        if self._half:
            log.info(
                "precision_dtype float16: this machine computes in %s",
                "bfloat16" if computes_bfloat16(self._device) else "float32, having no bfloat16",
            )

    def learn(self, epoch: int) -> int:
        """Go through an epoch of images, and tell how many there were on this host."""
        job, size = self._training.job, int(self._settings["mini_batch_size"])
        random = np.random.default_rng([epoch, self._training.peers.rank])
        kind = self._settings.get("augmentation_type")
        form, side = data.labels(job, "train"), self._settings.get("resize")
        counts, images = _Counts(), 0

        def make(sample: Sample, own: np.random.Generator) -> tuple[Any, Any]:
            target = form.target(sample)
            image = augmentation.resized(self._loaded(sample), side)
            if kind is None:
                return augmentation.plain(image, self._shape, sample.place), target
            return augmentation.varied(image, self._shape, kind, sample.place, own), target

        def loss(batch: Sequence[tuple[Any, Any]]) -> tuple[Any, int]:
            # Statistics of a batch need more than one image.
            alone = len(batch) == 1
            scores, targets = self._scores([*batch, *batch] if alone else batch)
            scores, targets = scores[: len(batch)], targets[: len(batch)]
            counts.add(scores.detach(), targets, several=self._several, top=self._top)
            if self._several:
                found = functional.binary_cross_entropy_with_logits(
                    scores, targets, pos_weight=self._weights
                )
            else:
                found = functional.cross_entropy(scores, targets)
            return found, len(batch)

        began = told = time.monotonic()
        shuffled = self._channels["train"].shuffled(random)
        made = batches(shuffled, size, make, seed=int(random.integers(2**63)))
        for number, batch in enumerate(self._training.steps(made, loss), 1):
            images += len(batch)
            if number % _TOLD == 0:
                speed = _TOLD * size / max(time.monotonic() - told, 1e-9)
                told = time.monotonic()
                log.info(
                    "Epoch[%d] Batch [%d]\tSpeed: %.2f samples/sec\taccuracy=%f",
                    epoch,
                    number,
                    speed,
                    counts.accuracy,
                )
        if images < size:
            raise CustomerError(_too_few(images, size))
        counts.merge(self._training.peers)
        self._tell(epoch, "Train", counts)
        log.info("Epoch[%d] Time cost=%.3f", epoch, time.monotonic() - began)
        log.info(
            "#quality_metric: host=%s, epoch=%d, train accuracy <score>=%f",
            job.host,
            epoch,
            counts.accuracy,
        )
        return images

    def measure(self, epoch: int) -> float:
        """The accuracy on the images of `validation` of all hosts."""
        job, form = self._training.job, data.labels(self._training.job, "validation")
        counts, side = _Counts(), self._settings.get("resize")

        def make(sample: Sample, _: np.random.Generator) -> tuple[Any, Any]:
            image = augmentation.resized(self._loaded(sample), side)
            return augmentation.plain(image, self._shape, sample.place), form.target(sample)

        size = int(self._settings["mini_batch_size"])
        for batch in batches(self._channels["validation"].ordered(), size, make, seed=0):
            with torch.inference_mode():
                scores, targets = self._scores(batch)
            counts.add(scores, targets, several=self._several, top=self._top)
        counts.merge(self._training.peers)
        self._tell(epoch, "Validation", counts)
        if counts.accuracy > self._training.progress.best:
            log.info("Storing the best model with validation accuracy: %f", counts.accuracy)
        every = self._settings.get("checkpoint_frequency")
        if every is not None and (epoch + 1) % every == 0 and self._training.peers.first:
            path = job.model_dir / f"image-classification-{epoch + 1:04}.safetensors"
            model.write(path, self._training.module, self._settings)
            self._training.checkpoints.keep(path)
        return counts.accuracy

    def _loaded(self, sample: Sample) -> Any:
        return pixels.loaded(sample.image, sample.place, augmentation.mode(self._shape))

    def _scores(self, batch: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        images = stacked([image for image, _ in batch], self._device)
        targets = torch.from_numpy(np.stack([target for _, target in batch])).to(self._device)
        if self._half:
            with bfloat16(self._device):
                scores = self._training.module(images).float()
        else:
            scores = self._training.module(images)
        return scores, targets if self._several else targets[:, 0].long()

    def _tell(self, epoch: int, what: str, counts: _Counts) -> None:
        log.info("Epoch[%d] %s-accuracy=%f", epoch, what, counts.accuracy)
        if self._top is not None:
            log.info(
                "Epoch[%d] %s-top_k_accuracy_%d=%f", epoch, what, self._top, counts.among_the_best
            )


class _Counts:
    """How many answers were right."""

    def __init__(self) -> None:
        self._right = self._near = 0.0
        self._all = 0

    def add(self, scores: Any, targets: Any, *, several: bool, top: int | None) -> None:
        """Count the answers of a batch; with several labels, the share of labels that are right."""
        self._all += len(scores)
        if several:
            told = model.probabilities(scores, several=True) > _SURE
            self._right += float((told == (targets > 0)).float().mean(dim=1).sum())
            return
        self._right += float((scores.argmax(dim=1) == targets).sum())
        if top is not None:
            best = scores.topk(top, dim=1).indices
            self._near += float((best == targets[:, None]).any(dim=1).sum())

    def merge(self, peers: Peers) -> None:
        """Add the counts of all hosts."""
        numbers = np.array([self._right, self._near, self._all], dtype=np.float64)
        total = peers.total({"counts": numbers})["counts"]
        self._right, self._near, self._all = float(total[0]), float(total[1]), int(total[2])

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self._right / max(self._all, 1)

    @property
    def among_the_best(self) -> float:
        """The share of answers among whose best classes the right one is."""
        return self._near / max(self._all, 1)
