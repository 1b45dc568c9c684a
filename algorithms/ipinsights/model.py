"""The artifact of IP Insights, and the answers that it gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from algorithms.ipinsights.network import Network, restored
from algorithms.ipinsights.pairs import Pairs, Reader
from algorithms.toolkit import content, deep
from algorithms.toolkit.algorithm import Request
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_lines, json_of

MODEL_FILE = "ipinsights-model.safetensors"
FORMAT = "sagemaker-platform/ipinsights"
FORMAT_VERSION = 1
_FORMS = '{"features": [...]} or {"data": {"features": {"values": [...]}}}'


def save(folder: Path, network: Network) -> None:
    """Write the parameters of a network."""
    deep.save(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, network.state(), {})


class Model:
    """A trained network, which tells how usual an address is for an entity."""

    accepts: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES)

    def __init__(self, network: Network) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)

    def respond(self, request: Request) -> bytes:
        """A score for each pair, and with `verbose=True` the two vectors that it comes from."""
        import orjson

        verbose = request.accept.parameters.get("verbose", "false")
        if verbose not in {"true", "false"}:
            raise FormatError(f"Accept: verbose={verbose} is not known; True or False is allowed")
        answers = self._answers(_read(request, len(self.network.entities)), verbose == "true")
        if request.accept.name == content.JSON_LINES:
            return b"\n".join(map(orjson.dumps, answers)) + b"\n"
        return orjson.dumps({"predictions": answers})

    def _answers(self, pairs: Pairs, verbose: bool) -> list[dict[str, Any]]:
        entities = self.network.of_entities(torch.from_numpy(pairs.entities))
        addresses = self.network.of_addresses(torch.from_numpy(pairs.addresses))
        scores = (entities * addresses).sum(dim=1)
        answers: list[dict[str, Any]] = [{"dot_product": score} for score in scores.tolist()]
        if verbose:
            vectors = zip(answers, entities.tolist(), addresses.tolist(), strict=True)
            for answer, entity, address in vectors:
                answer.update(entity_embedding=entity, ip_embedding=address)
        return answers


def _read(request: Request, vectors: int) -> Pairs:
    reader, name = Reader(vectors), "payload"
    if request.content_type.name == content.CSV:
        pairs = reader.csv(request.body, name)
        if not len(pairs):
            raise FormatError(f"{name} is empty")
        return pairs
    return reader.rows(_instances(request, name))


def _instances(request: Request, name: str) -> Iterator[tuple[str, list[object]]]:
    if request.content_type.name == content.JSON:
        document = json_of(request.body, name)
        instances = document.get("instances") if isinstance(document, dict) else None
        if not isinstance(instances, list):
            raise FormatError(f'{name}: must be {{"instances": [...]}}, each instance {_FORMS}')
        placed = [(f"{name}, instance {number}", each) for number, each in enumerate(instances, 1)]
    else:
        placed = json_lines(request.body, name)
    if not placed:
        raise FormatError(f"{name} holds no instance")
    for where, instance in placed:
        yield where, _values(instance, where)


def _values(instance: object, where: str) -> list[object]:
    found = instance if isinstance(instance, dict) else {}
    features = found.get("features")
    if features is None and isinstance(found.get("data"), dict):
        features = found["data"].get("features")
    if isinstance(features, dict):
        features = features.get("values")
    if not isinstance(features, list):
        raise FormatError(f"{where}: must be {_FORMS}")
    return features


def load(folder: Path) -> Model:
    """The network that `train` left."""
    tensors, _ = deep.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "IP Insights")
    try:
        return Model(restored(tensors))
    except ValueError as error:
        raise CustomerError(f"{MODEL_FILE} holds no network of IP Insights: {error}") from None
