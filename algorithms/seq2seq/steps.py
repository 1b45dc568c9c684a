"""Steps of training: the optimizer, how its learning rate falls, and what each step comes to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from algorithms.seq2seq.network import Network
from algorithms.seq2seq.pairs import Batch
from algorithms.seq2seq.vocabulary import PADDING
from algorithms.toolkit import optimizers
from algorithms.toolkit.images import optimization


@dataclass
class Tally:
    """How many words were asked for, how many were told right, and the loss of all."""

    loss: float = 0.0
    right: float = 0.0
    words: float = 0.0

    def add(self, other: Tally) -> None:
        """Count those of another, too."""
        self.loss += other.loss
        self.right += other.right
        self.words += other.words

    @property
    def accuracy(self) -> float:
        """The share of words that was told right."""
        return self.right / max(self.words, 1)

    @property
    def perplexity(self) -> float:
        """Among how many words, all equally likely, the next one would be as hard to tell."""
        try:
            return math.exp(self.loss / max(self.words, 1))
        except OverflowError:
            return math.inf


class LearningRate:
    """The factor on the learning rate, by hyperparameter lr_scheduler_type.

    A fixed rate falls with every batch: after fixed_rate_lr_half_life checks it has halved.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._kind = settings["lr_scheduler_type"]
        self._half_life = (
            settings["fixed_rate_lr_half_life"] * settings["checkpoint_frequency_num_batches"]
        )
        self._threshold = settings["plateau_reduce_lr_threshold"]
        self._reduction = float(settings["plateau_reduce_lr_factor"])
        self._reduced = 1.0
        self._without = 0

    def factor(self, batches: int) -> float:
        """The factor after so many batches."""
        passed: float = batches / self._half_life
        if self._kind == "fixed_rate_inv_t":
            return 1 / (1 + passed)
        if self._kind == "fixed_rate_inv_sqrt_t":
            return 1 / math.sqrt(1 + 3 * passed)
        return self._reduced

    def checked(self, *, better: bool) -> bool:
        """Take note of a check on the validation data; tells whether the rate falls for it."""
        if self._kind != "plateau_reduce":
            return False
        self._without = 0 if better else self._without + 1
        if self._without < self._threshold:
            return False
        self._without = 0
        self._reduced *= self._reduction
        return True


class Trainer:
    """Makes the steps that hyperparameters ask for."""

    def __init__(self, network: Network, settings: Mapping[str, Any], device: Any) -> None:
        self.network = network.to(device)
        self._device = device
        self._clip = float(settings["clip_gradient"])
        self._rate = float(settings["learning_rate"])
        self._optimizer = _optimizer(network, settings)

    def step(self, batch: Batch, factor: float) -> Tally:
        """Learn from a batch, at the learning rate times a factor."""
        self.network.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * factor
        self._optimizer.zero_grad(set_to_none=True)
        loss, tally = self._loss(batch)
        (loss / tally.words).backward()
        if self._clip >= 0:
            nn.utils.clip_grad_value_(self.network.parameters(), self._clip)
        self._optimizer.step()
        return tally

    def measure(self, batch: Batch) -> Tally:
        """What the network makes of a batch, from which it does not learn."""
        self.network.eval()
        with torch.inference_mode():
            return self._loss(batch)[1]

    def _loss(self, batch: Batch) -> tuple[Any, Tally]:
        source, before, after = (
            torch.from_numpy(each).to(self._device)
            for each in (batch.source, batch.before, batch.after)
        )
        wanted = after != PADDING
        lengths = torch.from_numpy(batch.lengths).to(self._device)
        odds, words = self.network(source, lengths, before, wanted), after[wanted]
        loss = functional.cross_entropy(odds, words, reduction="sum")
        right = (odds.argmax(dim=1) == words).sum()
        return loss, Tally(loss.item(), right.item(), len(words))


def _optimizer(network: Network, settings: Mapping[str, Any]) -> Any:
    if settings["optimizer_type"] == "adam":
        # Weight decay is part of the gradient, as in MXNet.
        return optimizers.Adam(
            network.parameters(),
            lr=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
        )
    told = {**settings, "optimizer": settings["optimizer_type"]}
    return optimization.optimizer(network.parameters(), told)
