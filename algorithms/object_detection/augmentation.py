"""Images at the network's size, in training each time a little other: flipped, rescaled, jittered.

AWS says that its algorithm does these three, and not by how much; that is this project's choice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.images import pixels

Rows = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

FLIPPED = 0.5
RESCALED = 0.5
# A window has at least and at most this share of the image's sides.
SMALLEST, LARGEST = 0.6, 1.3
BRIGHTNESS, CONTRAST = 24.0, 0.2
_FILL = (124, 116, 104)


def plain(image: Any, side: int) -> Pixels:
    """The whole image as a square, whatever its shape was."""
    return _window(image, (0.0, 0.0, 1.0, 1.0), side)


def varied(image: Any, rows: Rows, side: int, random: np.random.Generator) -> tuple[Pixels, Rows]:
    """The image as a square, flipped, rescaled and jittered by chance, with its boxes."""
    window = (0.0, 0.0, 1.0, 1.0)
    if random.random() < RESCALED:
        width, height = random.uniform(SMALLEST, LARGEST) * random.uniform(0.85, 1.15, size=2)
        left, top = random.random(2) * (1 - width, 1 - height)
        window = (left, top, left + width, top + height)
    found, rows = _window(image, window, side), seen(rows, window)
    if random.random() < FLIPPED:
        found, rows = found[:, ::-1], flipped(rows)
    contrast = 1 + random.uniform(-CONTRAST, CONTRAST)
    brightness = random.uniform(-BRIGHTNESS, BRIGHTNESS)
    jittered = (found.astype(np.float32) - 128) * contrast + 128 + brightness
    return jittered.clip(0, 255).astype(np.uint8), rows


def seen(rows: Rows, window: tuple[float, float, float, float]) -> Rows:
    """The objects whose middle is in a window of the image, with their boxes in shares of it."""
    left, top, right, bottom = window
    shift = np.array([left, top, left, top], dtype=np.float32)
    scale = np.array([right - left, bottom - top] * 2, dtype=np.float32)
    boxes = (rows[:, 1:] - shift) / scale
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((middle > 0) & (middle < 1)).all(axis=1)
    return np.concatenate([rows[inside, :1], boxes[inside].clip(0, 1)], axis=1)


def flipped(rows: Rows) -> Rows:
    """The objects of an image whose left and right were exchanged."""
    found = rows.copy()
    found[:, 1], found[:, 3] = 1 - rows[:, 3], 1 - rows[:, 1]
    return found


def _window(image: Any, window: tuple[float, float, float, float], side: int) -> Pixels:
    from PIL import Image

    left, top, right, bottom = window
    # The transformation looks at four neighbours: what is made much smaller is averaged before.
    factor = int(min((right - left) * image.width, (bottom - top) * image.height) // side)
    if factor > 1:
        image = image.reduce(factor)
    width, height = image.size
    extent = (left * width, top * height, right * width, bottom * height)
    return pixels.array(
        image.transform(
            (side, side),
            Image.Transform.EXTENT,
            extent,
            resample=Image.Resampling.BILINEAR,
            fillcolor=_FILL,
        )
    )
