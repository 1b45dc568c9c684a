"""How a decoder looks at the sentence that it is to write anew."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn


class Encoded(NamedTuple):
    """What an encoder makes of sentences: a vector for each word."""

    states: Any
    mask: Any
    """True where there is a word, and not padding."""

    last: Any
    """One vector for each sentence: that of its end."""

    lengths: Any

    def repeated(self, times: int) -> Encoded:
        """Each sentence so many times, one after another."""
        return Encoded(*(each.repeat_interleave(times, dim=0) for each in self))


def weights(scores: Any, mask: Any) -> Any:
    """Shares of attention that sum to one over the words of each sentence."""
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)


class Attention(nn.Module):
    """Scores the words of a sentence for the state of a recurrent decoder.

    Args:
        kind: mlp is that of Bahdanau et al. 2015; dot and bilinear are those of Luong et al. 2015;
            fixed looks at the end of the sentence alone.
        query: the width of the decoder's state.
        key: the width of the encoder's.
        hidden: the width in which mlp and dot compare them.
    """

    def __init__(self, kind: str, query: int, key: int, hidden: int) -> None:
        super().__init__()
        self._kind = kind
        if kind == "mlp":
            self.query = nn.Linear(query, hidden, bias=False)
            self.key = nn.Linear(key, hidden)
            self.score = nn.Linear(hidden, 1, bias=False)
        elif kind == "dot":
            same = query == key == hidden
            self.query = nn.Identity() if same else nn.Linear(query, hidden, bias=False)
            self.key = nn.Identity() if same else nn.Linear(key, hidden, bias=False)
        elif kind == "bilinear":
            self.query, self.key = nn.Identity(), nn.Linear(key, query, bias=False)

    def keys(self, encoded: Encoded) -> Any:
        """What does not change from word to word that is written."""
        return encoded.states if self._kind == "fixed" else self.key(encoded.states)

    def forward(self, query: Any, encoded: Encoded, keys: Any) -> tuple[Any, Any]:
        """The vector that the sentence gives for a state, and the share of each of its words."""
        if self._kind == "fixed":
            shares = torch.zeros_like(encoded.states[..., 0])
            return encoded.last, shares.scatter(1, encoded.lengths[:, None] - 1, 1.0)
        if self._kind == "mlp":
            scores = self.score(torch.tanh(keys + self.query(query)[:, None]))[..., 0]
        else:
            scores = torch.einsum("bsk,bk->bs", keys, self.query(query))
        shares = weights(scores, encoded.mask)
        return torch.einsum("bs,bsh->bh", shares, encoded.states), shares
