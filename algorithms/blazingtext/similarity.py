"""WordSimilarity-353: how well word vectors agree with people about pairs of English words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.formats.text import lines

FILE = "wordsim353.tsv"
# The key in eval.json. AWS's container has two parts of the same pairs there, by similarity and by
# relatedness, whose lists are not part of the collection.
TITLE = "EN-WS-353.txt"

Pair = tuple[str, str, float]


def pairs() -> list[Pair] | None:
    """The pairs with their mean rating; None where this installation lacks the file.

    It lies beside this module in an image that was built with it, and in gensim's test data.
    """
    places = [Path(__file__).parent / FILE]
    gensim = find_spec("gensim")
    if gensim is not None and gensim.origin is not None:
        places.append(Path(gensim.origin).parent / "test" / "test_data" / FILE)
    for place in places:
        if place.is_file():
            return read(place.read_text(encoding="utf-8"))
    return None


def read(text: str) -> list[Pair]:
    """Lines of two words and a rating, parted by tabs; the first ones may be comments."""
    found = []
    for line in lines(text):
        if line.strip() and not line.startswith("#"):
            first, second, rating = line.split("\t")
            found.append((first, second, float(rating)))
    return found


def evaluated(
    known: Iterable[str],
    vector: Callable[[str], npt.NDArray[np.float32]],
    pairs: Iterable[Pair],
) -> dict[str, Any]:
    """What eval.json holds: Spearman's correlation over the pairs whose words are both known.

    Fewer than two of them correlate with nothing: the value is then null.
    """
    from scipy.stats import spearmanr

    words = set(known)
    people, cosines, total = [], [], 0
    for first, second, rating in pairs:
        total += 1
        found = [_spelling(word, words) for word in (first, second)]
        if None in found:
            continue
        one, other = (vector(str(word)).astype(np.float64) for word in found)
        length = float(np.linalg.norm(one) * np.linalg.norm(other))
        people.append(rating)
        cosines.append(float(one @ other) / length if length else 0.0)
    rho = float(spearmanr(people, cosines).statistic) if len(set(cosines)) > 1 else float("nan")
    value = None if np.isnan(rho) else rho
    return {
        TITLE: {
            "not_found": total - len(people),
            "spearmans_rho": value,
            "total_pairs": total,
        },
        "mean_rho": value,
    }


def _spelling(word: str, words: set[str]) -> str | None:
    for spelling in (word.lower(), word):
        if spelling in words:
            return spelling
    return None
