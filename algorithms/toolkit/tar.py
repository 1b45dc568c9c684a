"""Members of a tar archive out of a stream, one after another, with headers of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

_BLOCK = 512
# Long names and pax records; a name may have 1,024 bytes, and few write more beside it.
_HEADER_BYTES = 64 << 10
_KINDS = {
    **dict.fromkeys((b"0", b"\0", b"7"), "file"),
    b"5": "folder",
    **dict.fromkeys((b"1", b"2"), "link"),
    b"S": "sparse",
}
# Of these alone no content follows; all else is taken for what a later tar may have added.
_WITHOUT_CONTENT = frozenset((b"1", b"2", b"3", b"4", b"5", b"6"))


class TarError(Exception):
    """The stream is no whole tar archive, or no whole gzip."""


class Reader(Protocol):
    """A stream that is read forward."""

    def read(self, size: int) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        ...


@dataclass(frozen=True)
class Member:
    """A member's header; `kind` is file, folder, link, sparse or other."""

    name: str
    kind: str
    size: int
    mode: int
    link: str


class Content:
    """The content of one member, to be read forward."""

    def __init__(self, stream: Reader, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the content's end.

        Raises:
            TarError: The archive ends before the content does.
        """
        wanted = min(size, self._left)
        piece = self._stream.read(wanted)
        if len(piece) < wanted:
            raise TarError("it ends in the middle")
        self._left -= wanted
        return piece


def members(stream: Reader) -> Iterator[tuple[Member, Content]]:
    """Each member of an archive (ustar, pax or GNU) with its content, until the archive's end.

    Raises:
        TarError: A header is damaged, too large, or missing.
    """
    common: dict[str, str] = {}
    own: dict[str, str] = {}
    number = 0
    while True:
        block = stream.read(_BLOCK)
        if not block.strip(b"\0"):
            if own or (not block and not number):
                raise TarError("it ends in the middle" if number else "it is empty")
            return
        if len(block) < _BLOCK:
            raise TarError("it ends in the middle" if number else "it is no tar archive")
        number += 1
        _check(block, number)
        flag, size = block[156:157], _number(block[124:136], number)
        if flag in (b"x", b"g", b"L", b"K"):
            content = _header(stream, size, number)
            if flag == b"g":
                common |= _records(content, number)
            elif flag == b"x":
                own |= _records(content, number)
            else:
                own["path" if flag == b"L" else "linkpath"] = _text(content.split(b"\0")[0])
            continue
        member = _member(block, flag, size, common | own, number)
        own = {}
        content_size = 0 if flag in _WITHOUT_CONTENT or member.kind == "folder" else member.size
        body = Content(stream, content_size)
        yield member, body
        while body.read(_BLOCK << 8):
            pass
        if len(stream.read(-content_size % _BLOCK)) < -content_size % _BLOCK:
            raise TarError("it ends in the middle")


def _member(block: bytes, flag: bytes, size: int, given: Mapping[str, str], number: int) -> Member:
    name = block[:100].split(b"\0")[0]
    prefix = block[345:500].split(b"\0")[0]
    if prefix and block[257:263] == b"ustar\0":
        name = prefix + b"/" + name
    path = given.get("path", _text(name))
    kind = _KINDS.get(flag, "other")
    if any(key.startswith("GNU.sparse.") for key in given):
        kind, path = "sparse", given.get("GNU.sparse.name", path)
    elif kind == "file" and path.endswith("/"):
        # As the oldest archives write folders.
        kind = "folder"
    if "size" in given:
        if not given["size"].isdecimal():
            raise TarError(f"header {number} has the size {given['size'][:40]!r}, which is none")
        size = int(given["size"][:20])
    return Member(
        path,
        kind,
        size,
        _number(block[100:108], number),
        given.get("linkpath", _text(block[157:257].split(b"\0")[0])),
    )


def _check(block: bytes, number: int) -> None:
    stored = _number(block[148:156], number)
    rest = block[:148] + b" " * 8 + block[156:]
    # Some tars of old counted bytes as signed.
    if stored not in (sum(rest), sum(rest) - 256 * sum(byte > 127 for byte in rest)):
        raise TarError(f"header {number} has the wrong checksum, or is none")


def _number(field: bytes, number: int) -> int:
    """A number in octal digits or, with the first bit set, in binary."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip()
    if digits and not all(48 <= digit <= 55 for digit in digits):
        raise TarError(f"header {number} has {digits[:12]!r} where a number stands")
    return int(digits or b"0", 8)


def _header(stream: Reader, size: int, number: int) -> bytes:
    if size > _HEADER_BYTES:
        raise TarError(
            f"header {number} is followed by {size:,} bytes of names and attributes; "
            f"{_HEADER_BYTES:,} are allowed"
        )
    content = stream.read(size)
    if len(content) < size or len(stream.read(-size % _BLOCK)) < -size % _BLOCK:
        raise TarError("it ends in the middle")
    return content


def _records(content: bytes, number: int) -> dict[str, str]:
    """Keywords and values of a pax header: a line "LENGTH KEYWORD=VALUE" each."""
    found = {}
    while content.strip(b"\0"):
        digits, space, _ = content[:20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = content[len(digits) + 1 : length]
        keyword, equals, value = record.partition(b"=")
        if not (space and equals and keyword and record.endswith(b"\n")):
            raise TarError(f"header {number} has attributes of an unknown form")
        found[_text(keyword)] = _text(value[:-1])
        content = content[length:]
    return found


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
