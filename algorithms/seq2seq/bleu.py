"""BLEU of written sentences against those that were wanted.

K. Papineni et al., BLEU, 2002; orders that nothing matches are smoothed as in sacrebleu ("exp").
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

_ORDERS = 4


def bleu(written: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]) -> float:
    """The score of a corpus, from 0 to 1; words are given by their numbers."""
    matches, totals = [0] * _ORDERS, [0] * _ORDERS
    for one, other in zip(written, wanted, strict=True):
        for order in range(1, _ORDERS + 1):
            own, asked = _grams(one, order), _grams(other, order)
            matches[order - 1] += (own & asked).total()
            totals[order - 1] += own.total()
    length, reference = sum(map(len, written)), sum(map(len, wanted))
    if not matches[0]:
        return 0.0
    logs, smoothing = 0.0, 1.0
    for match, total in zip(matches, totals, strict=True):
        if not total:
            # No sentence has as many words.
            return 0.0
        if not match:
            smoothing *= 2
        logs += math.log((match or 1 / smoothing) / total)
    brevity = min(0.0, 1 - reference / length)
    return math.exp(logs / _ORDERS + brevity)


def _grams(words: Sequence[int], order: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))
