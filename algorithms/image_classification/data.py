"""Images with their classes: from RecordIO, from .lst files beside images, or from a pipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import decoded, lines
from algorithms.toolkit.images import samples
from algorithms.toolkit.images.samples import Sample, Samples

if TYPE_CHECKING:
    from algorithms.toolkit.job import Channel, Job
    from algorithms.toolkit.peers import Peers

Target = npt.NDArray[np.float32]

# How the attribute of an augmented manifest tells several labels (page image-classification).
_FORMATS = ("multi-hot", "class-id")


@dataclass(frozen=True)
class Labels:
    """How the labels of a channel are to be read.

    Args:
        classes: how many there are.
        several: whether an image may have any number of them.
        by_number: whether an attribute lists the classes by number, and not one 0 or 1 a class.
    """

    classes: int
    several: bool
    by_number: bool = False

    def target(self, sample: Sample) -> Target:
        """One number: the class; with several labels 0 or 1 for each class."""
        if isinstance(sample.label, bytes):
            return self._of_attribute(sample.label, f"{sample.place}: the attribute")
        return self.of_numbers(sample.label, sample.place)

    def of_numbers(self, found: Sequence[float] | Target, where: str) -> Target:
        """The target of the labels of an image record or a line of a .lst file."""
        values = np.asarray(found, dtype=np.float32)
        if not self.several:
            if len(values) != 1:
                raise FormatError(
                    f"{where}: {len(values)} labels; an image has one, unless multi_label is 1"
                )
            return self._class(values, where)
        if len(values) != self.classes:
            raise FormatError(
                f"{where}: Mismatch between number of labels in the multi-label data "
                f"({len(values)}) and the num_classes parameter ({self.classes})."
            )
        if not np.isin(values, (0, 1)).all():
            raise FormatError(f"{where}: with multi_label a label is 0 or 1 for each class")
        return values

    def _class(self, values: Target, where: str) -> Target:
        for value in values.tolist():
            if not (value % 1 == 0 and 0 <= value < self.classes):
                raise FormatError(
                    f"{where}: the class is {value:g}; with num_classes {self.classes} it is a "
                    f"whole number from 0 to {self.classes - 1}"
                )
        return values

    def _of_attribute(self, body: bytes, where: str) -> Target:
        try:
            found = json.loads(body)
            # Ground Truth writes the list as text.
            found = json.loads(found) if isinstance(found, str) else found
            values = [float(each) for each in (found if isinstance(found, list) else [found])]
        except (ValueError, TypeError, RecursionError):
            raise FormatError(
                f"{where}: {body[:80]!r} is neither a class nor a list of them"
            ) from None
        if not (self.several and self.by_number):
            return self.of_numbers(values, where)
        numbers = self._class(np.array(values, dtype=np.float32), where).astype(int)
        target = np.zeros(self.classes, dtype=np.float32)
        target[numbers] = 1
        return target


def labels(job: Job, name: str) -> Labels:
    """How the labels of a channel are to be read, by the job and its content type."""
    settings, kind = job.hyperparameters, job.channels[name].content_type
    form = kind.parameters.get("label-format", _FORMATS[0]) if kind else _FORMATS[0]
    if form not in _FORMATS:
        raise CustomerError(
            f"Content type of channel '{name}': label-format={form} is not supported; "
            f"{' or '.join(_FORMATS)} is allowed"
        )
    return Labels(int(settings["num_classes"]), settings["multi_label"] == 1, form == "class-id")


def channel_samples(job: Job, name: str, peers: Peers) -> Samples:
    """The part of `train` or `validation` that is this host's."""
    channel, beside = job.channels[name], f"{name}_lst"
    return samples.channel_samples(
        channel,
        job.channels.get(beside),
        beside,
        peers,
        lambda lists: listed(channel, lists, labels(job, name)),
    )


def listed(channel: Channel, lists: Channel, form: Labels) -> list[Callable[[], Sample]]:
    """The images of a channel that the lines of a .lst file name, all of which are checked.

    A line is a number, the label or labels, and the image's path inside the channel, with tabs.
    """
    files = [path for path in lists.files() if path.suffix == ".lst"]
    if len(files) != 1:
        raise CustomerError(
            f"Channel {lists.name} has {len(files)} .lst files; it must have one, with the number, "
            "the class and the path of each image"
        )
    title, entries = lists.title(files[0]), []
    body = files[0].read_bytes()
    for number, line in enumerate(lines(decoded(body, title, "text/plain")), 1):
        if not line.strip():
            continue
        where = f"{title}, line {number}"
        parts = line.split("\t")
        if len(parts) < 3:
            seems = sniffing.hint(body, "text/plain") if number == 1 else ""
            raise FormatError(
                f"{where}: {len(parts)} columns with tabs between them; a number, the class and "
                f"the path of an image are needed{seems}"
            )
        _, *texts, name = parts
        try:
            values = [float(each) for each in texts]
        except ValueError:
            raise FormatError(f"{where}: the label {' '.join(texts)!r} is no number") from None
        path = _inside(channel, name.strip(), where)
        form.of_numbers(values, where)
        entries.append(_entry(path, np.array(values, dtype=np.float32), channel.title(path)))
    if not entries:
        raise CustomerError(f"{title} names no image")
    return entries


def _inside(channel: Channel, name: str, where: str) -> Path:
    """The image of this name, which must lie in the channel."""
    path = (channel.folder / name).resolve()
    if not path.is_relative_to(channel.folder.resolve()) or not path.is_file():
        raise FormatError(f"{where}: channel {channel.name} has no image {name!r}")
    return channel.folder / name


def _entry(path: Path, found: Target, place: str) -> Callable[[], Sample]:
    return lambda: Sample(path.read_bytes(), found, place)
