"""libsvm text: `label[:weight] [qid:group] index:value ...`, indices counted from 0."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from algorithms.toolkit.formats.table import FormatError, Table

_PAIRS = re.compile(rb"(?:[0-9]+:[-+.0-9eE]+ )*")


def read(body: bytes, name: str, *, labelled: bool = True) -> Table:
    """The records of a libsvm text as a sparse table, as wide as its largest index.

    Args:
        body: the text.
        name: the file or payload, for error messages.
        labelled: whether each line must begin with a label; otherwise it may.
    """
    parsed = _fast(body, labelled=labelled)
    if parsed is None:
        parsed = _slow(body, name, labelled=labelled)
    indptr, indices, values, labels, weights, groups = parsed
    if len(indptr) == 1:
        raise FormatError(f"{name} is empty")

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
    if _PAIRS.fullmatch(joined) is None:
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
    return np.cumsum(counts), indices, values, labels.tolist(), [], []


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
        raise FormatError(
            f"{name}, byte {error.start}: not UTF-8 text; is it really text/libsvm?"
        ) from None
    for number, line in enumerate(lines, 1):
        tokens = line.split("#", 1)[0].split()
        if not tokens:
            continue
        where = f"{name}, line {number}"
        if labelled or ":" not in tokens[0]:
            label, colon, weight = tokens.pop(0).partition(":")
            labels.append(_float(label, f"{where}, label"))
            if colon:
                weights.append(_float(weight, f"{where}, weight"))
        if tokens and tokens[0].startswith("qid:"):
            groups.append(_index(tokens.pop(0)[4:], f"{where}, qid"))
        for position, token in enumerate(tokens, 1):
            index, colon, value = token.partition(":")
            place = f"{where}, pair {position}"
            if not colon:
                raise FormatError(f"{place}: '{token}' is not index:value")
            indices.append(_index(index, place))
            values.append(_float(value, place))
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


def _index(text: str, where: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise FormatError(f"{where}: '{text}' is not a whole number from 0 up")
    return int(text)


def _float(text: str, where: str) -> float:
    try:
        value = float("_" if "_" in text else text)
    except ValueError:
        raise FormatError(f"{where}: '{text}' is not a number") from None
    if not abs(value) <= float(np.finfo(np.float32).max):
        raise FormatError(f"{where}: {text} is not a finite number of 32 bits")
    return value
