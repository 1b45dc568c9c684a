"""Training the network to tell pairs that were seen from made-up ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed
from torch.nn import functional

from algorithms.ipinsights.network import Network
from algorithms.ipinsights.pairs import Pairs
from algorithms.toolkit import deep, optimizers

_ADDRESSES = 1 << 32

Addresses = npt.NDArray[np.int64]


@dataclass
class Tally:
    """What was told right of how many pairs, made-up ones included, and at what loss."""

    loss: float = 0.0
    right: float = 0.0
    pairs: float = 0.0

    def add(self, other: Tally) -> None:
        """Count those of another, too."""
        self.loss += other.loss
        self.right += other.right
        self.pairs += other.pairs

    @property
    def accuracy(self) -> float:
        """The share that was told right."""
        return self.right / max(self.pairs, 1)

    @property
    def cross_entropy(self) -> float:
        """The mean loss of a pair."""
        return self.loss / max(self.pairs, 1)


def batches(pairs: Pairs, size: int, random: np.random.Generator) -> Iterator[Pairs]:
    """All pairs in a new order."""
    order = random.permutation(len(pairs))
    for start in range(0, len(order), size):
        yield pairs.take(order[start : start + size])


def made_up(
    addresses: Addresses, anywhere: int, shuffled: int, random: np.random.Generator
) -> Addresses:
    """Addresses that the entities of a batch did not come from: one row for each of the ways.

    Args:
        addresses: those that they came from.
        anywhere: how many are drawn from all that there are, for each entity.
        shuffled: how many are those of other pairs of the batch, for each entity.
        random: draws them.
    """
    count = len(addresses)
    if count < 2:
        # There is no other pair to take an address from.
        anywhere, shuffled = anywhere + shuffled, 0
    found = np.empty((anywhere + shuffled, count), dtype=np.int64)
    found[:anywhere] = random.integers(_ADDRESSES, size=(anywhere, count))
    for row in found[anywhere:]:
        order = random.permutation(count)
        row[order] = addresses[np.roll(order, int(random.integers(1, count)))]
    return found


class Trainer:
    """Steps of Adam over batches, alone or with the other hosts of the job.

    Of the vectors of entities and prefixes, only those of a batch are touched by its step.
    """

    def __init__(
        self,
        network: Network,
        *,
        learning_rate: float,
        weight_decay: float,
        anywhere: int,
        shuffled: int,
        random: np.random.Generator,
        device: Any,
    ) -> None:
        self._network = network.to(device)
        self._device = device
        self._weight_decay = weight_decay
        self._anywhere = anywhere
        self._shuffled = shuffled
        self._random = random
        self._tables = optimizers.SparseAdam(list(network.tables), lr=learning_rate)
        self._layers = optimizers.Adam(
            network.encoder.parameters(), lr=learning_rate, weight_decay=weight_decay
        )

    def step(self, batch: Pairs) -> Tally | None:
        """Learn from a batch; None once no host has any pairs left."""
        self._tables.zero_grad()
        self._layers.zero_grad()
        tally = self._backward(batch) if len(batch) else Tally()
        rows = deep.average_gradients(self._network.encoder, len(batch))
        if not rows:
            return None
        for table in self._network.tables:
            self._settle(table, len(batch), rows)
        self._tables.step()
        self._layers.step()
        return tally

    def _backward(self, batch: Pairs) -> Tally:
        negatives = made_up(batch.addresses, self._anywhere, self._shuffled, self._random)
        addresses = np.concatenate([batch.addresses[None], negatives])
        scores = self._scores(batch.entities, addresses)
        truth = torch.zeros_like(scores)
        truth[0] = 1
        loss = functional.binary_cross_entropy_with_logits(scores, truth)
        loss.backward()
        right = float(((scores.detach() > 0) == (truth > 0)).sum())
        return Tally(float(loss.detach()) * scores.numel(), right, scores.numel())

    def _scores(self, entities: npt.NDArray[np.int64], addresses: Addresses) -> Any:
        """The score of each entity with its address in each of the rows."""
        found = self._network.of_addresses(torch.from_numpy(addresses.reshape(-1)).to(self._device))
        vectors = self._network.of_entities(torch.from_numpy(entities).to(self._device))
        return (found.view(*addresses.shape, -1) * vectors).sum(dim=-1)

    def _settle(self, table: Any, own: int, rows: int) -> None:
        """Make the gradient of a table that of all hosts, and let its vectors decay."""
        gradient = table.grad
        if gradient is None:
            gradient = torch.sparse_coo_tensor(
                torch.empty((1, 0), dtype=torch.int64),
                torch.empty((0, table.shape[1])),
                table.shape,
                check_invariants=False,
            )
        if distributed.is_initialized():
            # Sparse tensors go over gloo only, which has them in the memory of the host.
            gradient = (gradient * own).coalesce().cpu()
            distributed.all_reduce(gradient)
            gradient = gradient / rows
        gradient = gradient.to(self._device).coalesce()
        which, values = gradient.indices(), gradient.values()
        values = values + self._weight_decay * table.detach()[which[0]]
        table.grad = torch.sparse_coo_tensor(
            which, values, table.shape, is_coalesced=True, check_invariants=False
        )

    def discern(self, pairs: Pairs, size: int, random: np.random.Generator) -> tuple[Any, Any]:
        """The scores of pairs, and those of made-up ones: one of each kind that training uses."""
        seen, other = [], []
        with torch.no_grad():
            for start in range(0, len(pairs), size):
                batch = pairs.take(np.arange(start, min(start + size, len(pairs))))
                negatives = made_up(
                    batch.addresses, min(self._anywhere, 1), min(self._shuffled, 1), random
                )
                addresses = np.concatenate([batch.addresses[None], negatives])
                scores = self._scores(batch.entities, addresses).cpu().numpy()
                seen.append(scores[0])
                other.append(scores[1:].reshape(-1))
        return np.concatenate(seen), np.concatenate(other)
