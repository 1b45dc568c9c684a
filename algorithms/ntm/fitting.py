"""Epochs over documents: steps of an optimizer, sums of what was lost, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from algorithms.ntm.network import Network
from algorithms.toolkit import deep, optimizers

Counts = npt.NDArray[np.float32]

# As in MXNet, on which AWS's own container is built.
_ADADELTA = {"lr": 1.0, "rho": 0.9, "eps": 1e-5}
_RMSPROP_DECAY = 0.9


@dataclass
class Losses:
    """Sums over documents of what each lost, by the number of its words."""

    total: float = 0.0
    kld: float = 0.0
    recons: float = 0.0
    documents: int = 0

    def add(self, reconstruction: Any, kld: Any, words: Any) -> None:
        """Take in some documents."""
        self.recons += float((reconstruction / words).sum())
        self.kld += float((kld / words).sum())
        self.total = self.recons + self.kld
        self.documents += len(words)

    def mean(self) -> dict[str, float]:
        """Of a document, by the names that the log has."""
        count = max(self.documents, 1)
        return {
            "total": self.total / count,
            "kld": self.kld / count,
            "recons": self.recons / count,
            "logppx": self.total / count,
        }


@dataclass
class Progress:
    """Losses by epoch, and whether they still fall.

    Training has stalled when over the last `patience` epochs no loss was below the one before
    these by more than the share `tolerance` of it.
    """

    patience: int
    tolerance: float
    losses: list[float] = field(default_factory=list)

    def add(self, loss: float) -> bool:
        """Take in an epoch's loss; tells whether it is the lowest so far."""
        self.losses.append(loss)
        return loss == min(self.losses)

    @property
    def stalled(self) -> bool:
        """Whether training may end."""
        if len(self.losses) <= self.patience:
            return False
        before = self.losses[-self.patience - 1]
        gained = before - min(self.losses[-self.patience :])
        return gained < self.tolerance * abs(before)

    @property
    def best(self) -> int:
        """The epoch of the lowest loss, counted from 1."""
        return int(np.argmin(self.losses)) + 1


class Steps:
    """One optimizer over the weights of a network, with what is done to gradients before."""

    def __init__(self, network: Network, settings: Mapping[str, Any]) -> None:
        self._network = network
        self._rescale = float(settings["rescale_gradient"])
        self._clip = float(settings["clip_gradient"])
        self._optimizer = optimizer(network, settings)

    def take(self, loss: Any, rows: int) -> int:
        """Follow the gradient of a mean over `rows` documents; gives how many all hosts have.

        Without documents there is no loss: a host that is through takes part all the same.
        """
        self._optimizer.zero_grad()
        if rows:
            loss.backward()
        everywhere = deep.average_gradients(self._network, rows)
        if everywhere:
            for parameter in self._network.parameters():
                if self._rescale != 1:
                    parameter.grad.mul_(self._rescale)
                if math.isfinite(self._clip):
                    parameter.grad.clamp_(-self._clip, self._clip)
            self._optimizer.step()
        return everywhere


def optimizer(network: Network, settings: Mapping[str, Any]) -> Any:
    """The optimizer of a job; adadelta finds its own step and has no learning rate."""
    parameters = list(network.parameters())
    rate, decay = float(settings["learning_rate"]), float(settings["weight_decay"])
    match settings["optimizer"]:
        case "adadelta":
            return optimizers.Adadelta(parameters, weight_decay=decay, **_ADADELTA)
        case "adagrad":
            return optimizers.Adagrad(parameters, lr=rate, weight_decay=decay)
        case "adam":
            return optimizers.Adam(parameters, lr=rate, weight_decay=decay)
        case "rmsprop":
            return optimizers.RMSprop(parameters, lr=rate, alpha=_RMSPROP_DECAY, weight_decay=decay)
        case _:
            return optimizers.SGD(parameters, lr=rate, weight_decay=decay)


def one_epoch(
    network: Network, steps: Steps, batches: Iterator[Counts], generator: Any, device: Any
) -> Losses:
    """Take a step for each batch, together with the other hosts; gives what this one lost."""
    network.train()
    losses = Losses()
    smallest = 2 if network.shape.batch_norm else 1
    while True:
        batch = next(batches, None)
        if batch is not None and len(batch) < smallest:
            # One document has no spread by which it could be normalised.
            continue
        if batch is None:
            if not steps.take(None, 0):
                return losses
            continue
        counts = torch.tensor(batch, device=device)
        reconstruction, kld = _bound(network, counts, generator, device)
        losses.add(reconstruction.detach(), kld.detach(), counts.sum(dim=1).clamp(min=1))
        steps.take((reconstruction + kld).mean(), len(batch))


def evaluated(network: Network, batches: Iterable[Counts], device: Any) -> Losses:
    """What documents lose that are not learnt from; the same draws are taken each time."""
    network.eval()
    losses, generator = Losses(), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for batch in batches:
            counts = torch.tensor(batch, device=device)
            reconstruction, kld = _bound(network, counts, generator, device)
            losses.add(reconstruction, kld, counts.sum(dim=1).clamp(min=1))
    return losses


def _bound(network: Network, counts: Any, generator: Any, device: Any) -> tuple[Any, Any]:
    # Drawn on the CPU, whose numbers are the same everywhere.
    noise = torch.randn(len(counts), network.shape.num_topics, generator=generator).to(device)
    return network.bound(counts, noise)


def top_words(weights: Counts, count: int = 10) -> Sequence[Sequence[int]]:
    """The words that each topic raises most, from the matrix with one column a topic."""
    order = np.argsort(-weights, axis=0, kind="stable")[: min(count, len(weights))]
    found: list[list[int]] = order.T.tolist()
    return found
