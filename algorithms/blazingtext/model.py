"""Serving: vectors of words, or the likeliest labels of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from algorithms.blazingtext import engine
from algorithms.toolkit import content
from algorithms.toolkit.algorithm import Request
from algorithms.toolkit.content import ContentType, negotiate
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_lines, json_of

_INSTANCES, _LINE = '{"instances": ["some words"]}', '{"source": "some words"}'
_FILES = ("model.bin", "vectors.bin", "model.ftz")


def read(folder: Path) -> TextModel:
    """The model that `train` left, or one that fastText itself made.

    Raises:
        CustomerError: There is none, or it is no binary file of fastText.
    """
    for name in _FILES:
        if (folder / name).is_file():
            return TextModel(engine.load(folder / name))
    found = ", ".join(sorted(path.name for path in folder.glob("*"))) or "nothing"
    raise CustomerError(f"the model has neither {' nor '.join(_FILES[:2])}; it holds {found}")


class TextModel:
    """A model of fastText that reads requests itself."""

    accepts: tuple[str, ...] = (content.JSON, content.JSON_LINES)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES)

    def __init__(self, model: engine.Trained) -> None:
        self._model = model

    def answer_type(self, kind: ContentType, accept: str | None) -> ContentType | None:
        """JSON Lines are answered by such, as AWS's container does, whatever Accept says."""
        if kind.name == content.JSON_LINES:
            return ContentType(content.JSON_LINES)
        return negotiate(accept, self.answers)

    def respond(self, request: Request) -> bytes:
        """One object for each instance: the vector of a word, or labels with probabilities."""
        lines = request.content_type.name == content.JSON_LINES
        asked = _lines(request.body) if lines else self._instances(request.body)
        if self._model.supervised:
            found = [self._labels(text, k, where, lines=lines) for text, k, where in asked]
        else:
            found = [self._vector(word, k, where) for word, k, where in asked]
        option = orjson.OPT_SERIALIZE_NUMPY
        if request.accept.name == content.JSON:
            return orjson.dumps(found, option=option)
        return b"".join(orjson.dumps(each, option=option) + b"\n" for each in found)

    def _instances(self, body: bytes) -> list[tuple[str, Any, str]]:
        document = json_of(body, "payload")
        instances = document.get("instances") if isinstance(document, dict) else None
        if not isinstance(instances, list) or not instances:
            raise FormatError(f"payload: must be {_INSTANCES} with at least one text")
        settings = document.get("configuration", {})
        if not isinstance(settings, dict):
            # Vectors of words are given as they are.
            example = ' such as {"k": 1}' if self._model.supervised else ""
            raise FormatError(f"payload: configuration must be an object{example}")
        return [
            (_text(one, where), settings.get("k"), where)
            for number, one in enumerate(instances, 1)
            for where in (f"payload, instance {number}",)
        ]

    def _labels(self, text: str, k: Any, where: str, *, lines: bool) -> dict[str, Any]:
        k = 1 if k is None else k
        if type(k) is not int or k < 1:
            raise FormatError(f"{where}: k is {k!r}; it must be an integer of at least 1")
        # The library takes one line.
        found = self._model.predict(text.replace("\n", " "), k)
        chances = np.minimum(np.array([one for one, _ in found], dtype=np.float32), 1)
        labels = [label for _, label in found]
        # The one form has them in this order, the other in that.
        return {"prob": chances, "label": labels} if lines else {"label": labels, "prob": chances}

    def _vector(self, word: str, k: Any, where: str) -> dict[str, Any]:
        if k is not None:
            raise FormatError(f"{where}: k is for labels, and this model gives vectors of words")
        vector = np.ascontiguousarray(self._model.vector(word), dtype=np.float32)
        return {"vector": vector, "word": word}


def _lines(body: bytes) -> list[tuple[str, Any, str]]:
    found = []
    for where, document in json_lines(body, "payload"):
        if not isinstance(document, dict) or "source" not in document:
            raise FormatError(f"{where}: must be an object such as {_LINE}")
        found.append((_text(document["source"], where), document.get("k"), where))
    if not found:
        raise FormatError("payload: holds no line")
    return found


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise FormatError(f"{where}: {value!r} is not a text"[:200])
    return value
