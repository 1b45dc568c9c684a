"""Images at the size of the network, in training each time a little other.

How much of each is AWS's (page IC-Hyperparameter): hue by 36, saturation and lightness by 50, in
the units of OpenCV; turned by 10 degrees, sheared by 0.1, its aspect ratio changed by 0.25.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.images import pixels

Pixels = npt.NDArray[np.uint8]

HUE, SATURATION, LIGHTNESS = 36.0, 50.0, 50.0
ROTATION, SHEAR, ASPECT = 10.0, 0.1, 0.25
# OpenCV's hue of 8 bits goes round in 180 steps.
_HUES = 180.0


def mode(shape: Sequence[int]) -> str:
    """The mode of PIL in which images are read."""
    return "L" if shape[0] == 1 else "RGB"


def resized(image: Any, side: int | None) -> Any:
    """The image with its shorter side of this many pixels; as it is, where none is asked for."""
    if side is None or min(image.size) == side:
        return image
    factor = side / min(image.size)
    return image.resize(tuple(max(side, round(length * factor)) for length in image.size))


def plain(image: Any, shape: Sequence[int], place: str) -> Pixels:
    """The middle of an image."""
    _, height, width = shape
    _check(image, width, height, place)
    return _cropped(image, (image.width - width) // 2, (image.height - height) // 2, shape)


def varied(
    image: Any, shape: Sequence[int], kind: str, place: str, random: np.random.Generator
) -> Pixels:
    """Any part of an image, perhaps flipped; by `kind`, also coloured and turned."""
    _, height, width = shape
    _check(image, width, height, place)
    if kind == "crop_color_transform":
        image = _turned(image, random)
    left = int(random.integers(image.width - width + 1))
    top = int(random.integers(image.height - height + 1))
    found = _cropped(image, left, top, shape)
    if random.random() < 0.5:
        found = found[:, ::-1]
    if kind != "crop" and shape[0] == 3:
        found = coloured(
            found,
            random.uniform(-HUE, HUE),
            random.uniform(-LIGHTNESS, LIGHTNESS),
            random.uniform(-SATURATION, SATURATION),
        )
    return np.ascontiguousarray(found)


def squeezed(image: Any, shape: Sequence[int]) -> Pixels:
    """The whole image at the size of the network, whatever its shape was."""
    _, height, width = shape
    return _channels(image.resize((width, height)))


def _check(image: Any, width: int, height: int, place: str) -> None:
    if image.width < width or image.height < height:
        raise FormatError(
            f"{place}: {image.width} x {image.height} pixels, which is less than image_shape, "
            f"{width} x {height}; set resize, or leave the image out"
        )


def _cropped(image: Any, left: int, top: int, shape: Sequence[int]) -> Pixels:
    _, height, width = shape
    return _channels(image.crop((left, top, left + width, top + height)))


def _channels(image: Any) -> Pixels:
    found = pixels.array(image)
    return found[:, :, None] if found.ndim == 2 else found


def _turned(image: Any, random: np.random.Generator) -> Any:
    """The image turned, sheared and stretched about its middle."""
    from PIL import Image

    angle = math.radians(random.uniform(-ROTATION, ROTATION))
    shear = random.uniform(-SHEAR, SHEAR)
    stretch = math.sqrt(1 + random.uniform(-ASPECT, ASPECT))
    cosine, sine = math.cos(angle), math.sin(angle)
    # From a place of the new image to one of the old.
    rows = (
        (cosine / stretch, (shear * cosine - sine) * stretch),
        (sine / stretch, (shear * sine + cosine) * stretch),
    )
    middle = (image.width / 2, image.height / 2)
    matrix: list[float] = []
    for (x, y), own in zip(rows, middle, strict=True):
        matrix += [x, y, own - x * middle[0] - y * middle[1]]
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR
    )


def coloured(found: Pixels, hue: float, lightness: float, saturation: float) -> Pixels:
    """Pixels moved by so much in the space of hue, lightness and saturation."""
    values = found.astype(np.float32) / 255
    top, low = values.max(axis=2), values.min(axis=2)
    light, spread = (top + low) / 2, top - low
    grey = spread == 0
    safe = np.where(grey, 1, spread)
    red, green, blue = np.moveaxis(values, 2, 0)
    turn = np.select(
        [top == red, top == green],
        [((green - blue) / safe) % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    strength = np.where(grey, 0, spread / np.maximum(1 - np.abs(2 * light - 1), 1e-6))
    turn = (turn + 6 * hue / _HUES) % 6
    light = (light + lightness / 255).clip(0, 1)
    strength = np.where(grey, 0, (strength + saturation / 255).clip(0, 1))
    # Back again: each colour is a wave of the hue, shifted by a third.
    reach = strength * np.minimum(light, 1 - light)
    shifted = (np.array([0, 8, 4]) + 2 * turn[..., None]) % 12
    wave = np.minimum(np.minimum(shifted - 3, 9 - shifted), 1).clip(-1, None)
    back: Pixels = ((light[..., None] - reach[..., None] * wave) * 255).round().astype(np.uint8)
    return back
