"""From an image's file to its pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.table import FormatError

JPEG, PNG, ANY = "image/jpeg", "image/png", "application/x-image"
CONTENT_TYPES = (ANY, JPEG, PNG)
"""The content types of a request that is one image; each is read by what it holds."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
# A small file may say that it has any number of pixels, and would fill the memory.
MOST_PIXELS = 100_000_000


def opened(body: bytes, where: str) -> Any:
    """An image whose file was checked, but not yet its pixels.

    Raises:
        FormatError: It is no JPEG or PNG file of one picture, or too large.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(body), formats=("JPEG", "PNG"))
    except UnidentifiedImageError:
        seems = sniffing.hint(body, JPEG)
        raise FormatError(f"{where}: not a JPEG or PNG image{seems}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(f"{where}: not a readable image: {error}") from None
    if image.width * image.height > MOST_PIXELS:
        raise FormatError(
            f"{where}: {image.width} x {image.height} pixels; {MOST_PIXELS} are allowed"
        )
    # A JPEG of several pictures (MPO) is what phones make: the first is the photograph.
    frames = getattr(image, "n_frames", 1)
    if image.format == "PNG" and frames > 1:
        raise FormatError(f"{where}: an animation of {frames} frames; one picture is allowed")
    return image


def upright(image: Any) -> Any:
    """An image as viewers and labelling tools show it: turned as its EXIF data say."""
    from PIL import ImageOps

    turn = _orientation(image)
    return ImageOps.exif_transpose(image) if turn != 1 else image


def size(body: bytes, where: str) -> tuple[int, int]:
    """Width and height of an image as it is shown, without reading its pixels."""
    image = opened(body, where)
    width, height = image.size
    return (height, width) if _orientation(image) >= _ON_ITS_SIDE else (width, height)


# Orientations from here on stand for pictures that lie on their side.
_ON_ITS_SIDE = 5
_ORIENTATION = 0x0112


def _orientation(image: Any) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        # EXIF data are often broken, and then say nothing of how to turn a picture.
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def loaded(body: bytes, where: str, mode: str = "RGB") -> Any:
    """An image with its pixels as it is shown, in a mode of PIL: RGB has three channels.

    Depths of 16 bits are scaled to 8, and what is transparent lies on white.

    Raises:
        FormatError: It is no readable image of one picture.
    """
    image = opened(body, where)
    try:
        return _flat(upright(image), where).convert(mode)
    except FormatError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise FormatError(f"{where}: not a readable image: {error}") from None


def _flat(image: Any, where: str) -> Any:
    """An image of 8 bits a channel that hides nothing."""
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):
        # PIL would cut off what is above 255. A PNG file has up to 16 bits here.
        deep = np.asarray(image).astype(np.float64) / _DEEP
        return Image.fromarray(deep.round().clip(0, 255).astype(np.uint8))
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        clear = image.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return Image.alpha_composite(white, clear)
    if image.mode not in _MODES:
        raise FormatError(
            f"{where}: an image of mode {image.mode}; {', '.join(_MODES)} and grey of 16 bits are "
            "allowed"
        )
    return image


_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
# The largest number of 16 bits becomes the largest of 8.
_DEEP = 257.0


def array(image: Any) -> npt.NDArray[np.uint8]:
    """The pixels by row, column and channel."""
    return np.array(image, dtype=np.uint8)


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """Pixels by row, column and channel, or by row and column, as an image's file."""
    from PIL import Image

    body = io.BytesIO()
    Image.fromarray(pixels).save(body, kind)
    return body.getvalue()
