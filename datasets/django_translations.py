"""English messages of Django and their German translations, about 800 pairs.

They come with Django as catalogues of gettext, of which the compiled form is read: it is plainer.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import cache

import numpy as np

from datasets.sequences import Pair
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
def pairs(longest: int | None = None) -> tuple[Pair, ...]:
    """Every message once with its translation, in lower case and cut into words, shuffled.

    Args:
        longest: leave out pairs of which a side has more words.
    """
    paths = [f"django/{part}/locale/de/LC_MESSAGES/django.mo" for part in _PARTS]
    found: dict[str, str] = {}
    for body in WHEEL.read(*paths).values():
        for message, translation in _messages(body):
            if words := _words(message):
                found.setdefault(words, _words(translation))
    kept = [
        pair
        for pair in found.items()
        if longest is None or max(len(side.split()) for side in pair) <= longest
    ]
    # The catalogues are in order of the alphabet.
    order = np.random.default_rng(0).permutation(len(kept))
    return tuple(kept[place] for place in order)


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
