"""The text of a channel as the one file that fastText reads, checked while it is written or read.

Three forms are taken: plain text with a sentence a line, JSON Lines with `source` and `label`, and
the stream of an augmented manifest, whose attributes come in RecordIO frames one after another.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from algorithms.toolkit import content
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.pieces import last_frame_end, pieces
from algorithms.toolkit.formats.recordio import HEADER, MAGIC, frames
from algorithms.toolkit.formats.sniffing import MARK
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_of, unmarked
from algorithms.toolkit.job import Channel

LABEL = "__label__"
CONTENT_TYPES = ("text/plain", content.JSON_LINES, "application/x-recordio", content.RECORDIO)

_BLOCK = 4 * 1024 * 1024
# What is looked at to tell what a file is.
_HEAD = 64 * 1024
_OWN = "text/plain with labels of fastText"
# What ends a word for fastText; a label is a word that begins with LABEL and goes on.
_LABELLED = re.compile(rb"(?:^|[ \t\v\f\r\0])__label__[^ \t\v\f\r\n\0]")
_SPACE = re.compile(r"[ \t\n\v\f\r\0]+")


@dataclass(frozen=True)
class Corpus:
    """A text file for fastText."""

    path: Path
    size: int
    """In bytes."""


def prepared(channel: Channel, folder: Path, *, labelled: bool) -> Corpus:
    """The text of a channel in one file: its own where that will do, else a new one in `folder`.

    Args:
        channel: what to read; only text with labels comes through a pipe.
        folder: where a file may be written.
        labelled: whether every line must have a label.

    Raises:
        FormatError: A line is not text, or has no label, with its place.
        CustomerError: The content type or the mode of the channel is not supported.
    """
    kind = channel.content_type
    if kind is not None and kind.name not in CONTENT_TYPES:
        raise CustomerError(
            f"Content type '{kind.name}' of channel '{channel.name}' is not supported; "
            f"{', '.join(CONTENT_TYPES[:3])} are allowed"
        )
    if channel.piped:
        if not labelled:
            raise CustomerError(
                f"Channel {channel.name}: Pipe mode is for mode supervised; use File mode"
            )
        with channel.pipe(0) as stream:
            return _written(folder / channel.name, _streamed(stream, channel.name))
    files = channel.files()
    if len(files) == 1 and not _is_rewritten(files[0], labelled=labelled):
        _check(files[0], channel.title(files[0]), labelled=labelled)
        return Corpus(files[0], files[0].stat().st_size)
    parts = (_parts(path, channel.title(path), labelled=labelled) for path in files)
    return _written(folder / channel.name, (part for file in parts for part in file))


def _written(path: Path, parts: Iterable[bytes]) -> Corpus:
    with path.open("wb") as file:
        for part in parts:
            file.write(part)
        size = file.tell()
    if not size:
        raise CustomerError(f"No data in channel {path.name}")
    return Corpus(path, size)


def _is_rewritten(path: Path, *, labelled: bool) -> bool:
    """Whether fastText would misread a file as it is: a mark would be a part of its first word."""
    with path.open("rb") as file:
        marked = file.read(len(MARK)) == MARK
    return marked or (labelled and _is_manifest(path))


def _is_manifest(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(1024 * 1024).removeprefix(MARK)
    return first.startswith(b'{"') and b'"source"' in first


def _check(path: Path, title: str, *, labelled: bool) -> None:
    for _ in _text(path, title) if not labelled else _sentences(path, title):
        pass


def _parts(path: Path, title: str, *, labelled: bool) -> Iterator[bytes]:
    if not labelled:
        last = b"\n"
        for last in _text(path, title):
            yield last
        if not last.endswith(b"\n"):
            yield b"\n"
    elif _is_manifest(path):
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _sample(line, f"{title}, line {number}")
    else:
        for line in _sentences(path, title):
            yield line if line.endswith(b"\n") else line + b"\n"


def _text(path: Path, title: str) -> Iterator[bytes]:
    """A file in blocks, held to UTF-8; one line may be the whole of a corpus."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 0
    with path.open("rb") as file:
        head = file.read(_HEAD)
        _refuse_foreign(head, title)
        file.seek(len(MARK) if head.startswith(MARK) else 0)
        while True:
            block = file.read(_BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + block.count(b"\n", 0, max(error.start - pending, 0)) + 1
                raise FormatError(
                    f"{title}, line {line}: not UTF-8: {error.reason}{sniffing.hint(head, _OWN)}"
                ) from None
            if not block:
                return
            lines += block.count(b"\n")
            yield block


def _refuse_foreign(head: bytes, title: str) -> None:
    """Refuse what UTF-8 can hold, and what is no text to learn words from all the same."""
    unmarked(head, title)
    seems = sniffing.likely(head)
    first = head.removeprefix(MARK).split(b"\n", 1)[0]
    if seems in {content.JSON, content.JSON_LINES} and b'"source"' in first:
        raise FormatError(
            f"{title}, line 1: seems to be {content.JSON_LINES}, which is read in mode supervised "
            "alone; plain text with a sentence a line is needed"
        )
    if seems in {content.PARQUET, content.LIBSVM} or b"\0" in first:
        raise FormatError(
            f"{title}, line 1: not plain text with a sentence a line{sniffing.hint(head, _OWN)}"
        )


def _sentences(path: Path, title: str) -> Iterator[bytes]:
    """The lines of a file, each with a label."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(MARK) if number == 1 else line
            if _labelled(text, title, number):
                yield text


def _labelled(line: bytes, title: str, number: int) -> bool:
    """Whether a line says anything; then it must be text with a label."""
    seems = sniffing.hint(line, _OWN) if number == 1 else ""
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"{title}, line {number}: not UTF-8: {error.reason}{seems}") from None
    if _LABELLED.search(line):
        return True
    if not line.strip():
        return False
    raise FormatError(
        f"{title}, line {number}: no label; in mode supervised each line needs at least one word "
        f"that begins with {LABEL}{seems}"
    )


def _sample(line: bytes, where: str) -> bytes:
    """A line of JSON with source and label as a line of fastText."""
    found = json_of(line, where)
    if not isinstance(found, dict) or not {"source", "label"} <= set(found):
        raise FormatError(f'{where}: must be {{"source": "...", "label": ...}}')
    return _line(found["source"], found["label"], where)


def _line(source: Any, label: Any, where: str) -> bytes:
    if not isinstance(source, str):
        raise FormatError(
            f"{where}: source is {str(source)[:80]!r}, not text; AttributeNames must be source and "
            "label, in this order"
        )
    labels = label if isinstance(label, list) else [label]
    if not labels:
        raise FormatError(f"{where}: no label")
    words = []
    for one in labels:
        if isinstance(one, float) and one.is_integer():
            one = int(one)
        word = str(one)
        if isinstance(one, bool) or not isinstance(one, str | int) or not word:
            raise FormatError(f"{where}: label {one!r} is neither a number nor a name")
        if _SPACE.search(word):
            raise FormatError(f"{where}: label {word!r} has a space in it")
        words.append(word if word.startswith(LABEL) else LABEL + word)
    return f"{' '.join(words)} {_SPACE.sub(' ', source)}\n".encode()


def _streamed(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines of a stream: pairs of frames from an augmented manifest, or text with labels."""
    head = b""
    while len(head) < HEADER.size and (more := stream.read(HEADER.size - len(head))):
        head += more
    title = f"{name}, epoch 0"
    if len(head) == HEADER.size and HEADER.unpack(head)[0] == MAGIC:
        yield from _pairs(head, stream, title)
        return
    rest, number = head, 0
    while block := stream.read(_BLOCK):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            number += 1
            yield from _either(line, title, number)
    yield from _either(rest, title, number + 1)


def _either(line: bytes, title: str, number: int) -> Iterator[bytes]:
    line = line.removeprefix(MARK)
    if line.lstrip().startswith(b"{"):
        yield _sample(line, f"{title}, line {number}")
    elif _labelled(line, title, number):
        yield line + b"\n"


def _pairs(head: bytes, stream: BinaryIO, title: str) -> Iterator[bytes]:
    waiting, count = head, 0
    source: Any = None

    def read(size: int) -> bytes:
        nonlocal waiting
        if waiting:
            found, waiting = waiting[:size], waiting[size:]
            return found
        return stream.read(size)

    for piece in pieces(read, title, last_frame_end):
        for message in frames(piece.body, title, count, piece.start):
            count += 1
            where = f"{title}, record {count}"
            value = json_of(bytes(message), where)
            if count % 2:
                source = value
            else:
                yield _line(source, value, where)
    if count % 2:
        raise FormatError(f"{title}, record {count}: a source without its label")
