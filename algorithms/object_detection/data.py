"""Images with the boxes of their objects: from RecordIO, JSON files or augmented manifests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_of
from algorithms.toolkit.images import pixels, samples
from algorithms.toolkit.images.samples import Sample, Samples

if TYPE_CHECKING:
    from algorithms.toolkit.job import Channel, Job
    from algorithms.toolkit.peers import Peers

Rows = npt.NDArray[np.float32]

# Numbers before the objects of a label, and of each object at least.
_HEADER, _OBJECT = 2, 5
# How far a box may reach beyond its image: annotations round their corners.
_BEYOND = 0.02


@dataclass(frozen=True)
class Limits:
    """What the hyperparameters allow an annotation to say."""

    num_classes: int
    label_width: int


def channel_samples(job: Job, name: str, peers: Peers) -> Samples:
    """The part of `train` or `validation` that is this host's."""
    channel, beside = job.channels[name], f"{name}_annotation"
    return samples.channel_samples(
        channel,
        job.channels.get(beside),
        beside,
        peers,
        lambda notes: annotated(channel, notes, _limits(job)),
    )


def _limits(job: Job) -> Limits:
    settings = job.hyperparameters
    return Limits(int(settings["num_classes"]), int(settings["label_width"]))


def truth(sample: Sample, settings: Mapping[str, Any]) -> Rows:
    """The objects of a sample: rows of class and box, whose numbers are from 0 to 1."""
    limits = Limits(int(settings["num_classes"]), int(settings["label_width"]))
    if isinstance(sample.label, bytes):
        return of_json(sample.label, f"{sample.place}: the annotation", limits)
    return of_numbers(sample.label, sample.place, limits)


def decoded(sample: Sample, settings: Mapping[str, Any]) -> tuple[Any, Rows]:
    """The image of a sample, upright, and its objects.

    Raises:
        FormatError: The annotation is wrong, or of an image of another size.
    """
    image = pixels.loaded(sample.image, sample.place)
    if isinstance(sample.label, bytes):
        check_size(sample.label, f"{sample.place}: the annotation", image.size)
    return image, truth(sample, settings)


def check_size(body: bytes, where: str, size: tuple[int, int]) -> None:
    """Refuse an annotation whose `image_size` is not that of its image as it is shown."""
    told = json_of(body, where)
    try:
        own = told["image_size"][0]
        width, height = float(own["width"]), float(own["height"])
    except (KeyError, IndexError, TypeError, ValueError):
        # `of_json` says what is missing.
        return
    if (width, height) != size:
        raise FormatError(
            f"{where}: image_size is {width:g} x {height:g}, and the image has {size[0]} x "
            f"{size[1]} pixels as viewers show it"
        )


def annotated(channel: Channel, notes: Channel, limits: Limits) -> list[Callable[[], Sample]]:
    """The images of a channel, each with the JSON file that is of it; all of these are checked."""
    images = {
        path.relative_to(channel.folder).as_posix(): path
        for path in channel.files()
        if path.suffix.lower() in pixels.SUFFIXES
    }
    found: dict[str, Path] = {}
    for path in notes.files():
        if path.suffix.lower() != ".json":
            continue
        title = notes.title(path)
        body = path.read_bytes()
        of_json(body, title, limits)
        image = str(json_of(body, title).get("file", ""))
        if image not in images:
            raise FormatError(
                f"{title}: 'file' is {image!r}, and channel {channel.name} has no such image; it "
                f"must be a path inside that channel, such as {next(iter(images), 'a.jpg')}"
            )
        if image in found:
            raise FormatError(
                f"{title}: 'file' is {image!r}, which {notes.title(found[image])} has, too; give "
                "all objects of an image in one file"
            )
        found[image] = path
    missing = next((image for image in images if image not in found), None)
    if missing is not None:
        raise FormatError(
            f"{channel.name}/{missing}: no JSON file of channel {notes.name} has it as its 'file'"
        )
    if not found:
        raise CustomerError(f"No images in channel {channel.name}; .jpg and .png are read")

    for image, path in found.items():
        size = pixels.size(images[image].read_bytes(), f"{channel.name}/{image}")
        check_size(path.read_bytes(), notes.title(path), size)

    def entry(image: str) -> Callable[[], Sample]:
        # The place is that of the image: what its annotation says was checked.
        return lambda: Sample(
            images[image].read_bytes(), found[image].read_bytes(), f"{channel.name}/{image}"
        )

    return [entry(image) for image in sorted(found)]


