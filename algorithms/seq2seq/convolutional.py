"""The convolutional encoder and decoder of Gehring et al. 2017."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from algorithms.seq2seq.attention import Encoded, weights

# Keeps the variance of a sum of two what it was of each.
_HALF = 0.5**0.5
_ACTIVATIONS = {
    "glu": functional.glu,
    "relu": functional.relu,
    "softrelu": functional.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


class _Layer(nn.Module):
    """A convolution over the words of a sentence, and its activation."""

    def __init__(self, hidden: int, width: int, activation: str) -> None:
        super().__init__()
        self._activation = _ACTIVATIONS[activation]
        # A gated linear unit takes twice of what it gives.
        self.convolution = nn.Conv1d(hidden, hidden * (2 if activation == "glu" else 1), width)

    def forward(self, found: Any) -> Any:
        """Shorter by the convolution's width less one."""
        made = self.convolution(found.transpose(1, 2)).transpose(1, 2)
        return self._activation(made)


class _Placed(nn.Module):
    """Vectors of words that also tell the place of each, in the width of the layers."""

    def __init__(self, embedded: int, hidden: int, longest: int) -> None:
        super().__init__()
        self.places = nn.Embedding(longest, embedded)
        self.project = nn.Linear(embedded, hidden)

    def forward(self, embedded: Any, first: int = 0) -> Any:
        places = torch.arange(first, first + embedded.shape[1], device=embedded.device)
        return self.project(embedded + self.places(places))


class ConvolutionalEncoder(nn.Module):
    """Layers of convolutions, each of which sees a word and its neighbours and adds to it.

    Args:
        embedded: the width of the words' vectors.
        hidden: the width of each layer.
        layers: how many there are.
        width: how many words a convolution sees.
        activation: one of the hyperparameter cnn_activation_type.
        dropout: the share of what each layer gets that is zeroed in training.
        longest: how many words a sentence may have.
    """

    def __init__(
        self,
        embedded: int,
        hidden: int,
        layers: int,
        *,
        width: int,
        activation: str,
        dropout: float,
        longest: int,
    ) -> None:
        super().__init__()
        self.width = hidden
        self._around = ((width - 1) // 2, width // 2)
        self.placed = _Placed(embedded, hidden, longest)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(_Layer(hidden, width, activation) for _ in range(layers))

    def forward(self, embedded: Any, mask: Any, lengths: Any) -> Encoded:
        """Read sentences."""
        words = mask[..., None].to(embedded.dtype)
        found = self.placed(embedded) * words
        for layer in self.layers:
            seen = functional.pad(self.dropout(found), (0, 0, *self._around))
            found = (found + layer(seen)) * _HALF * words
        last = found[torch.arange(len(found), device=found.device), lengths - 1]
        return Encoded(found, mask, last, lengths)


class ConvolutionalDecoder(nn.Module):
    """Layers of convolutions over the words written so far, each with an attention of its own.

    Args:
        embedded: the width of the words' vectors.
        encoded: the width of the encoder's states.
        hidden: the width of each layer.
        layers: how many there are.
        width: how many words a convolution sees.
        activation: one of the hyperparameter cnn_activation_type.
        dropout: the share of what each layer gets that is zeroed in training.
        longest: how many words a sentence may have, with the sign of its beginning.
    """

    def __init__(
        self,
        embedded: int,
        encoded: int,
        hidden: int,
        layers: int,
        *,
        width: int,
        activation: str,
        dropout: float,
        longest: int,
    ) -> None:
        super().__init__()
        self.width = hidden
        self._before = width - 1
        self.placed = _Placed(embedded, hidden, longest)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(_Layer(hidden, width, activation) for _ in range(layers))
        self.queries = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.values = nn.Linear(encoded, hidden)

    def start(self, encoded: Encoded) -> list[Any]:
        """What each layer has seen before the first word, and how many words there are: nothing."""
        rows = len(encoded.states)
        nothing = encoded.states.new_zeros(rows, self._before, self.width)
        places = torch.zeros(rows, dtype=torch.long, device=encoded.states.device)
        return [*([nothing] * len(self.layers)), places]

    def prepare(self, encoded: Encoded) -> Any:
        """What of a sentence is needed for each word and stays the same."""
        return self.values(encoded.states)

    def step(
        self, embedded: Any, state: list[Any], encoded: Encoded, values: Any
    ) -> tuple[Any, list[Any], Any]:
        """What tells the next word, the state after it, and the shares of attention."""
        *seen, places = state
        # All candidates of a search are equally long.
        words = self.placed(embedded[:, None], int(places[0]))
        found, after, shares = self._layers(words, seen, encoded, values)
        return found[:, 0], [*after, places + 1], shares[:, 0]

    def forward(self, embedded: Any, encoded: Encoded) -> Any:
        """What tells each next word, for all words of sentences at once."""
        *seen, _ = self.start(encoded)
        return self._layers(self.placed(embedded), seen, encoded, self.prepare(encoded))[0]

    def _layers(
        self, words: Any, seen: list[Any], encoded: Encoded, values: Any
    ) -> tuple[Any, list[Any], Any]:
        found, after, total = words, [], 0.0
        for layer, query, before in zip(self.layers, self.queries, seen, strict=True):
            window = torch.cat([before, self.dropout(found)], dim=1)
            after.append(window[:, window.shape[1] - self._before :])
            made = layer(window)
            asked = (query(made) + words) * _HALF
            scores = torch.einsum("bth,bsh->bts", asked, values)
            shares = weights(scores, encoded.mask[:, None])
            total = total + shares
            made = (made + torch.einsum("bts,bsh->bth", shares, values)) * _HALF
            found = (found + made) * _HALF
        return found, after, total / len(self.layers)
