"""Two encoders, a comparison of what they give, and dense layers to the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

_LAYERS = {"hcnn": 4, "bilstm": 1, "pooled_embedding": 1}
_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "linear": nn.Identity}


@dataclass(frozen=True)
class Side:
    """What an encoder is made of, under the names of its hyperparameters."""

    network: str
    layers: int
    cnn_filter_width: int
    max_seq_len: int
    token_embedding_dim: int
    vocab_size: int

    @classmethod
    def of(cls, settings: Mapping[str, Any], side: str) -> Side:
        """The encoder of a side; the second may have all settings of the first."""
        if side == "enc1" and settings["enc1_network"] == "enc0":
            side = "enc0"
        network, layers = settings[f"{side}_network"], settings[f"{side}_layers"]
        return cls(
            network,
            _LAYERS[network] if layers == "auto" else int(layers),
            int(settings[f"{side}_cnn_filter_width"]),
            int(settings[f"{side}_max_seq_len"]),
            int(settings[f"{side}_token_embedding_dim"]),
            int(settings[f"{side}_vocab_size"]),
        )


@dataclass(frozen=True)
class Shape:
    """What a network is made of."""

    sides: tuple[Side, Side]
    enc_dim: int
    comparators: tuple[str, ...]
    mlp_layers: int
    mlp_dim: int
    mlp_activation: str
    outputs: int
    classifies: bool
    tied: bool

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Shape:
        """What hyperparameters ask for."""
        classifies = settings["output_layer"] == "softmax"
        return cls(
            (Side.of(settings, "enc0"), Side.of(settings, "enc1")),
            int(settings["enc_dim"]),
            tuple(settings["comparator_list"]),
            int(settings["mlp_layers"]),
            int(settings["mlp_dim"]),
            settings["mlp_activation"],
            int(settings["num_classes"]) if classifies else 1,
            classifies,
            bool(settings["tied_token_embedding_weight"]),
        )

    def settings(self) -> dict[str, Any]:
        """It as JSON can hold it."""
        return asdict(self)

    @classmethod
    def restored(cls, found: Mapping[str, Any]) -> Shape:
        """What `settings` gave."""
        first, second = (Side(**each) for each in found["sides"])
        return cls(
            **{**found, "sides": (first, second), "comparators": tuple(found["comparators"])}
        )


class Encoder(nn.Module):
    """From the tokens of sequences to a vector of each."""

    def __init__(self, side: Side, enc_dim: int, table: Any, dropout: float) -> None:
        super().__init__()
        self.table = table
        self._kind = side.network
        self._dim = enc_dim
        self.dropout = nn.Dropout(dropout)
        width = side.token_embedding_dim
        if side.network == "pooled_embedding":
            # One layer makes the mean as long as it is to be; more go deeper.
            sizes = [width] + [enc_dim] * side.layers
            parts: list[Any] = []
            for before, after in pairwise(sizes):
                parts += [nn.Tanh()] if parts else []
                parts.append(nn.Linear(before, after))
            self.projection = nn.Sequential(*parts)
        elif side.network == "bilstm":
            self.lstm = nn.LSTM(
                width,
                (enc_dim + 1) // 2,
                num_layers=side.layers,
                batch_first=True,
                bidirectional=True,
                dropout=dropout if side.layers > 1 else 0.0,
            )
        else:
            # Together the layers give as many numbers as are asked for.
            share, rest = divmod(enc_dim, side.layers)
            filters = [share + (number < rest) for number in range(side.layers)]
            self.convolutions = nn.ModuleList(
                nn.Conv1d(before, after, side.cnn_filter_width, padding="same")
                for before, after in zip([width, *filters], filters, strict=False)
            )
            for convolution in self.convolutions:
                # Else the signal would fade from layer to layer.
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")

    def forward(self, tokens: Any, lengths: Any) -> Any:
        """The vectors of sequences; what is behind their lengths does not count."""
        inside = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        found = self.table(tokens) * inside[:, :, None]
        if self._kind == "pooled_embedding":
            found = self.projection(found.sum(1) / lengths[:, None])
        elif self._kind == "bilstm":
            packed = nn.utils.rnn.pack_padded_sequence(
                found, lengths.cpu(), batch_first=True, enforce_sorted=False
            )
            states, _ = nn.utils.rnn.pad_packed_sequence(
                self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1]
            )
            found = _largest(states.transpose(1, 2), inside)[:, : self._dim]
        else:
            maxima, found = [], found.transpose(1, 2)
            for convolution in self.convolutions:
                found = torch.relu(convolution(found)) * inside[:, None]
                maxima.append(_largest(found, inside))
            found = torch.cat(maxima, dim=1)
        return self.dropout(found)


def _largest(found: Any, inside: Any) -> Any:
    return found.masked_fill(~inside[:, None], -torch.inf).amax(dim=2)


class Network(nn.Module):
    """Both encoders, and what tells how two of their vectors relate."""

    def __init__(self, shape: Shape, *, dropout: float = 0.0, sparse: bool = False) -> None:
        super().__init__()
        self.shape = shape
        tables = [
            nn.Embedding(side.vocab_size, side.token_embedding_dim, sparse=sparse)
            for side in shape.sides[: 1 if shape.tied else 2]
        ]
        for table in tables:
            nn.init.uniform_(table.weight, -0.05, 0.05)
        self.encoders = nn.ModuleList(
            Encoder(side, shape.enc_dim, tables[0 if shape.tied else number], dropout)
            for number, side in enumerate(shape.sides)
        )
        width = shape.enc_dim * sum(2 if each == "concat" else 1 for each in shape.comparators)
        layers: list[Any] = []
        for _ in range(shape.mlp_layers):
            layers += [
                nn.Linear(width, shape.mlp_dim),
                _ACTIVATIONS[shape.mlp_activation](),
                nn.Dropout(dropout),
            ]
            width = shape.mlp_dim
        self.mlp = nn.Sequential(*layers, nn.Linear(width, shape.outputs))

    @property
    def tables(self) -> list[Any]:
        """The tables of token vectors: one, where both sides share it."""
        return list({id(each.table): each.table for each in self.encoders}.values())

    def forward(self, tokens: Sequence[Any], lengths: Sequence[Any]) -> Any:
        """The outputs of pairs: a score for each class, or a number."""
        first, second = (
            encoder(*side)
            for encoder, side in zip(self.encoders, zip(tokens, lengths, strict=True), strict=True)
        )
        compared = {
            "hadamard": lambda: [first * second],
            "concat": lambda: [first, second],
            "abs_diff": lambda: [(first - second).abs()],
        }
        parts = [part for name in self.shape.comparators for part in compared[name]()]
        return self.mlp(torch.cat(parts, dim=1))
