"""News of Reuters: 395 articles of 1996 and 1997 as counts of 4,258 words.

It comes with the `lda` package, as the example of its Gibbs sampler.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from datasets.wheels import Wheel

WHEEL = Wheel(
    "lda",
    "3.0.2",
    "5092577d2213890f0e1df4e6db02cc50955de97ca94bd57b3405dd53e21c1ab3",
    tag="cp311-cp311-manylinux2014_x86_64",
)
_COUNTS = "lda/tests/reuters.ldac"
_WORDS = "lda/tests/reuters.tokens"


@dataclass(frozen=True)
class Articles:
    """Word counts, one article a row, and the word that each column counts."""

    counts: npt.NDArray[np.float32]
    words: tuple[str, ...]


@cache
def articles() -> Articles:
    """All articles, in the order of the file."""
    files = WHEEL.read(_COUNTS, _WORDS)
    words = tuple(files[_WORDS].decode().split())
    lines = files[_COUNTS].decode().splitlines()
    counts = np.zeros((len(lines), len(words)), dtype=np.float32)
    for row, line in enumerate(lines):
        for pair in line.split()[1:]:
            word, count = pair.split(":")
            counts[row, int(word)] = int(count)
    return Articles(counts, words)
