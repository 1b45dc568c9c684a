"""A training job of Object2Vec, from its channels to its artifact."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from algorithms.object2vec import vectors
from algorithms.object2vec.model import MODEL_FILE, save
from algorithms.object2vec.network import Network, Shape
from algorithms.object2vec.pairs import Batch, Pairs, Vocabulary, read
from algorithms.toolkit import deep, measured, optimizers
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

_SEED = 0
# Pairs that are measured at once.
_MEASURED = 1024


def train(job: Job) -> None:
    """Learn from the pairs of `train`, as long as `validation` gets better, and score `test`."""
    job.one_host()
    _check(job)
    _Training(job).run()


def _check(job: Job) -> None:
    """Refuse combinations that this image does not have."""
    settings = job.hyperparameters
    problems = []
    shape = Shape.of(settings)
    first, second = shape.sides
    if len(set(shape.comparators)) < len(shape.comparators):
        problems.append(f"comparator_list names one twice: {','.join(shape.comparators)}")
    if shape.tied and (first.vocab_size, first.token_embedding_dim) != (
        second.vocab_size,
        second.token_embedding_dim,
    ):
        problems.append(
            "tied_token_embedding_weight shares one table: vocab_size and token_embedding_dim of "
            "both encoders must be the same"
        )
    if _sparse(settings):
        if settings["optimizer"] in {"rmsprop", "adadelta"}:
            problems.append(
                f"token_embedding_storage_type row_sparse is not supported with optimizer "
                f"{settings['optimizer']}, which moves every vector at every step; use dense, or "
                "adam, adagrad or sgd"
            )
        if settings["weight_decay"]:
            problems.append(
                "token_embedding_storage_type row_sparse is not supported with weight_decay, which "
                "moves every vector at every step; use dense, or weight_decay 0"
            )
    if problems:
        raise CustomerError("; ".join(problems))


def _sparse(settings: Mapping[str, Any]) -> bool:
    """Whether a step moves the vectors of its own tokens alone."""
    storage = settings["token_embedding_storage_type"]
    return bool(storage == "row_sparse")


@dataclass
class _Tally:
    """The loss and the right answers of pairs, summed up."""

    loss: float = 0.0
    right: float = 0.0
    pairs: int = 0

    @property
    def mean(self) -> float:
        return self.loss / max(self.pairs, 1)

    @property
    def accuracy(self) -> float:
        return self.right / max(self.pairs, 1)


class _Training:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._settings = settings = job.hyperparameters
        self._shape = shape = Shape.of(settings)
        first, second = (Vocabulary(side.vocab_size, side.max_seq_len) for side in shape.sides)
        self._channels: dict[str, Pairs] = {
            name: read(job.channels[name], (first, second), self._label)
            for name in ("train", "validation", "test")
            if name in job.channels
        }
        torch.manual_seed(_SEED)
        self._random = np.random.default_rng(_SEED)
        sparse = _sparse(settings)
        network = Network(shape, dropout=float(settings["dropout"]), sparse=sparse)
        self._begin_with_vectors(network)
        self._device = deep.device()
        self._network = network.to(self._device)
        self._optimizers = _optimizers(network, settings, sparse=sparse)
        self._loss_name = "cross_entropy" if shape.classifies else "mean_squared_error"

    def _label(self, value: Any, where: str) -> float:
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
        ):
            raise FormatError(f"{where}: the label is {value!r}, not a number")
        if self._shape.classifies and not (value % 1 == 0 and 0 <= value < self._shape.outputs):
            raise FormatError(
                f"{where}: the label is {value}; with num_classes {self._shape.outputs} it is a "
                f"whole number from 0 to {self._shape.outputs - 1}"
            )
        return float(value)

    def _begin_with_vectors(self, network: Network) -> None:
        """Take vectors that were learnt elsewhere, and keep them as they are where asked to."""
        copied = self._settings["enc1_network"] == "enc0"
        for number, encoder in enumerate(network.encoders):
            if number and self._shape.tied:
                break
            name = "enc0" if number == 0 or copied else "enc1"
            side = self._shape.sides[number]
            found = vectors.pretrained(self._job, name, side.vocab_size, side.token_embedding_dim)
            if found is None:
                continue
            table = encoder.table.weight
            with torch.no_grad():
                for row, vector in found.items():
                    table[row] = torch.from_numpy(vector)
            table.requires_grad_(not self._settings[f"{name}_freeze_pretrained_embedding"])
            log.info("%s: %d of %d vectors are pretrained", name, len(found), side.vocab_size)

    def run(self) -> None:
        """Go through the epochs, and leave the model of the best one."""
        settings, host = self._settings, self._job.host
        epochs, patience = int(settings["epochs"]), int(settings["early_stopping_patience"])
        tolerance = float(settings["early_stopping_tolerance"])
        best, reference, waited = math.inf, math.inf, 0
        kept: Any = None
        for epoch in range(epochs):
            loss = self._epoch(epoch)
            if "validation" in self._channels:
                loss = self._report("validation", epoch)
            log.info("#progress_metric: host=%s, completed %g %%", host, 100 * (epoch + 1) / epochs)
            if loss < best:
                best, kept = loss, copy.deepcopy(self._network.state_dict())
            if loss < reference - tolerance:
                reference, waited = loss, 0
            else:
                waited += 1
                if waited >= patience:
                    log.info("Early stopping after epoch %d: no progress in %d", epoch, patience)
                    break
        self._network.load_state_dict(kept)
        if "test" in self._channels:
            self._report("test", None)
        save(self._job.model_dir / MODEL_FILE, self._network)

    def _epoch(self, epoch: int) -> float:
        """Learn from all pairs once, and give their mean loss."""
        began, settings = time.time(), self._settings
        self._network.train()
        tally = _Tally()
        batches = self._channels["train"].shuffled(
            int(settings["mini_batch_size"]),
            int(settings["bucket_width"]),
            int(settings["negative_sampling_rate"]),
            self._random,
        )
        for batch in batches:
            for optimizer in self._optimizers:
                optimizer.zero_grad(set_to_none=True)
            self._loss(batch, tally).backward()
            for optimizer in self._optimizers:
                optimizer.step()
        if not math.isfinite(tally.mean):
            raise CustomerError(
                f"The loss is {tally.mean} in epoch {epoch}: the training diverged. Lower "
                f"learning_rate, which is {settings['learning_rate']}"
            )
        seconds = max(time.time() - began, 1e-9)
        self._tell("train", epoch, tally, began)
        log.info(
            "#throughput_metric: host=%s, train throughput=%s records/second",
            self._job.host,
            len(self._channels["train"]) / seconds,
        )
        return tally.mean

    def _report(self, name: str, epoch: int | None) -> float:
        """Measure the pairs of a channel, and give their mean loss."""
        began, tally = time.time(), _Tally()
        self._network.eval()
        with torch.inference_mode():
            for batch in self._channels[name].ordered(_MEASURED):
                self._loss(batch, tally)
        self._tell(name, epoch, tally, began)
        return tally.mean

    def _loss(self, batch: Batch, tally: _Tally) -> Any:
        outputs = self._network(self._moved(batch.tokens), self._moved(batch.lengths))
        labels = torch.from_numpy(batch.labels).to(self._device)
        if self._shape.classifies:
            loss = functional.cross_entropy(outputs, labels.long())
            tally.right += float((outputs.argmax(dim=1) == labels).sum())
        else:
            loss = functional.mse_loss(outputs[:, 0], labels)
        tally.loss += float(loss.detach()) * len(batch)
        tally.pairs += len(batch)
        return loss

    def _moved(self, arrays: Iterable[Any]) -> list[Any]:
        return [torch.from_numpy(each).to(self._device) for each in arrays]

    def _tell(self, name: str, epoch: int | None, tally: _Tally, began: float) -> None:
        place = f"host={self._job.host}, " + ("" if epoch is None else f"epoch={epoch}, ")
        values = {f"{name} {self._loss_name}": tally.mean}
        log.info("#quality_metric: %s%s %s <loss>=%s", place, name, self._loss_name, tally.mean)
        if self._shape.classifies:
            values[f"{name} accuracy"] = tally.accuracy
            log.info("#quality_metric: %s%s accuracy <score>=%s", place, name, tally.accuracy)
        measured.report("AWS/Object2Vec", self._job.host, began, values)


def _optimizers(network: Network, settings: Mapping[str, Any], *, sparse: bool) -> list[Any]:
    """The rule that hyperparameters name; sparse gradients of vectors have one of their own."""
    rate, decay = float(settings["learning_rate"]), float(settings["weight_decay"])
    rules = {
        "adam": optimizers.Adam,
        "adagrad": optimizers.Adagrad,
        "adadelta": optimizers.Adadelta,
        "sgd": optimizers.SGD,
        "rmsprop": optimizers.RMSprop,
    }
    rule = rules[settings["optimizer"]]
    learnt = [each for each in network.parameters() if each.requires_grad]
    if not (sparse and rule is optimizers.Adam):
        return [rule(learnt, lr=rate, weight_decay=decay)]
    tables = [table.weight for table in network.tables if table.weight.requires_grad]
    ids = {id(each) for each in tables}
    found: list[Any] = [rule([each for each in learnt if id(each) not in ids], lr=rate)]
    return [*found, optimizers.SparseAdam(tables, lr=rate)] if tables else found
