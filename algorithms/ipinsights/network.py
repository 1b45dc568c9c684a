"""The network of IP Insights: a vector for each entity and each address, compared by dot product.

After "How IP Insights works" of AWS's guide: an entity is hashed to one of a fixed number of
vectors; an address goes through an encoder that makes use of the structure of its prefixes. AWS
does not publish that encoder. This one has a vector for each prefix of some lengths, hashed where
there are too many of that length, and the vector of an address is the sum over its prefixes, passed
through fully connected layers: so addresses of one network are alike, even those never seen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from algorithms.toolkit import compiler

if TYPE_CHECKING:
    from collections.abc import Mapping

# A network owns blocks of these sizes, and a home or an office is somewhere inside.
PREFIXES = (8, 12, 16, 20, 24, 28, 32)
# At least and at most so many vectors (as powers of two) for the prefixes of one length.
_FEWEST, _MOST = 14, 18
# An odd number near 2 ** 32 over the golden ratio spreads neighbours over the vectors (Knuth).
_SPREAD = 2654435761


def prefix_bits(vectors: int) -> int:
    """How many vectors, as a power of two, prefixes of one length have at the most.

    As many as there are for entities, within bounds: who has many of those has many networks.
    """
    return min(max(math.ceil(math.log2(vectors)), _FEWEST), _MOST)


def parameters(vectors: int, dimension: int) -> int:
    """How many numbers a model has, but for its layers."""
    return dimension * (vectors + _starts(prefix_bits(vectors))[-1])


def _starts(bits: int) -> list[int]:
    """Where the vectors of each length begin, and where the last ones end."""
    found = [0]
    for length in PREFIXES:
        found.append(found[-1] + (1 << min(length, bits)))
    return found


class Encoder(nn.Module):
    """The layers through which the sum of the vectors of prefixes goes."""

    def __init__(self, layers: int, dimension: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(dimension, dimension) for _ in range(layers))
        self.offset = nn.Parameter(torch.zeros(dimension))

    def forward(self, found: Any) -> Any:
        """The vectors of addresses."""
        for layer in self.layers:
            # Each layer adds its share, so that a hundred of them can be trained, too.
            found = found + torch.relu(layer(found)) / len(self.layers)
        return found + self.offset


class Network(nn.Module):
    """Vectors of entities and prefixes, and the encoder of addresses."""

    def __init__(self, vectors: int, dimension: int, layers: int) -> None:
        super().__init__()
        self._bits = prefix_bits(vectors)
        self._starts = _starts(self._bits)
        self.entities = nn.Parameter(torch.randn(vectors, dimension) / math.sqrt(dimension))
        # A prefix that was never seen says nothing.
        self.prefixes = nn.Parameter(torch.zeros(self._starts[-1], dimension))
        self.encoder = Encoder(layers, dimension)

    @property
    def tables(self) -> tuple[Any, Any]:
        """The parameters of which a batch needs a few rows."""
        return self.entities, self.prefixes

    def of_entities(self, entities: Any) -> Any:
        """The vectors of entities."""
        return functional.embedding(entities, self.entities, sparse=True)

    def of_addresses(self, addresses: Any) -> Any:
        """The vectors of addresses."""
        rows = [
            self._start_of(length, start, addresses >> (32 - length))
            for length, start in zip(PREFIXES, self._starts, strict=False)
        ]
        found = functional.embedding_bag(
            torch.stack(rows, dim=1), self.prefixes, mode="sum", sparse=True
        )
        return self.encoder(found)

    def _start_of(self, length: int, start: int, prefixes: Any) -> Any:
        if length > self._bits:
            prefixes = ((prefixes * (_SPREAD + 2 * length)) & 0xFFFFFFFF) >> (32 - self._bits)
        return prefixes + start

    def state(self) -> dict[str, Any]:
        """All parameters by name."""
        return dict(self.state_dict())


def restored(tensors: Mapping[str, Any]) -> Network:
    """The network whose parameters these are.

    Raises:
        ValueError: They are those of none.
    """
    try:
        vectors, dimension = tensors["entities"].shape
        layers = sum(name.startswith("encoder.layers.") for name in tensors) // 2
        # Made without memory of its own, whatever sizes the tensors claim.
        with torch.device("meta"), compiler.absent():
            network = Network(vectors, dimension, layers)
        network.load_state_dict(dict(tensors), assign=True)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(str(error)) from None
    for name, tensor in network.state().items():
        if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} is not all finite numbers of 32 bits")
    return network
