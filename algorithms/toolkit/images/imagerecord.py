"""Image RecordIO: what MXNet's im2rec makes of encoded images and their labels.

A record is a header (how many labels, one label, two numbers of the image), more labels where there
are several, and the image's file. A long one, or one that holds the magic number, is in parts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.recordio import HEADER, LENGTH, MAGIC, frame
from algorithms.toolkit.formats.table import FormatError

CONTENT_TYPE = "application/x-recordio"
_IMAGE = struct.Struct("<IfQQ")
# A record that is longer is none: its frame is broken, or the file something else.
LONGEST = 256 * 1024 * 1024
# What is looked at of a stream that is no RecordIO, to tell what it is.
_SEEN = 4096
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


@dataclass(frozen=True)
class ImageRecord:
    """An image's file, and its labels."""

    labels: npt.NDArray[np.float32]
    image: bytes


def pack(labels: Sequence[float], image: bytes, number: int = 0) -> bytes:
    """An image and its labels as one framed record, as im2rec writes it."""
    several = len(labels) > 1
    head = _IMAGE.pack(len(labels) if several else 0, 0.0 if several else labels[0], number, 0)
    more = np.asarray(labels, dtype="<f4").tobytes() if several else b""
    return frame(head + more + image)


def unpack(message: bytes, where: str) -> ImageRecord:
    """The image and the labels of a record's message."""
    if len(message) < _IMAGE.size:
        raise FormatError(
            f"{where}: {len(message)} bytes are no image record, whose header alone has "
            f"{_IMAGE.size}; make it with im2rec"
        )
    count, label, _, _ = _IMAGE.unpack_from(message)
    if not count:
        return ImageRecord(np.array([label], dtype=np.float32), message[_IMAGE.size :])
    end = _IMAGE.size + 4 * count
    if end > len(message):
        raise FormatError(
            f"{where}: says {count} labels, for which its {len(message)} bytes have no room"
        )
    labels = np.frombuffer(message[_IMAGE.size : end], dtype="<f4").astype(np.float32)
    return ImageRecord(labels, message[end:])


def messages(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """The messages of a RecordIO stream, and at which byte each record begins.

    Args:
        stream: it must give as much as is asked for, but at its end.
        name: the file or channel, for error messages.
    """
    number, start, place = 0, 0, 0
    parts: list[bytes] = []
    while head := stream.read(HEADER.size):
        if not parts:
            number, start = number + 1, place
        part, length, body = _part(
            head, stream, f"{name}, record {number}, byte {place}", first=not place
        )
        place += HEADER.size + length
        expected = (_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)
        if part not in expected:
            raise FormatError(
                f"{name}, record {number}, byte {start}: the parts of the record are in disorder"
            )
        parts.append(body)
        if sum(map(len, parts)) > LONGEST:
            raise FormatError(f"{name}, record {number}, byte {start}: longer than {LONGEST} bytes")
        if part in (_WHOLE, _LAST):
            # The writer cuts where the magic number stands, and leaves it out.
            yield start, struct.pack("<I", MAGIC).join(parts)
            parts = []
    if parts:
        raise FormatError(f"{name}, record {number}, byte {start}: the end of the record is lost")


def _part(head: bytes, stream: BinaryIO, where: str, *, first: bool) -> tuple[int, int, bytes]:
    """The kind, the padded length and the bytes of a frame whose header was read."""
    if len(head) < HEADER.size:
        seems = sniffing.hint(head, CONTENT_TYPE) if first else ""
        raise FormatError(f"{where}: truncated in the header of the record{seems}")
    magic, word = HEADER.unpack(head)
    if magic != MAGIC:
        # Of a stream that is none, the beginning shows what it is.
        seems = sniffing.hint(head + stream.read(_SEEN), CONTENT_TYPE) if first else ""
        raise FormatError(
            f"{where}: not RecordIO: found 0x{magic:08X} in place of 0x{MAGIC:08X}{seems}"
        )
    length = word & LENGTH
    padded = length + (-length % 4)
    body = stream.read(padded)
    if len(body) < length:
        raise FormatError(
            f"{where}: truncated: the record says {length} bytes, {len(body)} are left"
        )
    return word >> 29, padded, body[:length]
