"""Handwritten digits as image files, in every form that image algorithms take.

Those of scikit-learn (1,797 of 8 x 8 pixels, UCI) are enlarged; those of MNIST are as they are.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.images import imagerecord
from datasets import mnist5000

SIDE = 28


@dataclass(frozen=True)
class Digit:
    """The image of a digit, and which one it is."""

    pixels: npt.NDArray[np.uint8]
    label: int

    @cached_property
    def png(self) -> bytes:
        """The image as a file."""
        return _png(self.pixels)


@cache
def small() -> tuple[Digit, ...]:
    """The digits of scikit-learn at 28 x 28 pixels, in an order that mixes the writers."""
    from PIL import Image
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    found = []
    for row in order.tolist():
        grey = (pixels[row].reshape(8, 8) * 15.9375).astype(np.uint8)
        large = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        found.append(Digit(np.asarray(large), int(labels[row])))
    return tuple(found)


@cache
def mnist() -> tuple[Digit, ...]:
    """The digits of MNIST-5000."""
    digits = mnist5000.digits()
    return tuple(
        Digit(image, int(label))
        for image, label in zip(digits.images, digits.labels.tolist(), strict=True)
    )


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    body = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(body, "PNG")
    return body.getvalue()


def recordio(digits: Sequence[Digit]) -> bytes:
    """The images as one RecordIO file, as im2rec writes it."""
    return b"".join(
        imagerecord.pack([digit.label], digit.png, number) for number, digit in enumerate(digits)
    )


def files(digits: Sequence[Digit]) -> Mapping[str, bytes]:
    """The images by their paths."""
    return {f"{digit.label}/{number}.png": digit.png for number, digit in enumerate(digits)}


def lst(digits: Sequence[Digit]) -> bytes:
    """The .lst file of `files`: number, class and path."""
    lines = (
        f"{number}\t{digit.label}\t{digit.label}/{number}.png\n"
        for number, digit in enumerate(digits)
    )
    return "".join(lines).encode()


def manifest(digits: Sequence[Digit], prefix: str) -> bytes:
    """The augmented manifest of `files` that lie below an S3 URI."""
    lines = (
        json.dumps({"source-ref": f"{prefix}{digit.label}/{number}.png", "class": str(digit.label)})
        for number, digit in enumerate(digits)
    )
    return "\n".join(lines).encode() + b"\n"
