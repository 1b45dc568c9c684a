"""The files of models and checkpoints, in the library's own UBJ format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from algorithms.toolkit.errors import CustomerError
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
    """A model of the library's own format; anything else is refused unread."""
    body = path.read_bytes()
    # UBJ and JSON both begin with a brace; a pickle or an old binary does not.
    if not body.startswith(b"{"):
        raise CustomerError(
            f"{path.name} is not a model in XGBoost's UBJ or JSON format. "
            "Load it with the release that wrote it, and store it with Booster.save_model"
        )
    booster = library().Booster()
    try:
        booster.load_model(bytearray(body))
    except library().core.XGBoostError as error:
        raise CustomerError(f"{path.name} cannot be loaded: {first_lines(error)}") from None
    return booster


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
