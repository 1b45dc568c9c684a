"""Token vectors that were learnt elsewhere, out of the channel `auxiliary`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.sniffing import MARK
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_of

if TYPE_CHECKING:
    from pathlib import Path

    from algorithms.toolkit.job import Channel, Job

CHANNEL = "auxiliary"


def pretrained(
    job: Job, side: str, size: int, dimension: int
) -> dict[int, npt.NDArray[np.float32]] | None:
    """The vectors of tokens that the files of a side hold, by token number; None without a file.

    Raises:
        CustomerError: A file is not there, or one is given without the other.
        FormatError: A file does not hold what it should, with the line.
    """
    settings = job.hyperparameters
    names = {
        kind: settings.get(f"{side}_{kind}") or ""
        for kind in ("pretrained_embedding_file", "vocab_file")
    }
    if not any(names.values()):
        return None
    for kind, name in names.items():
        if not name:
            raise CustomerError(
                f"{side}_{kind} is not set; pretrained vectors need the file of vectors and the "
                "file that gives each of its words a number"
            )
    channel = job.channels.get(CHANNEL)
    if channel is None:
        raise CustomerError(
            f"Missing required channel: {CHANNEL}, which holds {' and '.join(names.values())}"
        )
    numbers = _numbers(_file(channel, names["vocab_file"]), channel, size)
    path = _file(channel, names["pretrained_embedding_file"])
    found: dict[int, npt.NDArray[np.float32]] = {}
    with path.open("rb") as file:
        for count, body in enumerate(file, 1):
            where = f"{channel.title(path)}, line {count}"
            try:
                # Words may hold what else is white space to Python, such as U+00A0.
                text = body.removeprefix(MARK).decode().strip(" \t\r\n")
                word, *values = re.split(r"[ \t]+", text)
            except UnicodeDecodeError:
                seems = sniffing.hint(body, "text/plain") if count == 1 else ""
                raise FormatError(f"{where}: not a word and its numbers{seems}") from None
            if count == 1 and len(values) == 1:
                # word2vec's text begins with how many words and numbers there are.
                continue
            if word not in numbers:
                continue
            try:
                vector = np.array(values, dtype=np.float64).astype(np.float32)
            except ValueError:
                raise FormatError(f"{where}: not a word and its numbers") from None
            if len(vector) != dimension or not np.isfinite(vector).all():
                raise FormatError(
                    f"{where}: {len(vector)} numbers; {side}_token_embedding_dim is {dimension}, "
                    "and all must be finite"
                )
            found[numbers[word]] = vector
    if not found:
        raise CustomerError(f"{channel.title(path)} has none of the words of {names['vocab_file']}")
    return found


def _file(channel: Channel, name: str) -> Path:
    files = {path.name: path for path in channel.files()}
    if name not in files:
        raise CustomerError(
            f"Channel {channel.name} has no file {name}; it holds {', '.join(files)}"
        )
    return files[name]


def _numbers(path: Path, channel: Channel, size: int) -> dict[str, int]:
    where = channel.title(path)
    found: Any = json_of(path.read_bytes(), where, unique=True)
    if not isinstance(found, dict):
        raise FormatError(f"{where}: must be an object with the number of each word")
    for word, number in found.items():
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < size:
            raise FormatError(
                f"{where}: the number of {word!r} is {number!r}; with this vocab_size it is a "
                f"whole number from 0 to {size - 1}"
            )
    return found
