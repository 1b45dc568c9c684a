"""Images with the mask of their pixels' classes: files side by side, or augmented manifests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.semantic_segmentation.network import IGNORED
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_of
from algorithms.toolkit.images import imagerecord, pixels
from algorithms.toolkit.images.samples import Filed, Piped, Sample, Samples

if TYPE_CHECKING:
    from algorithms.toolkit.job import Channel, Job

Mask = npt.NDArray[np.uint8]

LABEL_MAP = "label_map"
# In a table of pixel values: no class is meant by this one.
_UNKNOWN = 254
# Where a PNG file tells how many bits a pixel has, and how far apart shades of 2 and 4 bits are.
_DEPTH_BYTE = 24
_SHADES = {2: 85, 4: 17}
_FORMS = '{"scale": "3"} or {"map": {"0": 5, "1": 0}}'


def channel_samples(job: Job, name: str) -> Samples:
    """The images of `train` or `validation`, each with the file of its mask."""
    channel, masks = job.channels[name], job.channels.get(f"{name}_annotation")
    default = pixels.ANY if masks else imagerecord.CONTENT_TYPE
    kind = channel.content_type.name if channel.content_type else default
    if kind == imagerecord.CONTENT_TYPE:
        if not channel.piped:
            raise CustomerError(
                f"Channel {name} has content type '{kind}', which is that of an augmented manifest "
                "and needs Pipe mode; use InputMode Pipe, or image/jpeg with File"
            )
        return Piped(channel)
    if kind not in pixels.CONTENT_TYPES:
        allowed = ", ".join((*pixels.CONTENT_TYPES, imagerecord.CONTENT_TYPE))
        raise CustomerError(
            f"Content type '{kind}' of channel '{name}' is not supported; {allowed} are allowed"
        )
    if channel.piped or (masks and masks.piped):
        raise CustomerError(
            f"Channel {name} has content type '{kind}', which cannot be read in Pipe mode; use "
            f"File mode, or an augmented manifest with {imagerecord.CONTENT_TYPE}"
        )
    if masks is None:
        raise CustomerError(f"Missing required channel: {name}_annotation, for images in {name}")
    return Filed(paired(channel, masks))


def paired(channel: Channel, masks: Channel) -> list[Callable[[], Sample]]:
    """The images of a channel, each with the mask of the same name."""
    images = _by_stem(channel, pixels.SUFFIXES)
    found = _by_stem(masks, frozenset({".png"}))
    if not images:
        raise CustomerError(f"No images in channel {channel.name}; .jpg and .png are read")
    for stem, path in images.items():
        if stem not in found:
            raise FormatError(f"{channel.title(path)}: channel {masks.name} has no {stem}.png")
    for stem, path in found.items():
        if stem not in images:
            raise FormatError(f"{masks.title(path)}: channel {channel.name} has no {stem}.jpg")

    def entry(stem: str) -> Callable[[], Sample]:
        return lambda: Sample(
            images[stem].read_bytes(), found[stem].read_bytes(), channel.title(images[stem])
        )

    return [entry(stem) for stem in sorted(images)]


def _by_stem(channel: Channel, suffixes: frozenset[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in channel.files():
        if path.suffix.lower() not in suffixes:
            continue
        stem = path.relative_to(channel.folder).with_suffix("").as_posix()
        if stem in found:
            raise FormatError(
                f"{channel.title(path)} and {channel.title(found[stem])} differ in their ending "
                "alone, by which image and mask are not paired; rename one of them"
            )
        found[stem] = path
    return found


def decoded(sample: Sample, table: Mask, num_classes: int) -> tuple[Any, Any]:
    """The image and the mask of a sample, both as PIL has them; the mask holds classes or 255."""
    from PIL import Image

    image = pixels.loaded(sample.image, sample.place)
    mask = classes(sample.label, f"{sample.place}: the mask", table, num_classes)
    if mask.shape != (image.height, image.width):
        raise FormatError(
            f"{sample.place}: the image has {image.width} x {image.height} pixels as viewers show "
            f"it, and its mask {mask.shape[1]} x {mask.shape[0]}"
        )
    return image, Image.fromarray(mask)


def classes(body: bytes, where: str, table: Mask, num_classes: int) -> Mask:
    """The class of each pixel of a PNG file, whose numbers or palette's places are looked up."""
    image = pixels.opened(body, where)
    if image.format != "PNG" or image.mode not in {"L", "P", "1"}:
        raise FormatError(
            f"{where} is a {image.format} of mode {image.mode}; a PNG of one channel of 8 bits is "
            "allowed, grey or with a palette"
        )
    try:
        values = np.array(pixels.upright(image), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise FormatError(f"{where}: not a readable image: {error}") from None
    if image.mode == "L":
        # PIL makes shades of grey of the numbers of less than 8 bits.
        values //= _SHADES.get(body[_DEPTH_BYTE], 1)
    found = table[values]
    wrong = (found >= num_classes) & (found != IGNORED)
    if wrong.any():
        row, column = (int(each[0]) for each in np.nonzero(wrong))
        value, kind = int(values[row, column]), int(found[row, column])
        meaning = f", which means class {kind}" if kind not in {value, _UNKNOWN} else ""
        unmapped = ", for which the label map has no class" if kind == _UNKNOWN != value else ""
        raise FormatError(
            f"{where}: row {row + 1}, column {column + 1} has the value {value}{meaning}{unmapped}"
            f"; with num_classes {num_classes} classes are from 0 to {num_classes - 1}, and 255 is "
            "ignored"
        )
    return np.asarray(found)


def label_table(job: Job, name: str) -> Mask:
    """The class that each value of a pixel means in the masks of `train` or `validation`."""
    channel = job.channels.get(LABEL_MAP)
    if channel is None:
        return _scaled(1)
    if channel.piped:
        raise CustomerError(f"Channel {LABEL_MAP} is of two files; give it InputMode File")
    files = {path.name: path for path in channel.files()}
    path = files.get(f"{name}_label_map.json")
    if path is None:
        return _scaled(1)
    return table_of(path.read_bytes(), channel.title(path))


def table_of(body: bytes, where: str) -> Mask:
    """What a label map says: {"scale": "3"}, or {"map": {class: value of the pixel}}.

    255 is ignored, unless the map gives it a class.
    """
    try:
        document = json_of(body, where, unique=True)
    except FormatError as error:
        raise FormatError(f"{error}; it must be {_FORMS}") from None
    try:
        return _looked_up(document)
    except (ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"{where}: must be {_FORMS}: {error}") from None


def _looked_up(document: Any) -> Mask:
    if set(document) == {"scale"}:
        return _scaled(int(document["scale"]))
    if set(document) != {"map"}:
        raise ValueError(f"it has {', '.join(document) or 'nothing'}")
    table = np.full(256, _UNKNOWN, dtype=np.uint8)
    table[IGNORED] = IGNORED
    for kind, value in document["map"].items():
        if not (0 <= int(kind) < _UNKNOWN and 0 <= int(value) <= IGNORED):
            raise ValueError(f"{kind}: {value}")
        table[int(value)] = int(kind)
    return table


def _scaled(scale: int) -> Mask:
    if scale < 1:
        raise ValueError(f"a scale of {scale}")
    table = (np.arange(256) // scale).astype(np.uint8)
    table[IGNORED] = IGNORED
    return table
