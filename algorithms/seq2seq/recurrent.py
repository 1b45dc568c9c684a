"""The recurrent encoder and decoder of Bahdanau et al. 2015, as Sockeye builds them.

F. Hieber et al., Sockeye: A Toolkit for Neural Machine Translation, 2017, section 3.1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import rnn

from algorithms.seq2seq.attention import Attention, Encoded

_LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU}
_CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}


class RecurrentEncoder(nn.Module):
    """A layer that reads in both directions, and others on it that read forwards.

    Args:
        embedded: the width of the words' vectors.
        hidden: the width of what each layer gives; half of it reads backwards in the first.
        layers: how many there are.
        cell: lstm or gru.
        residual: the first layer, counted from 1, that adds to what it gets; None for none.
    """

    def __init__(
        self, embedded: int, hidden: int, layers: int, cell: str, residual: int | None
    ) -> None:
        super().__init__()
        kind = _LAYERS[cell]
        self.width = hidden
        self._residual = residual
        self.first = kind(embedded, hidden // 2, batch_first=True, bidirectional=True)
        self.upper = nn.ModuleList(kind(hidden, hidden, batch_first=True) for _ in range(1, layers))

    def forward(self, embedded: Any, mask: Any, lengths: Any) -> Encoded:
        """Read sentences."""
        packed = rnn.pack_padded_sequence(
            embedded, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        found, state = self.first(packed)
        states = self._unpacked(found, embedded)
        # Both directions' ends: at the last word of the one, at the first of the other.
        hidden = state[0] if isinstance(state, tuple) else state
        last = torch.cat([hidden[0], hidden[1]], dim=1)
        if self._residual == 1:
            states = states + embedded
        for number, layer in enumerate(self.upper, 2):
            packed = rnn.pack_padded_sequence(
                states, lengths.cpu(), batch_first=True, enforce_sorted=False
            )
            upper = self._unpacked(layer(packed)[0], embedded)
            adds = self._residual is not None and number >= self._residual
            states = states + upper if adds else upper
            last = states[torch.arange(len(states), device=states.device), lengths - 1]
        return Encoded(states, mask, last, lengths)

    def _unpacked(self, packed: Any, like: Any) -> Any:
        return rnn.pad_packed_sequence(packed, batch_first=True, total_length=like.shape[1])[0]


class RecurrentDecoder(nn.Module):
    """Writes a word at a time, from the word before, its own state and the attention.

    Args:
        embedded: the width of the words' vectors.
        encoded: the width of the encoder's states.
        hidden: the width of each layer's state.
        layers: how many there are.
        cell: lstm or gru.
        residual: the first layer, counted from 1, that adds to what it gets; None for none.
        attention: one of Attention's kinds, with its width.
        upper: whether the layers above the first get what the attention gives; then the first
            one asks it, and otherwise the last.
        begin: what the state starts from: the last vector of a sentence, avg of all, or zero.
        dropout: the share of what the state and the attention give that is zeroed in training.
    """

    def __init__(
        self,
        embedded: int,
        encoded: int,
        hidden: int,
        layers: int,
        cell: str,
        residual: int | None,
        *,
        attention: tuple[str, int],
        upper: bool,
        begin: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width = hidden
        self._embedded = embedded
        self._residual = residual
        self._upper = upper
        self._begin = begin
        self._parts = 2 if cell == "lstm" else 1
        kind = _CELLS[cell]
        above = hidden + (encoded if upper else 0)
        self.cells = nn.ModuleList(
            kind(above if number else embedded + hidden, hidden) for number in range(layers)
        )
        self.attention = Attention(attention[0], hidden, encoded, attention[1])
        self.dropout = nn.Dropout(dropout)
        self.combine = nn.Linear(hidden + encoded, hidden)
        if begin != "zero":
            self.begin = nn.ModuleList(
                nn.Linear(encoded, hidden) for _ in range(layers * self._parts)
            )

    def start(self, encoded: Encoded) -> list[Any]:
        """The state before the first word: what was combined, and each layer's state."""
        count = len(self.cells) * self._parts
        nothing = encoded.states.new_zeros(len(encoded.states), self.width)
        if self._begin == "zero":
            return [nothing] * (1 + count)
        vector = encoded.last
        if self._begin == "avg":
            mask = encoded.mask[..., None].to(encoded.states.dtype)
            vector = (encoded.states * mask).sum(dim=1) / encoded.lengths[:, None]
        return [nothing, *(torch.tanh(layer(vector)) for layer in self.begin)]

    def prepare(self, encoded: Encoded) -> Any:
        """What of a sentence is needed for each word and stays the same."""
        return self.attention.keys(encoded)

    def step(
        self, embedded: Any, state: list[Any], encoded: Encoded, keys: Any
    ) -> tuple[Any, list[Any], Any]:
        """What tells the next word, the state after it, and the shares of attention."""
        combined, *states = state
        after: list[Any] = []
        found = torch.cat([embedded, combined], dim=1)
        context = shares = None
        for number, cell in enumerate(self.cells):
            below = embedded if number == 0 else found
            if number and self._upper:
                found = torch.cat([found, context], dim=1)
            own = states[number * self._parts : (number + 1) * self._parts]
            new = cell(found, (own[0], own[1])) if self._parts == 2 else (cell(found, own[0]),)
            after += new
            found = new[0]
            if self._residual is not None and number + 1 >= self._residual:
                found = found + below
            if number == 0 and self._upper:
                context, shares = self.attention(found, encoded, keys)
        if context is None:
            context, shares = self.attention(found, encoded, keys)
        combined = torch.tanh(self.combine(self.dropout(torch.cat([found, context], dim=1))))
        return combined, [combined, *after], shares

    def forward(self, embedded: Any, encoded: Encoded) -> Any:
        """What tells each next word, for all words of sentences at once."""
        keys, state, found = self.prepare(encoded), self.start(encoded), []
        for place in range(embedded.shape[1]):
            combined, state, _ = self.step(embedded[:, place], state, encoded, keys)
            found.append(combined)
        return torch.stack(found, dim=1)
