"""Pictures on which real handwritten digits lie: where each is, and which pixels are its, is known.

The digits are those of scikit-learn (1,797 by 43 writers, UCI), enlarged and coloured.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

# Digits of the first ones make pictures to learn from, the rest those to be tested with.
_LEARNT = 1400
_ATTEMPTS = 30
_INK = 0.4


@dataclass(frozen=True)
class Canvas:
    """One picture.

    Args:
        pixels: by row, column and colour.
        objects: of each digit its value and box: left, top, right, bottom, in pixels.
        mask: of each pixel 0, or one more than the digit that it belongs to.
    """

    pixels: npt.NDArray[np.uint8]
    objects: tuple[tuple[int, int, int, int, int], ...]
    mask: npt.NDArray[np.uint8]

    @property
    def label(self) -> list[float]:
        """The objects as im2rec packs them: two numbers of a header, five of each object."""
        side = len(self.pixels)
        return [2, 5, *(x for kind, *box in self.objects for x in (kind, *(b / side for b in box)))]

    def annotation(self, file: str) -> bytes:
        """The objects as the JSON file that Object Detection takes beside an image."""
        side = len(self.pixels)
        boxes = [
            {
                "class_id": kind,
                "left": left,
                "top": top,
                "width": right - left,
                "height": bottom - top,
            }
            for kind, left, top, right, bottom in self.objects
        ]
        size = [{"width": side, "height": side, "depth": 3}]
        return json.dumps({"file": file, "image_size": size, "annotations": boxes}).encode()

    def jpeg(self) -> bytes:
        """The picture as a file."""
        return _file(self.pixels, "JPEG")

    def mask_png(self) -> bytes:
        """The mask as a file, as Semantic Segmentation takes it beside an image."""
        return _file(self.mask, "PNG")


def canvases(
    count: int,
    *,
    side: int,
    digits: int,
    sizes: tuple[int, int],
    seed: int,
    kinds: Sequence[int] = range(10),
    held_out: bool = False,
) -> list[Canvas]:
    """Square pictures, always the same ones for a seed.

    Args:
        count: how many.
        side: of each, in pixels.
        digits: on each at most; they do not overlap, so that there may be fewer.
        sizes: the smallest and the largest side of a digit, in pixels.
        seed: of all chances.
        kinds: the digits that appear.
        held_out: whether they are of writers whose digits no other picture has.
    """
    random = np.random.default_rng([seed, held_out])
    return [_canvas(random, side, digits, sizes, kinds, held_out) for _ in range(count)]


def _canvas(
    random: np.random.Generator,
    side: int,
    digits: int,
    sizes: tuple[int, int],
    kinds: Sequence[int],
    held_out: bool,
) -> Canvas:
    images, values = _digits()
    span = slice(_LEARNT, None) if held_out else slice(0, _LEARNT)
    known = np.flatnonzero(np.isin(values[span], list(kinds))) + (span.start or 0)
    # A background of slow waves and fine noise, of some colour that is darker than the digits'.
    waves = np.sin(np.linspace(0, random.uniform(2, 9), side) + random.uniform(0, 6))
    ground = 40 + 20 * waves[:, None] * waves[None, :] + random.normal(0, 6, (side, side))
    picture = ground[:, :, None] * random.uniform(0.5, 1.5, 3)
    mask = np.zeros((side, side), dtype=np.uint8)
    objects: list[tuple[int, int, int, int, int]] = []
    for _ in range(digits):
        number = int(random.choice(known))
        ink = _enlarged(images[number], int(random.integers(sizes[0], sizes[1] + 1)))
        place = _free(random, mask, ink.shape)
        if place is None:
            continue
        rows, columns = (slice(start, start + len(ink)) for start in place)
        colour = random.uniform(150, 255, 3)
        share = ink[:, :, None]
        picture[rows, columns] = picture[rows, columns] * (1 - share) + colour * share
        own = ink > _INK
        mask[rows, columns][own] = values[number] + 1
        down, right = (np.flatnonzero(own.any(axis=axis)) for axis in (1, 0))
        objects.append(
            (
                int(values[number]),
                columns.start + int(right[0]),
                rows.start + int(down[0]),
                columns.start + int(right[-1]) + 1,
                rows.start + int(down[-1]) + 1,
            )
        )
    return Canvas(picture.clip(0, 255).astype(np.uint8), tuple(objects), mask)


def _free(
    random: np.random.Generator, mask: npt.NDArray[np.uint8], shape: tuple[int, ...]
) -> tuple[int, int] | None:
    """Where a digit of this shape covers no other, if it was found by chance."""
    for _ in range(_ATTEMPTS):
        top, left = (int(each) for each in random.integers(0, len(mask) - shape[0] + 1, 2))
        if not mask[top : top + shape[0], left : left + shape[1]].any():
            return top, left
    return None


def _enlarged(digit: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """A digit's ink from 0 to 1, with as many pixels as asked for."""
    places = (np.arange(size) + 0.5) * len(digit) / size - 0.5
    low = np.clip(np.floor(places).astype(int), 0, len(digit) - 2)
    share = np.clip(places - low, 0, 1)
    rows = digit[low] * (1 - share)[:, None] + digit[low + 1] * share[:, None]
    return np.asarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share)


@cache
def _digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images / 16, found.target


def _file(pixels: npt.NDArray[np.uint8], kind: str) -> bytes:
    from PIL import Image

    body = io.BytesIO()
    Image.fromarray(pixels).save(body, kind)
    return body.getvalue()
