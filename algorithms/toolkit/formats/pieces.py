"""Cutting a stream into pieces that end where a record ends, so that it is never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from algorithms.toolkit.formats.recordio import HEADER, LENGTH, MAGIC
from algorithms.toolkit.formats.table import FormatError

PIECE_BYTES = 4 * 1024 * 1024
# A record that is longer than this is none: its end was lost, or it is no such text at all.
LONGEST_RECORD = 256 * 1024 * 1024
_NUMBER = np.dtype("<u4")


@dataclass(frozen=True)
class Piece:
    """Whole records of a stream, and how much of it came before them.

    Args:
        body: the records.
        start: how many bytes came before them.
        lines: how many lines did, in a text that is cut at these; 0 in any other.
    """

    body: bytes
    start: int
    lines: int


def pieces(
    read: Callable[[int], bytes], name: str, last_end: Callable[[bytes], int]
) -> Iterator[Piece]:
    """Cut what `read` gives; pieces have the same bounds however much it gives at a time.

    Args:
        read: gives at most so many bytes, and none at the end.
        name: the stream, for error messages.
        last_end: where the last whole record of a text ends; 0 when it holds none.
    """
    held, start, lines, wanted = b"", 0, 0, PIECE_BYTES
    while True:
        parts, size = [held], len(held)
        while size < wanted and (part := read(wanted - size)):
            parts.append(part)
            size += len(part)
        held = b"".join(parts)
        if not held:
            return
        end = last_end(held) if size >= wanted else len(held)
        if end:
            body, held = held[:end], held[end:]
            yield Piece(body, start, lines)
            start += len(body)
            if last_end is last_line_end:
                lines += line_count(body)
            wanted = PIECE_BYTES
        elif size >= LONGEST_RECORD:
            raise FormatError(f"{name}, byte {start}: no record ends within {size} bytes from here")
        else:
            wanted = min(2 * wanted, LONGEST_RECORD)


def line_count(text: bytes) -> int:
    """How many lines end in a text, whichever of the three line ends it has."""
    return text.count(b"\n") or text.count(b"\r")


def last_line_end(text: bytes) -> int:
    """Where the last line that is whole ends."""
    end = text.rfind(b"\n") + 1
    # A carriage return at the very end may be one half of a line end.
    return end or text.rfind(b"\r", 0, len(text) - 1) + 1


def last_frame_end(text: bytes) -> int:
    """Where the last RecordIO record that is whole ends; what is none is left to its reader."""
    position, size = 0, len(text)
    while size - position >= HEADER.size:
        magic, length = HEADER.unpack_from(text, position)
        if magic != MAGIC or length > LENGTH:
            return size
        stride = HEADER.size + length + (-length % 4)
        count = (size - position) // stride
        if not count:
            break
        # Records of one length follow one another in most files: these are stepped over at once.
        heads = np.frombuffer(text, _NUMBER, count * (stride // 4), position).reshape(count, -1)
        same = (heads[:, 0] == magic) & (heads[:, 1] == length)
        position += (count if same.all() else int(same.argmin())) * stride
    return position
