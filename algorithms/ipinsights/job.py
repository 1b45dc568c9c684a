"""A training job of IP Insights, on one host or several."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from algorithms.ipinsights.model import save
from algorithms.ipinsights.network import Network, parameters
from algorithms.ipinsights.pairs import Pairs, Reader
from algorithms.ipinsights.training import Tally, Trainer, batches
from algorithms.toolkit import deep, measured
from algorithms.toolkit.classification import roc_auc
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.peers import Peers, meet
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from algorithms.toolkit.job import Job

LARGEST_BYTES = 8 * 1024**3
_SEED = 0


def train(job: Job) -> None:
    """Learn which addresses entities use from the `train` channel; measure it on `validation`."""
    settings = job.hyperparameters
    _refuse_too_large(settings)
    reader = Reader(int(settings["num_entity_vectors"]))
    channels = {name: reader.channel(channel) for name, channel in job.channels.items()}
    reader.forget()
    with meet(job) as peers, deep.together(job, peers):
        _Training(job, peers, channels).run()


def _refuse_too_large(settings: Mapping[str, Any]) -> None:
    vectors, dimension = int(settings["num_entity_vectors"]), int(settings["vector_dim"])
    needed = 4 * parameters(vectors, dimension)
    if needed > LARGEST_BYTES:
        raise CustomerError(
            f"num_entity_vectors {vectors} with vector_dim {dimension} make a model of "
            f"{needed / 1024**3:.1f} GB; at most 8 GB are allowed. Lower one of them"
        )


class _Training:
    """The epochs of a job, and what is logged of them."""

    def __init__(self, job: Job, peers: Peers, channels: Mapping[str, Pairs]) -> None:
        settings = job.hyperparameters
        self._job = job
        self._peers = peers
        self._channels = channels
        self._epochs = int(settings["epochs"])
        self._interval = int(settings["batch_metrics_publish_interval"])
        # A batch is shared out among the hosts, so that as many steps are made as on one of them.
        self._size = max(1, int(settings["mini_batch_size"]) // len(peers.hosts))
        # All hosts begin with the same network, and each goes its own way through its own pairs.
        torch.manual_seed(_SEED)
        self._network = Network(
            int(settings["num_entity_vectors"]),
            int(settings["vector_dim"]),
            int(settings["num_ip_encoder_layers"]),
        )
        self._random = np.random.default_rng([_SEED, peers.rank])
        self._trainer = Trainer(
            self._network,
            learning_rate=float(settings["learning_rate"]),
            weight_decay=float(settings["weight_decay"]),
            anywhere=int(settings["random_negative_sampling_rate"]),
            shuffled=int(settings["shuffled_negative_sampling_rate"]),
            random=self._random,
            device=deep.device(),
        )

    def run(self) -> None:
        """Train for all epochs, and leave the model."""
        for epoch in range(self._epochs):
            self._epoch(epoch)
        if self._peers.first:
            save(self._job.model_dir, self._network)

    def _epoch(self, epoch: int) -> None:
        host, started = self._job.host, time.time()
        total, recent, own = Tally(), Tally(), 0
        since = started
        left = batches(self._channels["train"], self._size, self._random)
        nothing = self._channels["train"].take(np.arange(0))
        number = 0
        while (tally := self._trainer.step(batch := next(left, nothing))) is not None:
            total.add(tally)
            recent.add(tally)
            own += len(batch)
            if len(batch) and number % self._interval == 0:
                self._log_batch(epoch, number, recent, time.time() - since)
                recent, since = Tally(), time.time()
            number += 1
        seconds = max(time.time() - started, 1e-9)
        everywhere = self._peers.total(
            {
                "loss": np.array(total.loss),
                "right": np.array(total.right),
                "n": np.array(total.pairs),
            }
        )
        total = Tally(*(float(everywhere[name]) for name in ("loss", "right", "n")))
        values = {
            "binary_classification_accuracy": total.accuracy,
            "binary_classification_cross_entropy": total.cross_entropy,
        }
        if not np.isfinite(total.cross_entropy):
            raise CustomerError(
                f"The loss is {total.cross_entropy} in epoch {epoch}: the training diverged. Lower "
                "learning_rate or weight_decay"
            )
        lead = f"#quality_metric: host={host}, epoch={epoch}, train binary_classification_"
        log.info("%saccuracy <score>=%s", lead, total.accuracy)
        log.info("%scross_entropy <loss>=%s", lead, total.cross_entropy)
        if (area := self._discriminated()) is not None:
            values["validation discriminator_auc"] = area
            log.info(
                "#quality_metric: host=%s, epoch=%d, validation discriminator_auc <score>=%s",
                host,
                epoch,
                area,
            )
        done = 100 * (epoch + 1) / self._epochs
        log.info("#progress_metric: host=%s, completed %g %%", host, done)
        log.info(
            "#throughput_metric: host=%s, train throughput=%s records/second", host, own / seconds
        )
        measured.report("AWS/IPInsights", host, started, values)

    def _log_batch(self, epoch: int, number: int, recent: Tally, seconds: float) -> None:
        lead = f"#quality_metric: host={self._job.host}, epoch={epoch}, batch={number} train "
        log.info("%sbinary_classification_accuracy <score>=%s", lead, recent.accuracy)
        log.info("%sbinary_classification_cross_entropy <loss>=%s", lead, recent.cross_entropy)
        log.info(
            "Epoch[%d] Batch [%d]\tSpeed: %.2f samples/sec",
            epoch,
            number,
            recent.pairs / max(seconds, 1e-9),
        )

    def _discriminated(self) -> float | None:
        """How well pairs of the validation channel are told from made-up ones; None without it."""
        if "validation" not in self._channels:
            return None
        # The same made-up pairs each time, so that epochs can be compared.
        random = np.random.default_rng([_SEED, self._peers.rank, 1])
        seen, other = self._trainer.discern(self._channels["validation"], self._size, random)
        parts = self._peers.gather({"seen": seen, "other": other})
        seen = np.concatenate([part["seen"] for part in parts])
        other = np.concatenate([part["other"] for part in parts])
        truth = np.repeat([1, 0], [len(seen), len(other)])
        return roc_auc(np.concatenate([seen, other]), truth)
