"""libsvm text: `label[:weight] [qid:group] index:value ...`, indices counted from 0."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from algorithms.toolkit import content
from algorithms.toolkit.formats import sniffing
from algorithms.toolkit.formats.table import FormatError, Table
from algorithms.toolkit.formats.text import unmarked

_PAIRS = re.compile(rb"(?:[0-9]+:[-+.0-9eE]+ )*")
_HEADS = re.compile(rb"(?:[-+.0-9eE]+ )*")
_OWN = content.LIBSVM
_SPACE = re.compile(r"[ \t]+")


def read(body: bytes, name: str, *, labelled: bool = True) -> Table:
    """The records of a libsvm text as a sparse table, as wide as its largest index.

    Args:
        body: the text.
        name: the file or payload, for error messages.
        labelled: whether each line must begin with a label; otherwise it may.

    Raises:
        FormatError: It is no such text; names line and pair, and what it seems to be.
    """
    body = unmarked(body, name)
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    parsed = _fast(body, labelled=labelled)
    if parsed is None:
        parsed = _slow(body, name, labelled=labelled)
    indptr, indices, values, labels, weights, groups = parsed
    if len(indptr) == 1:
        raise FormatError(f"{name} is empty")
    if not labelled and not len(indices):
        raise FormatError(f"{name}: no line has an index:value{sniffing.hint(body, _OWN)}")

    from scipy.sparse import csr_matrix

    width = int(indices.max()) + 1 if len(indices) else 1
    features = csr_matrix((values, indices, indptr), shape=(len(indptr) - 1, width))
    return Table(
        features,
        np.array(labels, dtype=np.float32) if labels else None,
        np.array(weights, dtype=np.float32) if weights else None,
        np.array(groups, dtype=np.int64) if groups else None,
        ((name, len(indptr) - 1),),
    )


def _fast(body: bytes, *, labelled: bool) -> Any:
    """Whole-text parsing of the usual case: a plain label, then pairs; None for any other."""
    import orjson

    if b"\v" in body or b"\f" in body:
        # bytes.split would take them for spaces.
        return None
    heads: list[bytes] = []
    tails: list[bytes] = []
    counts = [0]
    for line in body.split(b"\n"):
        tokens = line.split()
        if not tokens:
            continue
        if b":" not in tokens[0]:
            heads.append(tokens.pop(0))
        elif labelled:
            return None
        counts.append(len(tokens))
        tails.extend(tokens)
    if heads and len(heads) != len(counts) - 1:
        return None
    joined = b" ".join(tails) + b" " if tails else b""
    if _PAIRS.fullmatch(joined) is None or _HEADS.fullmatch(b" ".join([*heads, b""])) is None:
        return None
    try:
        numbers = np.array(
            orjson.loads(b"[" + joined[:-1].replace(b":", b",").replace(b" ", b",") + b"]"),
            dtype=np.float64,
        )
        labels = np.array(orjson.loads(b"[" + b",".join(heads) + b"]"), dtype=np.float64)
    except ValueError:
        return None
    pairs = numbers.reshape(-1, 2)
    indices = pairs[:, 0].astype(np.int64)
    with np.errstate(over="ignore"):
        values = pairs[:, 1].astype(np.float32)
        labels = labels.astype(np.float32)
    if not (np.isfinite(values).all() and np.isfinite(labels).all()) or np.any(indices >= 2**31):
        return None
    starts = np.cumsum(counts)
    if _repeats(indices, starts):
        return None
    return starts, indices, values, labels.tolist(), [], []


def _repeats(indices: Any, starts: Any) -> bool:
    """Whether a row has an index twice."""
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    # Most files have the indices of a row in their order.
    if len(indices) < 2 or ((np.diff(indices) > 0) | (np.diff(rows) > 0)).all():
        return False
    order = np.lexsort((indices, rows))
    return bool(((np.diff(indices[order]) == 0) & (np.diff(rows[order]) == 0)).any())


def _slow(body: bytes, name: str, *, labelled: bool) -> Any:
    indptr = [0]
    indices: list[int] = []
    values: list[float] = []
    labels: list[float] = []
    weights: list[float] = []
    groups: list[int] = []
    try:
        lines = body.decode().split("\n")
    except UnicodeDecodeError as error:
        seems = sniffing.hint(body, _OWN) or "; is it really text/libsvm?"
        raise FormatError(f"{name}, byte {error.start}: not UTF-8 text{seems}") from None
    for number, line in enumerate(lines, 1):
        tokens = _SPACE.split(line.split("#", 1)[0].strip(" \t"))
        if tokens == [""]:
            continue
        where = f"{name}, line {number}"
        try:
            if labelled or ":" not in tokens[0]:
                label, colon, weight = tokens.pop(0).partition(":")
                labels.append(_float(label, f"{where}, label"))
                if colon:
                    weights.append(_float(weight, f"{where}, weight"))
            if tokens and tokens[0].startswith("qid:"):
                groups.append(_index(tokens.pop(0)[4:], f"{where}, qid"))
            pairs = _read_pairs(tokens, where)
        except FormatError as error:
            # What a text is shows in its first line; a mistake further down is only one.
            seems = sniffing.hint(body, _OWN) if len(indptr) == 1 else ""
            raise FormatError(f"{error}{seems}") from None
        indices += pairs
        values += pairs.values()
        indptr.append(len(indices))
        for column, what in ((weights, "weight"), (groups, "qid"), (labels, "label")):
            if column and len(column) != len(indptr) - 1:
                raise FormatError(f"{where}: some lines have a {what} and some have none")
    return (
        np.array(indptr),
        np.array(indices, dtype=np.int64),
        np.array(values, dtype=np.float32),
        labels,
        weights,
        groups,
    )


def _read_pairs(tokens: list[str], where: str) -> dict[int, float]:
    """The values of a line by index."""
    found: dict[int, float] = {}
    for position, token in enumerate(tokens, 1):
        text, colon, value = token.partition(":")
        place = f"{where}, pair {position}"
        if not colon:
            raise FormatError(f"{place}: '{_short(token)}' is not index:value")
        index = _index(text, place)
        if index in found:
            raise FormatError(f"{place}: index {index} is there twice")
        found[index] = _float(value, place)
    return found


def _index(text: str, where: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) >= 2**31:
        raise FormatError(f"{where}: '{_short(text)}' is not a whole number from 0 up")
    return int(text)


def _float(text: str, where: str) -> float:
    try:
        # Python also reads 1_000 and digits of other scripts.
        value = float("_" if "_" in text or not text.isascii() else text)
    except ValueError:
        raise FormatError(f"{where}: '{_short(text)}' is not a number") from None
    if not abs(value) <= float(np.finfo(np.float32).max):
        raise FormatError(f"{where}: {text} is not a finite number of 32 bits")
    return value


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
