"""A training job of the Neural Topic Model, from its channels to the artifact."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from algorithms.ntm import fitting, topics
from algorithms.ntm.fitting import Counts, Losses, Progress, Steps
from algorithms.ntm.model import save
from algorithms.ntm.network import Network, Shape, layers
from algorithms.toolkit import content, deep, measured
from algorithms.toolkit.channels import Form, records
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import decoded, lines
from algorithms.toolkit.peers import Peers, meet
from algorithms.toolkit.records import Held, Sample
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.formats.table import Table
    from algorithms.toolkit.job import Channel, Job
    from algorithms.toolkit.records import Records

_FORM = Form(allowed=(content.RECORDIO, content.CSV), label_size=0)
VOCABULARY, VOCABULARY_FILE = "auxiliary", "vocab.txt"
# Documents by which the coherence of topics is measured.
_SAMPLED = 2000
_SEED = 0


def train(job: Job) -> None:
    """Train, measure and leave the artifact.

    Raises:
        CustomerError: Settings or data will not do.
    """
    check(job.hyperparameters)
    if job.hyperparameters["optimizer"] == "adadelta" and "learning_rate" in job.given:
        log.info("Hyperparameter learning_rate has no effect here: adadelta finds its own step")
    with meet(job) as peers, deep.together(job, peers):
        _Training(job, peers).run()


def check(values: Mapping[str, Any]) -> None:
    """Refuse what leaves nothing to train on.

    Raises:
        CustomerError: with a sentence for each.
    """
    problems = []
    if values["sub_sample"] == 0:
        problems.append("Hyperparameter sub_sample: value 0 leaves no documents to train on")
    if values["batch_norm"] and values["mini_batch_size"] < 2:
        problems.append(
            "Hyperparameter mini_batch_size: value 1 is not supported with batch_norm, which "
            "normalises documents by one another"
        )
    if problems:
        raise CustomerError("; ".join(problems))


class _Documents:
    """The documents of a channel as word counts, held to their width and to counts."""

    def __init__(self, channel: str, found: Records, width: int) -> None:
        self._channel = channel
        self._records = found
        self._width = width
        if isinstance(found, Held):
            self._check(found.table)

    def batches(self, size: int, share: float, random: np.random.Generator) -> Iterator[Table]:
        """Documents in a new order each time, of which only a share is taken."""
        if share == 1:
            sizes, kept = repeat(size), None
        else:
            # Of so many that come, the first are a sample: their order is one of chance.
            sizes, kept = repeat(math.ceil(size / share)), share
        for table in self._records.batches(sizes, random):
            self._check(table)
            if kept is None:
                yield table
            else:
                yield table.take(slice(0, min(size, math.ceil(table.rows * kept))))

    def pieces(self, size: int) -> Iterator[Counts]:
        """Documents in their order."""
        for table in self._records.pieces(size):
            self._check(table)
            yield table.dense()

    def _check(self, table: Table) -> None:
        where = table.place(0) if table.files else "the first record"
        if table.width != self._width:
            raise CustomerError(
                f"feature_dim is {self._width}, but {where} of channel {self._channel} has "
                f"{table.width} features"
            )
        stored = table.features if isinstance(table.features, np.ndarray) else table.features.data
        if (stored < 0).any():
            row, column = (int(i) for i in np.argwhere(table.dense() < 0)[0])
            raise FormatError(
                f"{table.place(row)}, feature {column}: {table.dense()[row, column]} is no count "
                "of a word"
            )


class _Training:
    def __init__(self, job: Job, peers: Peers) -> None:
        self._job, self._peers = job, peers
        self._values = values = job.hyperparameters
        width = int(values["feature_dim"])
        self._vocabulary = None
        if VOCABULARY in job.channels:
            self._vocabulary = vocabulary(job.channels[VOCABULARY], width)
        self._channels = {
            name: _Documents(name, records(channel, _FORM.of_width(width)), width)
            for name, channel in job.channels.items()
            if name != VOCABULARY
        }
        # All hosts begin alike, and draw on their own.
        torch.manual_seed(_SEED)
        self._random = np.random.default_rng([1, peers.rank])
        self._noise = torch.Generator().manual_seed(1 + 1000 * peers.rank)
        self._sample = Sample(_SAMPLED, np.random.default_rng(0))
        self._device = deep.device()
        num_topics = int(values["num_topics"])
        shape = Shape(
            width,
            num_topics,
            layers(values["encoder_layers"], num_topics),
            values["encoder_layers_activation"],
            bool(values["batch_norm"]),
        )
        self._network = Network(shape).to(self._device)
        self._steps = Steps(self._network, values)
        self._size = -(-int(values["mini_batch_size"]) // len(peers.hosts))

    def run(self) -> None:
        """Train, measure and leave the artifact."""
        values = self._values
        epochs = int(values["epochs"])
        progress = Progress(int(values["num_patience_epochs"]), float(values["tolerance"]))
        kept: Any = None
        for epoch in range(1, epochs + 1):
            loss = self._epoch(epoch)
            if progress.add(loss) and "validation" in self._channels:
                kept = copy.deepcopy(self._network.state_dict())
            log.info(
                "#progress_metric: host=%s, completed %g %% of epochs",
                self._job.host,
                100 * epoch / epochs,
            )
            if progress.stalled:
                log.info("patience losses: %s", progress.losses[-progress.patience :])
                log.info("Early stop condition met. Stopping training.")
                break
        if kept is not None:
            self._network.load_state_dict(kept)
            log.info("#validation_score (%d): %s", progress.best, min(progress.losses))
        if "test" in self._channels:
            started = time.time()
            losses = fitting.evaluated(self._network, self._pieces("test"), self._device)
            self._report("test", losses, started, None)
        self._tell_topics()
        if self._peers.first:
            save(self._job.model_dir, self._network)

    def _epoch(self, epoch: int) -> float:
        """Go through the documents once; gives the loss that decides whether to go on."""
        started = time.time()
        share = float(self._values["sub_sample"])
        tables = self._channels["train"].batches(self._size, share, self._random)
        losses = fitting.one_epoch(
            self._network, self._steps, self._seen(tables, epoch), self._noise, self._device
        )
        deep.average_buffers(self._network)
        seconds = max(time.time() - started, 1e-9)
        log.info("# Finished training epoch %d on %d examples", epoch, losses.documents)
        loss = self._report("train", losses, started, epoch)
        log.info(
            "#throughput_metric: host=%s, train throughput=%s records/second",
            self._job.host,
            losses.documents / seconds,
        )
        if not math.isfinite(loss):
            raise CustomerError(
                f"Training went out of bounds in epoch {epoch}: the loss is {loss}. Lower "
                "learning_rate, or set clip_gradient"
            )
        if "validation" in self._channels:
            started = time.time()
            found = fitting.evaluated(self._network, self._pieces("validation"), self._device)
            loss = self._report("validation", found, started, epoch)
        return loss

    def _seen(self, tables: Iterator[Table], epoch: int) -> Iterator[Counts]:
        for table in tables:
            if epoch == 1 and self._vocabulary is not None:
                self._sample.add(table)
            yield table.dense()

    def _pieces(self, channel: str) -> Iterator[Counts]:
        return self._channels[channel].pieces(max(self._size, 256))

    def _report(self, name: str, losses: Losses, started: float, epoch: int | None) -> float:
        """Log what documents lost on all hosts, in AWS's words; gives the total."""
        sums = self._peers.total(
            {
                "sums": np.array([losses.kld, losses.recons]),
                "documents": np.array(losses.documents),
            }
        )
        if not int(sums["documents"]):
            raise CustomerError(f"Channel {name} has no documents to learn from")
        kld, recons = (float(each) for each in sums["sums"])
        mean = Losses(kld + recons, kld, recons, int(sums["documents"])).mean()
        log.info("Metrics for %s:", "Training" if name == "train" else "Inference")
        for part, value in mean.items():
            log.info("Loss (name: value) %s: %s", part, value)
        place = f"host={self._job.host}, " + ("" if epoch is None else f"epoch={epoch}, ")
        log.info("#quality_metric: %s%s total_loss <loss>=%s", place, name, mean["total"])
        values = {f"{name} {part}": value for part, value in mean.items()}
        measured.report("AWS/NTM", self._job.host, started, values)
        return mean["total"]

    def _tell_topics(self) -> None:
        if self._vocabulary is None:
            return
        weights = self._network.projection_weight.detach().cpu().numpy()
        (documents,) = self._sample.chosen()
        for line in topics.report(fitting.top_words(weights), self._vocabulary, documents.features):
            log.info(line)


def vocabulary(channel: Channel, width: int) -> list[str]:
    """The words of vocab.txt, one a line.

    Raises:
        CustomerError: The file is not there, or has more or fewer words than documents count.
    """
    if channel.piped:
        with channel.pipe(0) as stream:
            body = stream.read()
        title = f"{channel.name}, epoch 0"
    else:
        files = {path.name: path for path in channel.files()}
        if VOCABULARY_FILE not in files:
            raise CustomerError(
                f"Channel {channel.name} must hold {VOCABULARY_FILE}; it holds {', '.join(files)}"
            )
        body, title = files[VOCABULARY_FILE].read_bytes(), channel.title(files[VOCABULARY_FILE])
    words = lines(decoded(body, title, "text/plain"))
    if len(words) != width:
        raise CustomerError(f"feature_dim is {width}, but {title} has {len(words)} words")
    return words
