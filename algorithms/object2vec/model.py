"""The artifact of Object2Vec, and what it answers: how two sequences relate, or a vector of one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from algorithms.object2vec.network import Network, Shape
from algorithms.object2vec.pairs import SIDES, Sequences, Vocabulary, held, tokens
from algorithms.toolkit import content, deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_lines, json_of

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Request

MODEL_FILE = "object2vec-model.safetensors"
FORMAT, FORMAT_VERSION = "sagemaker-platform/object2vec", 1
# One table, where both encoders share it, is written once.
_FIRST_TABLE, _SECOND_TABLE = (f"encoders.{number}.table.weight" for number in (0, 1))
LONGEST = 5000
_INSTANCE = '{"in0": [0, 1], "in1": [1]}'
_INSTANCES = f'{{"instances": [{_INSTANCE}]}}'
_LENGTHS = "infer_max_seqlens"
_MODE, _MODES = "INFERENCE_PREFERRED_MODE", ("classification", "embedding")


def save(path: Path, network: Network) -> None:
    """Write the weights, with what the network is made of."""
    tensors = dict(network.state_dict())
    if network.shape.tied:
        del tensors[_SECOND_TABLE]
    deep.save(path, FORMAT, FORMAT_VERSION, tensors, network.shape.settings())


def load(folder: Path) -> Model:
    """The network that `train` left.

    Raises:
        CustomerError: There is none, or it is not of this format.
    """
    mode = os.environ.get(_MODE, _MODES[0])
    if mode not in _MODES:
        raise CustomerError(f"{_MODE} is {mode!r}; {' or '.join(_MODES)} is allowed")
    found, settings = deep.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "Object2Vec")
    try:
        network = Network(Shape.restored(settings))
        if network.shape.tied:
            found[_SECOND_TABLE] = found[_FIRST_TABLE]
        network.load_state_dict(found)
    except (KeyError, TypeError, RuntimeError) as error:
        raise CustomerError(f"{MODEL_FILE} is not whole: {error}") from None
    return Model(network)


class Model:
    """A network that answers pairs with scores, and single sequences with their vectors."""

    accepts: tuple[str, ...] = (content.JSON, content.JSON_LINES)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES)
    slow = True

    def __init__(self, network: Network) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)

    def respond(self, request: Request) -> bytes:
        """Scores where an instance has both sequences, and the encoding of one that is alone."""
        import orjson

        vocabularies = self._vocabularies(request)
        instances = list(_instances(request))
        sides: list[tuple[int, ...]] = []
        lists: list[list[list[int]]] = []
        for each, where in instances:
            present = tuple(number for number, name in enumerate(SIDES) if name in each)
            if not present or set(each) - set(SIDES):
                raise FormatError(
                    f"{where}: must have in0 and in1, or one of them, and no more, such as "
                    f"{_INSTANCE}"
                )
            sides.append(present)
            lists.append(
                [tokens(each[SIDES[n]], SIDES[n], vocabularies[n], where) for n in present]
            )
        answers: list[dict[str, Any]] = [{} for _ in instances]
        for present in dict.fromkeys(sides):
            rows = [row for row, each in enumerate(sides) if each == present]
            name = "scores" if len(present) == len(SIDES) else "embeddings"
            for row, values in zip(
                rows, self._answered(present, [lists[r] for r in rows]), strict=True
            ):
                answers[row] = {name: values}
        if request.accept.name == content.JSON_LINES:
            return b"\n".join(map(orjson.dumps, answers)) + b"\n"
        return orjson.dumps({"predictions": answers})

    def _vocabularies(self, request: Request) -> list[Vocabulary]:
        longest = [LONGEST, LONGEST]
        text = request.content_type.parameters.get(_LENGTHS)
        if text is not None:
            parts = text.split(",")
            if len(parts) != len(SIDES) or not all(
                part.strip().isdecimal() and 1 <= int(part) <= LONGEST for part in parts
            ):
                raise FormatError(
                    f"{_LENGTHS}={text} must be two lengths from 1 to {LONGEST}, such as 100,100"
                )
            longest = [int(part) for part in parts]
        shapes = self.network.shape.sides
        return [
            Vocabulary(side.vocab_size, most) for side, most in zip(shapes, longest, strict=True)
        ]

    def _answered(
        self, present: tuple[int, ...], rows: Sequence[Sequence[list[int]]]
    ) -> list[list[float]]:
        everything = np.arange(len(rows))
        matrices, lengths = [], []
        for place in range(len(present)):
            found, length = Sequences.of(row[place] for row in rows).padded(everything)
            matrices.append(torch.from_numpy(found))
            lengths.append(torch.from_numpy(length))
        with torch.inference_mode():
            if len(present) == len(SIDES):
                outputs = self.network(matrices, lengths)
                if self.network.shape.classifies:
                    outputs = torch.softmax(outputs, dim=1)
            else:
                outputs = self.network.encoders[present[0]](matrices[0], lengths[0])
        values: list[list[float]] = outputs.tolist()
        return values


def _instances(request: Request) -> Iterator[tuple[dict[str, Any], str]]:
    name = "payload"
    if request.content_type.name == content.JSON:
        document = held(json_of(request.body, name), name, _INSTANCES)
        instances = document.get("instances")
        if not isinstance(instances, list) or not instances:
            raise FormatError(f"{name}: must be {_INSTANCES}")
        for number, each in enumerate(instances, 1):
            where = f"{name}, instance {number}"
            if not isinstance(each, dict):
                raise FormatError(f"{where}: must be an object such as {_INSTANCE}")
            yield each, where
        return
    lines = json_lines(request.body, name)
    if not lines:
        raise FormatError(f"{name} holds no line")
    for where, value in lines:
        yield held(value, where, _INSTANCE), where
