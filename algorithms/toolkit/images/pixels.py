"""From an image's file to its pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.formats.table import FormatError

JPEG, PNG, ANY = "image/jpeg", "image/png", "application/x-image"
CONTENT_TYPES = (ANY, JPEG, PNG)
"""The content types of a request that is one image; each is read by what it holds."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
# A small file may say that it has any number of pixels, and would fill the memory.
MOST_PIXELS = 100_000_000


def opened(body: bytes, where: str) -> Any:
    """An image whose file was checked, but not yet its pixels."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(body), formats=("JPEG", "PNG"))
    except UnidentifiedImageError:
        raise FormatError(f"{where}: not a JPEG or PNG image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(f"{where}: not a readable image: {error}") from None
    if image.width * image.height > MOST_PIXELS:
        raise FormatError(
            f"{where}: {image.width} x {image.height} pixels; {MOST_PIXELS} are allowed"
        )
    return image


def loaded(body: bytes, where: str, mode: str = "RGB") -> Any:
    """An image with its pixels, in a mode of PIL: RGB has three channels, whatever it had."""
    image = opened(body, where)
    try:
        return image.convert(mode)
    except (OSError, SyntaxError, ValueError) as error:
        raise FormatError(f"{where}: not a readable image: {error}") from None


def array(image: Any) -> npt.NDArray[np.uint8]:
    """The pixels by row, column and channel."""
    return np.array(image, dtype=np.uint8)


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """Pixels by row, column and channel, or by row and column, as an image's file."""
    from PIL import Image

    body = io.BytesIO()
    Image.fromarray(pixels).save(body, kind)
    return body.getvalue()
