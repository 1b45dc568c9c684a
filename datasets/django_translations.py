"""English messages of Django and their German translations, about 900 pairs.

They come with Django as catalogues of gettext, of which the compiled form is read: it is plainer.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import cache

from datasets.sequences import Languages, Pair, languages
from datasets.wheels import Wheel

# Django 6 asks for a newer Python than this project's; its catalogues are read all the same.
WHEEL = Wheel(
    "django",
    "6.1.3",
    "a0530e3fdac55d34ccc5893c36f6c57d7a7083064f3d414537e51473648b3290",
    tag="cp312-none-any",
)
_PARTS = (
    "conf",
    *(
        f"contrib/{part}"
        for part in (
            "admin",
            "admindocs",
            "auth",
            "contenttypes",
            "flatpages",
            "gis",
            "humanize",
            "postgres",
            "redirects",
            "sessions",
            "sites",
        )
    ),
)
_HEADER = struct.Struct("<7I")
_ENTRY = struct.Struct("<2I")
# A name to be filled in is one word, as is a run of letters or any other sign.
_WORD = re.compile(r"%\(\w+\)[sd]|%[sd]|\w+|[^\w\s]")


@cache
def pairs() -> tuple[Pair, ...]:
    """Every message once with its translation, both in lower case and cut into words."""
    paths = [f"django/{part}/locale/de/LC_MESSAGES/django.mo" for part in _PARTS]
    found: dict[str, str] = {}
    for body in WHEEL.read(*paths).values():
        for message, translation in _messages(body):
            if words := _words(message):
                found.setdefault(words, _words(translation))
    return tuple(found.items())


def sentences(least: int = 1) -> Languages:
    """The pairs with the vocabularies of the words that occur at least so often on each side."""
    return languages(pairs(), least)


def _messages(body: bytes) -> Iterator[Pair]:
    """The messages of a compiled catalogue: singular and plural are two."""
    _, _, count, originals, translations, _, _ = _HEADER.unpack_from(body)
    for place in range(count):
        message, translation = (
            _text(body, table + place * _ENTRY.size) for table in (originals, translations)
        )
        # The first entry is about the catalogue; the context of a message stands before it.
        _, _, message = message.rpartition("\x04")
        yield from zip(message.split("\x00"), translation.split("\x00"), strict=False)


def _text(body: bytes, entry: int) -> str:
    length, start = _ENTRY.unpack_from(body, entry)
    return body[start : start + length].decode()


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))
