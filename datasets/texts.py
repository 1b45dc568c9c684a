"""Small texts in English that gensim ships for its own tests."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def file(name: str) -> Path:
    """A file of test data in the installed package, which is not imported for it."""
    found = find_spec("gensim")
    if found is None or found.origin is None:
        raise FileNotFoundError("gensim is not installed: it is in the group `references`")
    return Path(found.origin).parent / "test" / "test_data" / name


@cache
def lee() -> tuple[str, ...]:
    """300 news items of the Lee background corpus: words in lower case, parted by spaces."""
    text = file("lee_background.cor").read_text(encoding="cp1252")
    return tuple(" ".join(_WORD.findall(line.lower())) for line in text.splitlines())


@cache
def polarity() -> tuple[tuple[str, str], ...]:
    """200 sentences of film reviews, each with the label neg or pos; cut into words already."""
    text = file("pang_lee_polarity.cor").read_text(encoding="cp1252")
    found = []
    for line in text.splitlines():
        label, _, sentence = line.partition(" ")
        found.append((sentence.strip(), label.removeprefix("__label__")))
    return tuple(found)