def of_numbers(label: npt.NDArray[np.float32], where: str, limits: Limits) -> Rows:
    """The objects of an image record's label, as im2rec packs it.

    It has the numbers of its header, of which the first tells how many they are and the second how
    many numbers an object has, and then the objects: class, left, top, right, bottom.
    """
    if len(label) > limits.label_width:
        raise FormatError(
            f"{where}: the label has {len(label)} numbers, and label_width is "
            f"{limits.label_width}; set label_width to {len(label)} or more"
        )
    header = label[0] if len(label) >= _HEADER else 0.0
    width = label[1] if len(label) >= _HEADER else 0.0
    if header < _HEADER or width < _OBJECT or header % 1 or width % 1:
        raise FormatError(
            f"{where}: a label begins with the numbers of its header ({_HEADER}) and of an object "
            f"({_OBJECT}), and not with {', '.join(f'{number:g}' for number in label[:2])}; pack "
            "it with im2rec --pack-label"
        )
    rows = label[int(header) :]
    if len(rows) % int(width):
        raise FormatError(
            f"{where}: {len(rows)} numbers of objects, which is no multiple of {int(width)}"
        )
    rows = rows.reshape(-1, int(width))[:, :_OBJECT]
    # im2rec fills a label up with -1.
    rows = rows[rows[:, 0] != -1]
    return _checked(rows, where, limits)


def of_json(body: bytes, where: str, limits: Limits) -> Rows:
    """The objects of a JSON annotation, which are in pixels."""
    document = json_of(body, where)
    try:
        size = document["image_size"][0]
        width, height = float(size["width"]), float(size["height"])
        rows = [
            [
                float(one["class_id"]),
                one["left"] / width,
                one["top"] / height,
                (one["left"] + one["width"]) / width,
                (one["top"] + one["height"]) / height,
            ]
            for one in document["annotations"]
        ]
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise FormatError(
            f"{where}: {type(error).__name__}: {error}; it must have image_size "
            "[{width, height, depth}] and annotations [{class_id, left, top, width, height}]"
        ) from None
    if size.get("depth", 3) != 3:
        raise FormatError(f"{where}: depth is {size['depth']}; images have 3 channels")
    needed = _HEADER + _OBJECT * len(rows)
    if needed > limits.label_width:
        raise FormatError(
            f"{where}: {len(rows)} objects need a label_width of {needed} or more, and it is "
            f"{limits.label_width}"
        )
    return _checked(np.array(rows, dtype=np.float32).reshape(-1, _OBJECT), where, limits)


def _checked(rows: Rows, where: str, limits: Limits) -> Rows:
    for number, (kind, left, top, right, bottom) in enumerate(rows.tolist(), 1):
        place = f"{where}, object {number}"
        if not (kind % 1 == 0 and 0 <= kind < limits.num_classes):
            raise FormatError(
                f"{place}: the class is {kind:g}; with num_classes {limits.num_classes} it is a "
                f"whole number from 0 to {limits.num_classes - 1}"
            )
        inside = min(left, top) >= -_BEYOND and max(right, bottom) <= 1 + _BEYOND
        # Comparisons with what is not a number are false.
        if not (inside and left < right and top < bottom):
            raise FormatError(
                f"{place}: the box from ({left:g}, {top:g}) to ({right:g}, {bottom:g}), in shares "
                "of the image's width and height, is empty or outside of the image"
            )
    rows = rows.copy()
    rows[:, 1:] = rows[:, 1:].clip(0, 1)
    return rows
