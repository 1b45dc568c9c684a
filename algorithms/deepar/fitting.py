"""Training of a network on windows, on one host or several.

The steps are GluonTS's: Adam, gradients cut to a norm of 10, half the learning rate after ten
epochs without progress, and the parameters of the epoch with the lowest loss at the end. These are
their mean over the last steps, for one step moves the level of all forecasts: B. Polyak and A.
Juditsky, Acceleration of Stochastic Approximation by Averaging (1992). The windows are drawn anew
for each epoch, evenly over all of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from algorithms.toolkit import optimizers
from algorithms.toolkit.deep import average_gradients
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.deepar.network import Network
    from algorithms.deepar.windows import Windows
    from algorithms.toolkit.peers import Peers

# An epoch has at least so many steps: a pass over few series teaches next to nothing.
STEPS = 10
# A line of the log for every so many steps.
_TOLD = 5
_NORM = 10.0
_WEIGHT_DECAY = 1e-8
_PATIENCE = 10
# A step counts in the mean of the parameters by so much less than the one after it.
_DECAY = 0.97


@dataclass(frozen=True)
class Plan:
    """How a network is trained."""

    epochs: int
    mini_batch_size: int
    learning_rate: float
    early_stopping_patience: int | None = None


def epoch_windows(points: int, prediction_length: int, mini_batch_size: int) -> int:
    """How many windows make an epoch: each point is forecast in one of them on average."""
    return max(math.ceil(points / prediction_length), STEPS * mini_batch_size)


class Share:
    """The part of all hosts' windows that this one trains on.

    All hosts draw the same numbers. Where each has all series, they take turns; where each has its
    own, one takes those that it has. Together they do what one host does with all series.
    """

    def __init__(self, peers: Peers, own: int, points: int, *, sharded: bool) -> None:
        parts = peers.gather({"windows": np.array(own), "points": np.array(points)})
        counts = [int(part["windows"]) for part in parts]
        self.sharded = sharded and not peers.alone
        self.total = sum(counts) if self.sharded else own
        self.points = sum(int(part["points"]) for part in parts) if self.sharded else points
        self._peers = peers
        self._from = sum(counts[: peers.rank])
        self._to = self._from + own

    def of(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which of some windows this host trains on, by their numbers here."""
        if not self.sharded:
            return numbers[self._peers.rank :: len(self._peers.hosts)]
        return numbers[(numbers >= self._from) & (numbers < self._to)] - self._from


class Mean:
    """The mean of a network's parameters over its last steps; of the first ones, over fewer."""

    def __init__(self, network: Network) -> None:
        self._parameters = list(network.parameters())
        self._means = [each.detach().clone() for each in self._parameters]
        self._kept: list[Any] = []
        self._steps = 0

    @torch.no_grad()
    def add(self) -> None:
        """Take the parameters after another step into account."""
        self._steps += 1
        decay = min(_DECAY, (1 + self._steps) / (10 + self._steps))
        for mean, parameter in zip(self._means, self._parameters, strict=True):
            mean.lerp_(parameter, 1 - decay)

    def keep(self) -> None:
        """Remember the mean as it is now."""
        self._kept = [each.clone() for each in self._means]

    @torch.no_grad()
    def restore(self) -> None:
        """Make what was remembered the network's parameters."""
        for parameter, kept in zip(self._parameters, self._kept, strict=True):
            parameter.copy_(kept)


class Fitting:
    """The training of one network on this host's share of the windows."""

    def __init__(
        self, network: Network, windows: Windows, share: Share, plan: Plan, peers: Peers, host: str
    ) -> None:
        self._network = network
        self._windows = windows
        self._share = share
        self._plan = plan
        self._peers = peers
        self._host = host
        self._random = np.random.default_rng(0)
        self._optimizer = optimizers.Adam(
            network.parameters(), lr=plan.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        self._mean = Mean(network)
        self._drawn = epoch_windows(share.points, network.prediction_length, plan.mini_batch_size)

    def run(self) -> float:
        """Train, leave the best parameters in the network, and give their loss.

        Raises:
            CustomerError: The loss is not a number any more.
        """
        slower = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self._optimizer, mode="min", factor=0.5, patience=_PATIENCE
        )
        patience = self._plan.early_stopping_patience
        best, best_epoch = math.inf, -1
        self._network.train()
        for epoch in range(self._plan.epochs):
            loss = self._epoch(epoch)
            if loss < best:
                best, best_epoch = loss, epoch
                self._mean.keep()
            slower.step(loss)
            if patience is not None and epoch - best_epoch >= patience:
                log.info("Early stop condition met. Stopping training.")
                break
        self._mean.restore()
        self._network.eval()
        log.info("Final loss: %s (occurred at epoch %d)", best, best_epoch)
        log.info(
            "#quality_metric: host=%s, epoch=%d, train final_loss <loss>=%s",
            self._host,
            best_epoch,
            best,
        )
        return best

    def _epoch(self, epoch: int) -> float:
        """One epoch; gives the mean loss of all hosts' windows."""
        started = time.perf_counter()
        total, rows = 0.0, 0
        for step, numbers in enumerate(self._batches()):
            own = self._share.of(numbers)
            loss = self._step(own)
            total, rows = total + loss * len(own), rows + len(own)
            if step % _TOLD == 0:
                log.info(
                    "#quality_metric: host=%s, epoch=%d, batch=%d train loss <loss>=%s",
                    self._host,
                    epoch,
                    step,
                    loss,
                )
        found = self._peers.total({"loss": np.array(total), "rows": np.array(rows)})
        mean = float(found["loss"] / found["rows"])
        if not math.isfinite(mean):
            raise CustomerError(
                f"The loss of epoch {epoch} is {mean}: the training diverged; a smaller "
                f"learning_rate than {self._plan.learning_rate:g} may help"
            )
        seconds = max(time.perf_counter() - started, 1e-9)
        log.info(
            "#quality_metric: host=%s, epoch=%d, train loss <loss>=%s", self._host, epoch, mean
        )
        log.info(
            "#progress_metric: host=%s, completed %g %%",
            self._host,
            100 * (epoch + 1) / self._plan.epochs,
        )
        log.info(
            "#throughput_metric: host=%s, train throughput=%s records/second",
            self._host,
            self._drawn / seconds,
        )
        return mean

    def _step(self, own: npt.NDArray[np.int64]) -> float:
        """Learn from one batch, of which this host may have nothing; gives its own mean loss."""
        value = 0.0
        self._optimizer.zero_grad()
        if len(own):
            loss = self._network.loss(**self._windows.chosen(own)).mean()
            loss.backward()
            value = loss.item()
        average_gradients(self._network, len(own))
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), _NORM)
        self._optimizer.step()
        self._mean.add()
        return value

    def _batches(self) -> Iterator[npt.NDArray[np.int64]]:
        """The numbers of an epoch's windows, drawn evenly over all, in a random order."""
        count = self._drawn
        places = (self._random.permutation(count) + self._random.random(count)) / count
        numbers = np.minimum((places * self._share.total).astype(np.int64), self._share.total - 1)
        for begin in range(0, count, self._plan.mini_batch_size):
            yield numbers[begin : begin + self._plan.mini_batch_size]
