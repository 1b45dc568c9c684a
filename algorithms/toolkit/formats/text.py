"""Text as files and requests bring it: without byte order marks, and cut at line ends alone."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any

from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.sniffing import MARK
from algorithms.toolkit.formats.table import FormatError

# Objects of a channel follow one another in a pipe, so that a line within may begin with one.
_MARKED = re.compile(rb"(\A|(?<=[\r\n]))" + MARK)


def unmarked(body: bytes, where: str) -> bytes:
    """A text without the byte order marks that Excel and others put before its first letter.

    Raises:
        FormatError: The mark is that of UTF-16 or UTF-32.
    """
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or body[:4] == b"\x00\x00\xfe\xff":
        raise FormatError(f"{where}: {sniffing.likely(body)}; save it as UTF-8")
    return _MARKED.sub(b"", body) if MARK in body else body


def decoded(body: bytes, name: str, own: str) -> str:
    """A text of UTF-8.

    Args:
        body: the text, with or without a mark.
        name: the file or payload, for error messages.
        own: the content type that it is said to be of.

    Raises:
        FormatError: It is none; names the line.
    """
    body = unmarked(body, name)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise FormatError(
            f"{name}, line {line}: not UTF-8 text{sniffing.hint(body, own)}"
        ) from None


def lines(text: str) -> list[str]:
    r"""The lines of a text, which \n, \r\n or \r end.

    str.splitlines also cuts at what may stand within a line, such as U+2028 and U+0085.
    """
    found = re.split(r"\r\n|\r|\n", text)
    return found[:-1] if not found[-1] else found


def json_lines(body: bytes, name: str) -> list[tuple[str, Any]]:
    """The values of a text with one in JSON a line, each with its place; empty lines are skipped.

    Raises:
        FormatError: A line is none; says what the text seems to be where that is the first.
    """
    refuse_binary(body, name)
    places = [
        (f"{name}, line {number}", line)
        for number, line in enumerate(unmarked(body, name).split(b"\n"), 1)
        if line.strip()
    ]
    return [(place, json_of(line, place)) for place, line in places]


def refuse_binary(head: bytes, name: str) -> None:
    """Refuse what is no text by how it begins.

    Raises:
        FormatError: It is none; says what it is.
    """
    found = sniffing.binary(head)
    if found is not None:
        raise FormatError(f"{name}: not text in UTF-8; it seems to be {found}")


def json_of(body: bytes, where: str, *, unique: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        body: the text, with or without a mark.
        where: its place, for error messages.
        unique: whether to refuse an object that has a name twice, of which one would be lost.

    Raises:
        FormatError: It is none; says what it seems to be instead.
    """
    import orjson

    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if body.startswith(MARK):
            return json_of(body.removeprefix(MARK), where, unique=unique)
        unmarked(body, where)
        raise FormatError(
            f"{where}: not JSON: {error}{sniffing.hint(body, 'application/json')}"
        ) from None
    if unique:
        try:
            json.loads(body, object_pairs_hook=partial(_unique, where))
        except RecursionError:
            raise FormatError(f"{where}: not JSON that can be read: nested too deeply") from None
    return found


def _unique(where: str, pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            raise FormatError(f"{where}: {name!r} is there twice")
        names.add(name)
