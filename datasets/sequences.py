"""Sentences whose counterparts follow a rule: reversed letters, and numbers in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
# fmt: off
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)
# fmt: on
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

Pair = tuple[str, str]


@dataclass(frozen=True)
class Languages:
    """Pairs of sentences, words parted by spaces, with the vocabulary of each side."""

    pairs: Sequence[Pair]
    source: Sequence[str]
    target: Sequence[str]

    def numbers(self, pairs: Iterable[Pair]) -> list[tuple[list[int], list[int]]]:
        """Pairs as the numbers of their words, as they lie in a channel."""
        sides = [{word: n for n, word in enumerate(each)} for each in (self.source, self.target)]
        return [
            (
                [sides[0].get(word, 1) for word in source.split()],
                [sides[1].get(word, 1) for word in target.split()],
            )
            for source, target in pairs
        ]

    def vocabularies(self) -> dict[str, bytes]:
        """The files of the channel `vocab`."""
        return {
            f"vocab.{name}.json": orjson.dumps({word: n for n, word in enumerate(words)})
            for name, words in (("src", self.source), ("trg", self.target))
        }


def languages(pairs: Sequence[Pair], least: int = 1) -> Languages:
    """Pairs, and the words that occur at least so often on each side, frequent ones first."""
    sides = []
    for side in (0, 1):
        counts = Counter(word for pair in pairs for word in pair[side].split())
        words = sorted(counts, key=lambda word: (-counts[word], word))
        sides.append([*SPECIAL, *(word for word in words if counts[word] >= least)])
    return Languages(pairs, *sides)


def reversal(count: int, *, words: int = 20, longest: int = 8, seed: int = 0) -> Languages:
    """Random sentences of up to `longest` of these words, each to be written backwards."""
    random = np.random.default_rng(seed)
    pairs = []
    for length in random.integers(2, longest + 1, size=count).tolist():
        sentence = [f"w{word}" for word in random.integers(words, size=length)]
        pairs.append((" ".join(sentence), " ".join(reversed(sentence))))
    return languages(pairs)


def spoken(number: int) -> str:
    """A number below a million, as it is spoken."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")
    size, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    high, low = divmod(number, size)
    return f"{spoken(high)} {name}" + (f" {spoken(low)}" if low else "")


def numbers(count: int, *, below: int = 100_000, seed: int = 0) -> Languages:
    """Different numbers, the digits of each to be written in words."""
    found = np.random.default_rng(seed).choice(below, size=count, replace=False)
    return languages([(" ".join(str(number)), spoken(number)) for number in found.tolist()])
