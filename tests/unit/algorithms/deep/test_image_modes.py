"""Pictures of every mode and orientation, as viewers show them, in training and in requests."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from algorithms.object_detection import data as boxes
from algorithms.semantic_segmentation import data as masks
from algorithms.toolkit.content import ContentType
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.images import pixels
from algorithms.toolkit.images.samples import Sample
from algorithms.toolkit.job import Channel

TABLE = np.arange(256, dtype=np.uint8)
# A picture of four quarters: red, green / blue, white, 8 x 4 pixels.
QUARTERS = np.zeros((4, 8, 3), np.uint8)
QUARTERS[:2, :4], QUARTERS[:2, 4:], QUARTERS[2:, :4] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
QUARTERS[2:, 4:] = 255
# How the rows and columns of a picture are stored by each orientation of EXIF, for it to be shown
# as it is: the inverse of what a viewer does.
STORED: dict[int, Callable[[Any], Any]] = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.swapaxes(0, 1),
    6: lambda shown: np.rot90(shown, 1),
    7: lambda shown: shown[::-1, ::-1].swapaxes(0, 1),
    8: lambda shown: np.rot90(shown, -1),
}


def encoded(image: Any, kind: str = "PNG", **more: Any) -> bytes:
    body = io.BytesIO()
    image.save(body, kind, **more)
    return body.getvalue()


def turned(shown: Any, orientation: int, kind: str = "PNG") -> bytes:
    """A file that viewers show as these pixels, stored in another orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](shown))
    more = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    return encoded(Image.fromarray(stored), kind, exif=exif, **more)


