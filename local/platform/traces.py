"""Output of programs as a person is shown it: the errors without the frames that lead to them."""

import errno
import os
from collections.abc import Iterable

_BEGIN = "Traceback (most recent call last):"
_FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))


def condensed(lines: Iterable[str]) -> list[str]:
    """The lines without Python's traces; the exception at the end of each stays."""
    kept, inside = [], False
    for line in lines:
        if line.strip().endswith(_BEGIN):
            inside = True
        elif inside and (not line.strip() or line[:1].isspace()):
            continue
        else:
            inside = False
            kept.append(line)
    return kept


def says_full(text: str) -> bool:
    """Whether a program failed because nothing more can be written."""
    return any(words in text for words in _FULL)
