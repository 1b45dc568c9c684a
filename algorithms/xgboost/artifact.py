"""The files of models and checkpoints, in the library's own UBJ format.

Models that AWS's older images left are read, too: the library's former binary format (up to 1.7),
and pickles (up to 1.2), of which only the bytes of the model are taken.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import sniffing
from algorithms.xgboost import pickles
from algorithms.xgboost.library import first_lines, library

MODEL_FILE = "xgboost-model"
CHECKPOINT_FILE = "xgboost-checkpoint"
KEPT_CHECKPOINTS = 5


def save(booster: Any, path: Path) -> None:
    """Write a model whole or not at all: a reader or a kill may come at any moment."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(booster.save_raw("ubj"))
    temporary.replace(path)


def read(path: Path) -> Any:
    """A model in a format of the library's own; anything else is refused unread.

    Raises:
        CustomerError: It is none, or the library cannot load it.
    """
    body, rounds = path.read_bytes(), None
    if pickles.is_pickle(body):
        found = pickles.contents(body, path.name)
        body, rounds = found.model, found.rounds
    # UBJ and JSON both begin with a brace.
    if not (body.startswith(b"{") or is_former(body)):
        raise CustomerError(
            f"{path.name} is not a model in a format of XGBoost (UBJ, JSON, or the binary format "
            f"of releases before 2.0){sniffing.hint(body, 'a model')}. {pickles.CONVERSION}"
        )
    try:
        booster = _loaded(body)
        if rounds is not None and _has_rounds(booster) and rounds < booster.num_boosted_rounds():
            booster = booster[:rounds]
    except library().core.XGBoostError as error:
        raise CustomerError(f"{path.name} cannot be loaded: {first_lines(error)}") from None
    return booster


def _loaded(body: bytes) -> Any:
    booster_class = library().Booster
    # A pickle's model may be a snapshot of the memory: with its configuration beside it.
    if body.startswith(_SNAPSHOT) or body.find(b"Config", 0, 32) > 0:
        booster = booster_class.__new__(booster_class)
        booster.__setstate__({"handle": bytearray(body)})
        return booster
    booster = booster_class()
    booster.load_model(bytearray(body))
    return booster


def _has_rounds(booster: Any) -> bool:
    learner = json.loads(booster.save_config())["learner"]
    return bool(learner["gradient_booster"]["name"] != "gblinear")


_SNAPSHOT = b"CONFIG-offset:"
_MARK = b"binf"
# Numbers of the model, of which most were kept free; behind them the names of the objective and
# of the kind of booster, each after its length.
_FORMER_HEAD = 136
_LENGTH = struct.Struct("<Q")
_KINDS = {b"gbtree", b"gblinear", b"dart"}


def is_former(body: bytes) -> bool:
    """Whether a body is of the binary format that the library wrote before UBJ.

    The library trusts the lengths that such a file holds, so that nothing else must reach it.
    """
    if body.startswith(_SNAPSHOT):
        body = body[len(_SNAPSHOT) + _LENGTH.size :]
    body = body.removeprefix(_MARK)
    place = _FORMER_HEAD
    names = []
    for _ in range(2):
        if len(body) < place + _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack_from(body, place)
        place += _LENGTH.size
        if not 0 < length <= 64:
            return False
        names.append(body[place : place + length])
        place += length
    return names[1] in _KINDS and re.fullmatch(rb"[a-z:_0-9]+", names[0]) is not None


def last_checkpoint(folder: Path | None) -> tuple[int, Any]:
    """The round to go on with, and the model so far; (0, None) without a checkpoint."""
    found = []
    for path in folder.glob(f"{CHECKPOINT_FILE}.*") if folder else ():
        if match := re.fullmatch(rf"{CHECKPOINT_FILE}\.(\d+)", path.name):
            found.append((int(match[1]), path))
    if not found:
        return 0, None
    number, path = max(found)
    return number + 1, read(path)