def png(depth: int, colour: int, width: int, row: bytes) -> bytes:
    """A PNG file of one row, of depths that PIL does not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    head = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def palette(values: Any, **more: Any) -> bytes:
    image = Image.fromarray(np.array(values, np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return encoded(image, **more)


def flat(mode: str, *values: int) -> Any:
    return Image.new(mode, (1, 1), values if len(values) > 1 else values[0])


CONVERTED: dict[str, tuple[bytes, list[Any]]] = {
    "grey of 16 bits": (
        png(16, 0, 3, struct.pack(">3H", 0, 32896, 65535)),
        [[0] * 3, [128] * 3, [255] * 3],
    ),
    "colours of 16 bits": (
        png(16, 2, 1, struct.pack(">3H", 65535, 32896, 0)),
        [[255, 128, 0]],
    ),
    "grey of 4 bits": (png(4, 0, 2, bytes([0x0F])), [[0] * 3, [255] * 3]),
    "black and white": (png(1, 0, 2, bytes([0b01000000])), [[0] * 3, [255] * 3]),
    "palette": (palette([[0, 2]]), [[255, 0, 0], [0, 0, 255]]),
    "palette with a clear colour": (
        palette([[0, 2]], transparency=0),
        [[255, 255, 255], [0, 0, 255]],
    ),
    "opaque alpha": (encoded(flat("RGBA", 10, 20, 30, 255)), [[10, 20, 30]]),
    "half clear": (encoded(flat("RGBA", 0, 0, 0, 51)), [[204, 204, 204]]),
    "clear": (encoded(flat("RGBA", 10, 20, 30, 0)), [[255, 255, 255]]),
    "clear grey": (encoded(flat("LA", 10, 0)), [[255, 255, 255]]),
    "inks": (encoded(flat("CMYK", 0, 255, 255, 0), "JPEG", quality=100), [[254, 0, 0]]),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_a_picture_of_any_mode_has_the_colours_that_are_seen(name: str) -> None:
    body, expected = CONVERTED[name]
    found = pixels.array(pixels.loaded(body, "x"))[0]
    np.testing.assert_allclose(found, expected, atol=2)
    grey = pixels.array(pixels.loaded(body, "x", "L"))[0]
    np.testing.assert_allclose(grey, np.array(expected) @ [0.299, 0.587, 0.114], atol=2)


def frames(kind: str) -> bytes:
    first, second = (Image.new("RGB", (2, 2), colour) for colour in ("red", "blue"))
    return encoded(first, kind, save_all=True, append_images=[second])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (frames("PNG"), "an animation of 2 frames; one picture is allowed"),
        (frames("GIF"), "not a JPEG or PNG image; it seems to be image/gif"),
        (encoded(Image.new("F", (2, 2)), "TIFF"), "it seems to be image/tiff"),
        (encoded(Image.new("RGB", (2, 2)), "BMP"), "it seems to be image/bmp"),
        (encoded(Image.new("RGB", (2, 2)), "WEBP"), "it seems to be image/webp"),
        (b"1,2,3\n", "it seems to be text/csv"),
    ],
)
def test_what_is_no_single_picture_is_refused_by_name(body: bytes, sentence: str) -> None:
    with pytest.raises(FormatError) as refused:
        pixels.loaded(body, "payload")
    assert str(refused.value).startswith("payload: ")
    assert sentence in str(refused.value)


def test_a_photograph_with_a_second_picture_behind_it_is_the_photograph() -> None:
    found = pixels.array(pixels.loaded(frames("MPO"), "x"))
    assert found[0, 0, 0] > 200
    assert found[0, 0, 2] < 50


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_picture_is_turned_as_viewers_show_it(orientation: int, kind: str) -> None:
    body = turned(QUARTERS, orientation, kind)
    found = pixels.array(pixels.loaded(body, "x"))
    np.testing.assert_allclose(found, QUARTERS, atol=4)
    assert pixels.size(body, "x") == (8, 4)


def test_broken_exif_data_turn_nothing() -> None:
    body = encoded(Image.fromarray(QUARTERS), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09")
    assert pixels.loaded(body, "x").size == (8, 4)


def sample(image: bytes, mask: bytes) -> Sample:
    return Sample(image, mask, "train/a")


@pytest.mark.parametrize("orientation", STORED)
def test_a_mask_lies_over_the_picture_as_it_is_shown(orientation: int) -> None:
    shown = np.arange(32, dtype=np.uint8).reshape(4, 8) % 3
    plain = encoded(Image.fromarray(shown))
    for mask in (plain, turned(shown, orientation)):
        image, found = masks.decoded(sample(turned(QUARTERS, orientation), mask), TABLE, 3)
        np.testing.assert_array_equal(np.array(found), shown)
        np.testing.assert_array_equal(pixels.array(image), QUARTERS)


def test_a_mask_of_the_stored_orientation_is_refused() -> None:
    stored = encoded(Image.fromarray(np.zeros((8, 4), np.uint8)))
    with pytest.raises(FormatError, match="8 x 4 pixels as viewers show it, and its mask 4"):
        masks.decoded(sample(turned(QUARTERS, 6), stored), TABLE, 3)


@pytest.mark.parametrize(
    "body",
    [
        palette([[0, 1, 2, 1]]),
        palette([[0, 1, 2, 1]], bits=2),
        palette([[0, 1, 2, 1]], transparency=0),
        png(8, 0, 4, bytes([0, 1, 2, 1])),
        png(4, 0, 4, bytes([0x01, 0x21])),
        png(2, 0, 4, bytes([0b00011001])),
    ],
)
def test_a_mask_keeps_its_numbers_whatever_its_depth(body: bytes) -> None:
    assert masks.classes(body, "x", TABLE, 3).tolist() == [[0, 1, 2, 1]]


def test_a_mask_of_one_bit_has_two_classes() -> None:
    body = png(1, 0, 4, bytes([0b01100000]))
    assert masks.classes(body, "x", TABLE, 2).tolist() == [[0, 1, 1, 0]]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (png(16, 0, 2, struct.pack(">2H", 0, 1)), "x is a PNG of mode I;16"),
        (encoded(flat("RGB", 0, 0, 0)), "x is a PNG of mode RGB"),
        (encoded(flat("LA", 0, 255)), "x is a PNG of mode LA"),
        (encoded(flat("L", 0), "JPEG"), "x is a JPEG of mode L"),
    ],
)
def test_a_mask_that_cannot_hold_numbers_of_classes_is_refused(body: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        masks.classes(body, "x", TABLE, 3)


SETTINGS = {"num_classes": 1, "label_width": 350}


def annotation(width: int, height: int, left: int = 0) -> bytes:
    return json.dumps(
        {
            "file": "a.jpg",
            "image_size": [{"width": width, "height": height, "depth": 3}],
            "annotations": [{"class_id": 0, "left": left, "top": 0, "width": 4, "height": 2}],
        }
    ).encode()


@pytest.mark.parametrize("orientation", STORED)
def test_a_box_lies_where_it_was_drawn(orientation: int) -> None:
    one = Sample(turned(QUARTERS, orientation), annotation(8, 4, left=4), "train/a.jpg")
    image, rows = boxes.decoded(one, SETTINGS)
    _, left, top, right, bottom = rows[0] * (1, 8, 4, 8, 4)
    inside = pixels.array(image)[int(top) : int(bottom), int(left) : int(right)]
    assert (inside == (0, 255, 0)).all()


SENTENCE = "image_size is 4 x 8, and the image has 8 x 4 pixels as viewers show it"


@pytest.mark.parametrize("orientation", [1, 6])
def test_an_annotation_of_another_size_is_refused_before_training(
    orientation: int, tmp_path: Path
) -> None:
    for name, file, body in (
        ("train", "a.jpg", turned(QUARTERS, orientation, "JPEG")),
        ("train_annotation", "a.json", annotation(4, 8)),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(body)
    kind = ContentType("image/jpeg")
    train, notes = (
        Channel(name, tmp_path / name, kind, "File") for name in ("train", "train_annotation")
    )
    with pytest.raises(FormatError) as refused:
        boxes.annotated(train, notes, boxes.Limits(1, 350))
    assert str(refused.value) == f"train_annotation/a.json: {SENTENCE}"


def test_an_annotation_of_another_size_is_refused_in_a_manifest_too() -> None:
    one = Sample(turned(QUARTERS, 6), annotation(4, 8), "train, epoch 0, record 1")
    with pytest.raises(FormatError) as refused:
        boxes.decoded(one, SETTINGS)
    assert SENTENCE in str(refused.value)
