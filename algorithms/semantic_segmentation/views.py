"""Views of images and their masks: random ones to learn from, whole ones to be measured by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.semantic_segmentation.network import IGNORED
from algorithms.toolkit.images import pixels

Pixels = npt.NDArray[np.uint8]

FLIPPED = 0.5
# The long side of an image becomes base_size times a number between these two.
SMALLEST, LARGEST = 0.5, 2.0
_FILL = (124, 116, 104)


def cropped(
    image: Any, mask: Any, base_size: int, crop_size: int, random: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """A square out of the image at a random scale, perhaps mirrored, and the same of the mask."""
    from PIL import Image

    image, mask = scaled(image, mask, base_size * random.uniform(SMALLEST, LARGEST))
    if random.random() < FLIPPED:
        image, mask = (each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in (image, mask))
    # Where the image is smaller than the square, it lies somewhere within.
    spare = np.array(image.size) - crop_size
    left, top = (int(random.integers(min(0, each), max(0, each) + 1)) for each in spare.tolist())
    return _square(image, mask, left, top, crop_size)


def whole(image: Any, mask: Any, base_size: int) -> tuple[Pixels, Pixels]:
    """The whole image at base_size in a square, of which the rest does not count."""
    image, mask = scaled(image, mask, base_size)
    return _square(image, mask, 0, 0, base_size)


def scaled(image: Any, mask: Any, long_side: float) -> tuple[Any, Any]:
    """Image and mask with a long side of so many pixels, their shape kept."""
    from PIL import Image

    size = sizes(image.size, long_side)
    image = image.resize(size, Image.Resampling.BILINEAR)
    return image, mask and mask.resize(size, Image.Resampling.NEAREST)


def sizes(size: tuple[int, int], long_side: float) -> tuple[int, int]:
    """Width and height at a long side of so many pixels."""
    factor = long_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _square(image: Any, mask: Any, left: int, top: int, side: int) -> tuple[Pixels, Pixels]:
    box = (left, top, left + side, top + side)
    found = pixels.array(image.crop(box))
    classes = pixels.array(mask.crop(box))
    # What lies outside of the image is black to PIL, and of class 0.
    outside = np.ones((side, side), dtype=bool)
    rows, columns = (
        slice(max(0, -start), max(0, min(side, length - start)))
        for start, length in ((top, image.height), (left, image.width))
    )
    outside[rows, columns] = False
    found[outside], classes[outside] = _FILL, IGNORED
    return found, classes
