"""Small texts in English that gensim ships for its own tests."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

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
def lee_counts() -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """How often each item has each word, and the words: those of five items or more.

    The commonest words of English are left out, as are those of every second item.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(stop_words="english", min_df=5, max_df=0.5)
    counts = counter.fit_transform(lee()).toarray().astype(np.float32)
    return counts, tuple(counter.get_feature_names_out())


@cache
def polarity() -> tuple[tuple[str, str], ...]:
    """200 sentences of film reviews, each with the label neg or pos; cut into words already."""
    text = file("pang_lee_polarity.cor").read_text(encoding="cp1252")
    found = []
    for line in text.splitlines():
        label, _, sentence = line.partition(" ")
        found.append((sentence.strip(), label.removeprefix("__label__")))
    return tuple(found)
