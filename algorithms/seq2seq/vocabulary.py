"""The words of a language and their numbers, as the `vocab` channel gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_of

SOURCE_FILE, TARGET_FILE = "vocab.src.json", "vocab.trg.json"
PADDING, UNKNOWN, BEGIN, END = range(4)
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")


class Vocabulary:
    """The words of one language, each with its number from 0 on."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self._numbers = {word: number for number, word in enumerate(words)}

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def read(cls, path: Path, title: str) -> Vocabulary:
        """Read a JSON object from words to numbers.

        Raises:
            FormatError: It is none, lacks a special word, or its numbers have gaps.
        """
        found = json_of(path.read_bytes(), title, unique=True)
        if not isinstance(found, dict):
            raise FormatError(f"{title}: must be a JSON object from words to numbers")
        for number, word in enumerate(_SPECIAL):
            if type(found.get(word)) is not int or found[word] != number:
                raise FormatError(
                    f"{title}: {word} is {found.get(word, 'missing')}; it must be {number}. The "
                    "first words are "
                    + ", ".join(f"{each}: {place}" for place, each in enumerate(_SPECIAL))
                )
        words: dict[int, str] = {}
        for word, number in found.items():
            if type(number) is not int or not 0 <= number < len(found) or number in words:
                raise FormatError(
                    f"{title}: the number of {word!r} is {number!r}; {len(found)} words have the "
                    f"numbers from 0 to {len(found) - 1}, each once"
                )
            words[number] = word
        return cls([words[number] for number in range(len(words))])

    def write(self, path: Path) -> None:
        """Write what `read` reads."""
        path.write_bytes(orjson.dumps(self._numbers))

    def numbers(self, text: str) -> list[int]:
        """The numbers of the words of a text, which white space parts."""
        return [self._numbers.get(word, UNKNOWN) for word in text.split()]

    def text(self, numbers: Iterable[int]) -> str:
        """Words by their numbers, parted by single spaces."""
        return " ".join(self.words[number] for number in numbers)
