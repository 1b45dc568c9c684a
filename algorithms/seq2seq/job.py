"""A training job of Sequence-to-Sequence, from its channels to its artifact."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from algorithms.seq2seq import settings as rules
from algorithms.seq2seq.bleu import bleu
from algorithms.seq2seq.model import Lengths, save
from algorithms.seq2seq.network import Network, begin_weights
from algorithms.seq2seq.pairs import Pairs, Reader
from algorithms.seq2seq.search import search
from algorithms.seq2seq.steps import LearningRate, Tally, Trainer
from algorithms.seq2seq.vocabulary import END, PADDING, SOURCE_FILE, TARGET_FILE, Vocabulary
from algorithms.toolkit import deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.job import Channel, Job

_SEED = 0
# Every so many batches a line tells how fast it goes.
_TOLD = 50
_LOWER_IS_BETTER = "perplexity"


def train(job: Job) -> None:
    """Learn from `train`, check on `validation` now and then, keep the best network."""
    job.one_host()
    settings = job.hyperparameters
    rules.check(settings)
    for name, reason in rules.idle(settings):
        if name in job.given:
            log.warning("Hyperparameter %s has no effect: %s", name, reason)
    source, target = (_vocabulary(job.channels["vocab"], f) for f in (SOURCE_FILE, TARGET_FILE))
    reader = Reader(
        len(source), len(target), settings["max_seq_len_source"], settings["max_seq_len_target"]
    )
    torch.manual_seed(_SEED)
    network = Network(settings, len(source), len(target))
    begin_weights(
        network,
        settings["weight_init_type"],
        float(settings["weight_init_scale"]),
        settings["xavier_factor_type"],
    )
    channels = {name: reader.channel(job.channels[name]) for name in ("train", "validation")}
    training = _Training(job, network, channels)
    with job.between_rounds():
        training.run()
    save(job.model_dir, network, settings, training.lengths, (source, target))


def _vocabulary(channel: Channel, file: str) -> Vocabulary:
    files = channel.files()
    for path in files:
        if path.name == file:
            return Vocabulary.read(path, channel.title(path))
    found = ", ".join(channel.title(path) for path in files)
    raise CustomerError(f"channel {channel.name} has no file {file}; it has {found}")


class _Training:
    """The batches of a job, the checks between them, and the best network that these have seen."""

    def __init__(self, job: Job, network: Network, channels: Mapping[str, Pairs]) -> None:
        self._settings = settings = job.hyperparameters
        self._job = job
        self._train, self._validation = channels["train"], channels["validation"]
        self._network = network
        self._trainer = Trainer(network, settings, deep.device())
        self._rate = LearningRate(settings)
        self._random = np.random.default_rng(_SEED)
        self._width = settings["bucket_width"] if settings["bucketing_enabled"] else None
        self._metric: str = settings["optimized_metric"]
        self._sample = self._sentences()
        self.lengths = Lengths.of(self._train, settings["max_seq_len_target"])
        self._epoch = self._batches = self._checks = self._without = 0
        self._best: float | None = None
        self._weights: dict[str, Any] = {}
        self._since = Tally()

    def run(self) -> None:
        """Train until a limit is reached, checks see no progress, or the platform says stop."""
        checked = 0
        while not (self._through() or self._enough()):
            for batch in self._train.batches(
                self._settings["batch_size"], self._width, self._random
            ):
                self._learn(batch)
                if self._batches % self._settings["checkpoint_frequency_num_batches"] == 0:
                    self._check()
                    checked = self._batches
                if self._enough():
                    break
            else:
                self._epoch += 1
        if checked < self._batches and not self._job.stopping:
            self._check()
        if self._weights:
            self._network.load_state_dict(self._weights)

    def _through(self) -> bool:
        """Whether there have been as many epochs as there may be."""
        most = self._settings.get("max_num_epochs")
        return most is not None and self._epoch >= most

    def _enough(self) -> bool:
        """Whether training ends, also within an epoch."""
        stuck = (
            self._without >= self._settings["checkpoint_threshold"]
            and self._epoch >= self._settings["min_num_epochs"]
        )
        return stuck or self._job.stopping or self._batches == self._settings["max_num_batches"]

    def _learn(self, batch: Any) -> None:
        if self._batches % _TOLD == 0:
            self._recent, self._began = Tally(), time.monotonic()
            self._pairs = 0
        tally = self._trainer.step(batch, self._rate.factor(self._batches))
        if not math.isfinite(tally.loss):
            raise CustomerError(
                f"The loss is {tally.loss} in batch {self._batches + 1}: the training diverged. "
                "Lower learning_rate, clip_gradient or weight_init_scale"
            )
        self._batches += 1
        self._since.add(tally)
        self._recent.add(tally)
        self._pairs += len(batch.lengths)
        if self._batches % _TOLD == 0:
            name = self._settings["training_metric"]
            log.info(
                "Epoch[%d] Batch [%d]\tSpeed: %.2f samples/sec\t%s=%f",
                self._epoch,
                self._batches,
                self._pairs / max(time.monotonic() - self._began, 1e-9),
                name,
                getattr(self._recent, name),
            )

    def _check(self) -> None:
        """Measure on the validation data, and take note of whether that is the best so far."""
        self._checks += 1
        told = self._settings["training_metric"]
        self._tell("train", told, getattr(self._since, told))
        self._since = Tally()
        tally = Tally()
        for batch in self._validation.batches(self._settings["batch_size"], self._width, None):
            tally.add(self._trainer.measure(batch))
        found = {"perplexity": tally.perplexity, "accuracy": tally.accuracy}
        if self._sample is not None:
            found["bleu"] = self._bleu(self._sample)
        for name, value in found.items():
            self._tell("validation", name, value)
        value = found[self._metric]
        better = self._best is None or (
            value < self._best if self._metric == _LOWER_IS_BETTER else value > self._best
        )
        if better:
            self._best, self._without = value, 0
            self._weights = {
                name: each.detach().cpu().clone()
                for name, each in self._network.state_dict().items()
            }
        else:
            self._without += 1
            log.info(
                "Validation-%s has not improved for %d of %d checkpoints, best so far: %f",
                self._metric,
                self._without,
                self._settings["checkpoint_threshold"],
                self._best,
            )
        if self._rate.checked(better=better):
            log.info("The learning rate falls to %g", self._rate_now())

    def _rate_now(self) -> float:
        return float(self._settings["learning_rate"]) * self._rate.factor(self._batches)

    def _tell(self, channel: str, name: str, value: float) -> None:
        kind = "loss" if name == _LOWER_IS_BETTER else "score"
        log.info("Checkpoint [%d]\t%s-%s=%f", self._checks, channel.capitalize(), name, value)
        log.info(
            "#quality_metric: host=%s, epoch=%d, %s %s <%s>=%s",
            self._job.host,
            self._epoch,
            channel,
            name,
            kind,
            value,
        )

    def _sentences(self) -> Pairs | None:
        """The validation pairs of which bleu is told; None for no bleu."""
        size = self._settings["bleu_sample_size"]
        if size == 0 and self._metric == "bleu":
            size = -1
        if size == 0:
            return None
        if size == -1 or size >= len(self._validation):
            return self._validation
        return self._validation.take(
            np.sort(self._random.permutation(len(self._validation))[:size])
        )

    def _bleu(self, pairs: Pairs) -> float:
        self._network.eval()
        device = deep.device()
        written: list[list[int]] = []
        wanted: list[list[int]] = []
        for batch in pairs.batches(self._settings["batch_size"], self._width, None):
            found = search(
                self._network,
                torch.from_numpy(batch.source).to(device),
                torch.from_numpy(batch.lengths).to(device),
                self._settings["beam_size"],
                [self.lengths.longest(length) for length in batch.lengths.tolist()],
            )
            written += [each.words for each in found]
            wanted += [row[(row != PADDING) & (row != END)].tolist() for row in batch.after]
        return bleu(written, wanted)
