"""Training a network on images: batches, steps and epochs, on one host or several."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from algorithms.toolkit import deep
from algorithms.toolkit.errors import CustomerError, StopRequested
from algorithms.toolkit.images.optimization import Rate, set_rate
from algorithms.toolkit.images.progress import Checkpoints, Progress
from algorithms.toolkit.images.samples import Sample
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job
    from algorithms.toolkit.peers import Peers

# Batches that are made ready while the network learns from one.
_AHEAD = 2
_THREADS = 8

T = TypeVar("T")


def refuse_asynchronous(job: Job) -> None:
    """Refuse several hosts that do not wait for one another.

    Raises:
        CustomerError: kv_store asks for it.
    """
    if job.hyperparameters.get("kv_store") == "dist_async" and len(job.hosts) > 1:
        raise CustomerError(
            "kv_store dist_async is not supported by this image, whose hosts exchange gradients at "
            "every step; leave kv_store out or set it to dist_sync"
        )


def batches(
    samples: Iterable[Sample],
    size: int,
    make: Callable[[Sample, np.random.Generator], T],
    seed: int,
) -> Iterator[list[T]]:
    """What is made of samples, in lists of this size but for the last.

    Args:
        samples: they are read one after another.
        size: how many of them are learnt from at once.
        make: decodes a sample; it runs in several threads, each sample with chances of its own.
        seed: of these chances.
    """
    random = np.random.default_rng(seed)
    waiting: deque[Any] = deque()
    rest = iter(samples)
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        try:
            while True:
                while len(waiting) < (_AHEAD + 1) * size and (sample := next(rest, None)):
                    own = np.random.default_rng(random.integers(2**63))
                    waiting.append(pool.submit(make, sample, own))
                if not waiting:
                    return
                yield [
                    waiting.popleft().result() for _ in islice(range(size), min(size, len(waiting)))
                ]
        finally:
            for each in waiting:
                each.cancel()


def stacked(images: Sequence[Any], device: Any) -> Any:
    """Pixels by row, column and channel of several images as the input of a network."""
    found = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float()
    return found.contiguous(memory_format=torch.channels_last)


def computes_bfloat16(device: Any) -> bool:
    """Whether the hardware is made for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def bfloat16(device: Any) -> Any:
    """Within, what may lose precision is computed in bfloat16, on hardware that is made for it."""
    if computes_bfloat16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


@dataclass
class Training:
    """One training of a network: what it updates, what it has reached, and what it leaves.

    Args:
        job: whose hyperparameters `epochs` and `learning_rate` it goes by.
        peers: the hosts of the job.
        module: the network.
        optimizer: of what it is to learn.
        rate: the factor on the learning rate by the number of updates.
        progress: how far it has come.
        checkpoints: where it is kept after each epoch.
        model: the artifact's file.
        write: writes the artifact.
    """

    job: Job
    peers: Peers
    module: Any
    optimizer: Any
    rate: Rate
    progress: Progress
    checkpoints: Checkpoints
    model: Path
    write: Callable[[Path], None]

    def run(
        self,
        learn: Callable[[int], int],
        measure: Callable[[int], float],
    ) -> None:
        """Go through the epochs that are left; the model of the best one is the artifact.

        Args:
            learn: goes through an epoch and tells how many images that were on this host.
            measure: the score of the network after an epoch, the same on every host.
        """
        epochs = int(self.job.hyperparameters["epochs"])
        if self.checkpoints.restore(self.module, self.optimizer, self.progress, self.model):
            log.info("Checkpoint loaded; resuming after epoch %d", self.progress.epochs - 1)
        while self.progress.epochs < epochs and not self.progress.over:
            epoch, began = self.progress.epochs, time.monotonic()
            # A restarted job comes by the same chances.
            torch.manual_seed(epoch)
            self.module.train()
            images = learn(epoch)
            deep.average_buffers(self.module)
            seconds = max(time.monotonic() - began, 1e-6)
            self.module.eval()
            score = measure(epoch)
            better = self.progress.add(score)
            if self.peers.first:
                self._keep(better=better)
            if self.job.stopping:
                raise StopRequested
            host = self.job.host
            log.info(
                "#throughput_metric: host=%s, train throughput=%s records/second",
                host,
                images / seconds,
            )
            log.info(
                "#progress_metric: host=%s, completed %s %%",
                host,
                100 * self.progress.epochs / epochs,
            )
        if self.progress.over:
            log.info("Early stopping after epoch %d", self.progress.epochs - 1)
        log.info("The model is that of the best epoch, with a score of %s", self.progress.best)

    def steps(self, made: Iterator[T], loss: Callable[[T], tuple[Any, int]]) -> Iterator[T]:
        """Learn from every batch of an epoch, and give it back when that is done.

        Args:
            made: the batches of this host.
            loss: the mean loss of a batch, and over how much it is the mean.
        """
        while True:
            batch = next(made, None)
            self.optimizer.zero_grad(set_to_none=True)
            weight = 0
            if batch is not None:
                total, weight = loss(batch)
                if not torch.isfinite(total):
                    raise CustomerError(
                        "The loss is no longer a finite number; lower learning_rate, which is "
                        f"{self.job.hyperparameters['learning_rate']}"
                    )
                total.backward()
            if not deep.average_gradients(self.module, weight):
                return
            first = float(self.job.hyperparameters["learning_rate"])
            set_rate(self.optimizer, first * self.rate(self.progress.updates))
            self.optimizer.step()
            self.progress.updates += 1
            if batch is not None:
                yield batch

    def _keep(self, *, better: bool) -> None:
        with self.job.between_rounds():
            if better:
                self.write(self.model)
                settings = json.dumps(self.job.hyperparameters)
                self.model.with_name("hyperparams.json").write_text(settings)
            self.checkpoints.save(self.module, self.optimizer, self.progress, self.model)
