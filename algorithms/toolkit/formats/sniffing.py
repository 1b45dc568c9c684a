"""What a body seems to be, to tell the owner of one that is not what its content type says."""

from __future__ import annotations

import re

from algorithms.toolkit import content

MARK = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""

_WIDE_MARKS = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
# How files of these kinds begin.
_SIGNATURES = (
    (b"\x0a\x23\xd7\xce", content.RECORDIO),
    (b"PAR1", content.PARQUET),
    (b"\x1f\x8b", "gzip, which is not unpacked here"),
    (b"BZh", "bzip2, which is not unpacked here"),
    (b"\x28\xb5\x2f\xfd", "zstd, which is not unpacked here"),
    (b"\xfd7zXZ", "xz, which is not unpacked here"),
    (b"PK\x03\x04", "a zip archive, or a workbook such as .xlsx"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"\x80\x02", "a pickle of Python"),
    (b"\x80\x03", "a pickle of Python"),
    (b"\x80\x04", "a pickle of Python"),
    (b"\x80\x05", "a pickle of Python"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG", "image/png"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"%PDF", "a PDF"),
)
_NUMBER = rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_LIBSVM = re.compile(
    rb"%s(?::%s)?(?:[ \t]+qid:[0-9]+)?(?:[ \t]+[0-9]+:%s)+[ \t]*(?:#.*)?"
    % (_NUMBER, _NUMBER, _NUMBER)
)
_FIELD = rb"\"?(?:%s|nan)?\"?" % _NUMBER
_CSV = re.compile(rb"[ \t]*%s[ \t]*(?:,[ \t]*%s[ \t]*)+" % (_FIELD, _FIELD), re.IGNORECASE)
# The first lines are looked at, and no more of a long one than this.
_LOOKED_AT = 64 * 1024


def likely(body: bytes) -> str | None:
    """The content type that a body or the beginning of a file seems to have, or what else it is.

    None where nothing speaks for any.
    """
    found = binary(body)
    if found is not None:
        return found
    text = body[:_LOOKED_AT].removeprefix(MARK).lstrip()
    return _of_text(text, whole=len(body) <= _LOOKED_AT)


def binary(body: bytes) -> str | None:
    """What a body is that is no text of UTF-8, by how it begins; None for text."""
    for start, name in _WIDE_MARKS:
        if body.startswith(start):
            return f"text in {name}; UTF-8 is needed"
    for start, name in _SIGNATURES:
        if body.startswith(start):
            return name
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    if body[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return "image/heic or image/avif"
    if _is_wide(body):
        return "text in UTF-16; UTF-8 is needed"
    return None


def _is_wide(text: bytes) -> bool:
    """Whether every other byte of what begins a text is zero: letters of 16 bits."""
    start = text[: min(len(text), 64) // 2 * 2]
    halves = start[::2], start[1::2]
    return len(start) >= 4 and any(not any(half) for half in halves) and any(start)


def _of_text(text: bytes, *, whole: bool) -> str | None:
    line = re.split(rb"[\r\n]", text, maxsplit=1)[0].strip()
    if line[:1] in (b"{", b"["):
        return _of_json(text, line, whole=whole)
    if line[:1] == b"<":
        return "HTML or XML"
    if line.startswith(b"__label__"):
        return "text/plain with labels of fastText"
    if _LIBSVM.fullmatch(line):
        return content.LIBSVM
    if _CSV.fullmatch(line):
        return content.CSV
    found = delimiter(line)
    if found not in {None, ","}:
        return f"text whose columns are parted by {shown(found)}"
    if b";" in line and delimiter(line.replace(b",", b".")) == ";":
        return "text whose decimal mark is a comma and whose columns are parted by semicolons"
    return None


def _of_json(text: bytes, line: bytes, *, whole: bool) -> str | None:
    import orjson

    def is_json(part: bytes) -> bool:
        try:
            orjson.loads(part)
        except orjson.JSONDecodeError:
            return False
        return True

    if line.startswith(b"{") and is_json(line):
        several = bool(text.strip()[len(line) :].strip())
        return content.JSON_LINES if several or not whole else content.JSON
    return content.JSON if whole and is_json(text) else None


def hint(body: bytes, own: str) -> str:
    """The end of a sentence that says what a body seems to be; empty where it may be its own."""
    found = likely(body)
    if found is None or found == own:
        return ""
    return f"; it seems to be {found}"


# In the order in which they are tried. A colon is none of them: it makes pairs of libsvm.
_DELIMITERS = ",\t;| ^~#\x01\x1f"


def delimiter(line: bytes) -> str | None:
    """What parts the numbers of a line of text, or None where it is no line of several numbers."""
    try:
        text = line[:_LOOKED_AT].decode().strip("\r\n ")
    except UnicodeDecodeError:
        return None
    for one in _DELIMITERS:
        fields = text.split(one)
        if len(fields) > 1 and any(map(str.strip, fields)) and all(map(is_number, fields)):
            return one
    return None


def is_number(field: str) -> bool:
    """Whether a field of a text is a number, or left empty."""
    field = field.strip().removeprefix('"').removesuffix('"').strip()
    if not field or field.lower() == "nan":
        return True
    return re.fullmatch(_NUMBER, field.encode()) is not None


def shown(delimiter: str | None) -> str:
    """A delimiter as people call it."""
    names = {"\t": "a tab", " ": "a space", ";": "a semicolon", "|": "a vertical bar"}
    return names.get(delimiter or "", repr(delimiter))
