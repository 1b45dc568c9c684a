"""Files that a person names on the command line, read whole and within bounds."""

import json
from pathlib import Path
from typing import Any

from local.platform.errors import PlatformError


def contents(path: Path, limit: int, step: str, remedy: str) -> bytes:
    """The bytes of a file of at most `limit` bytes; a pipe is read to its end.

    Raises:
        PlatformError: It cannot be read, or holds more.
    """
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except OSError as error:
        raise PlatformError(step, f"{path}: {error.strerror}.", remedy) from None
    if len(body) > limit:
        raise PlatformError(step, f"{path} holds more than {limit >> 20} MiB.", remedy)
    return body


def document(body: bytes) -> Any:  # noqa: ANN401 - a JSON document
    """The JSON in a file's bytes, by the standard: without NaN and Infinity.

    Raises:
        ValueError: It is none, with the place and the reason.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8, so it is no text") from None
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no value of JSON")
