"""The variational auto-encoder: from counts of words to shares of topics, and to odds of words.

After Miao, Grefenstette and Blunsom (2017) and Ding, Nallapati and Xiang (2018), whom AWS names.
The encoder gives mean and variance of a normal distribution for each document; a draw of it,
through a softmax, is the document's share of each topic. A topic is a softmax of its weights over
the words, beside a bias that all topics share: the weights tell which words the topic raises above
their common odds. What is minimised is the negative evidence lower bound: what it takes to tell the
words (reconstruction) and how far the distribution is from the standard one (KLD).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

# The logarithm of no chance is out of bounds.
_LEAST = 1e-10
_ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


@dataclass(frozen=True)
class Shape:
    """What a network is made of; it can be written down and read back."""

    feature_dim: int
    num_topics: int
    encoder_layers: tuple[int, ...]
    activation: str = "sigmoid"
    batch_norm: bool = False

    def settings(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


class Network(nn.Module):
    """Encoder and decoder."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        widths = [shape.feature_dim, *shape.encoder_layers]
        layers: list[Any] = []
        for before, after in pairwise(widths):
            layers.append(nn.Linear(before, after))
            if shape.batch_norm:
                layers.append(nn.BatchNorm1d(after))
            layers.append(_ACTIVATIONS[shape.activation]())
        self.encoder = nn.Sequential(*layers)
        self.mean = nn.Linear(widths[-1], shape.num_topics)
        self.log_variance = nn.Linear(widths[-1], shape.num_topics)
        # One column a topic, as in the artifact of AWS's own container.
        self.projection_weight = nn.Parameter(torch.empty(shape.feature_dim, shape.num_topics))
        self.projection_bias = nn.Parameter(torch.zeros(shape.feature_dim))
        nn.init.xavier_uniform_(self.projection_weight)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def encoded(self, counts: Any) -> tuple[Any, Any]:
        """Mean and logarithm of the variance of each document's distribution."""
        # Logarithms keep a word that a document repeats from drowning out the others.
        hidden = self.encoder(torch.log1p(counts))
        return self.mean(hidden), self.log_variance(hidden)

    def bound(self, counts: Any, noise: Any) -> tuple[Any, Any]:
        """Reconstruction and KLD of each document, in nats, for a draw from its distribution."""
        mean, log_variance = self.encoded(counts)
        shares = torch.softmax(mean + noise * torch.exp(0.5 * log_variance), dim=1)
        chances = shares @ self.topics()
        reconstruction = -(counts * torch.log(chances + _LEAST)).sum(dim=1)
        kld = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(dim=1)
        return reconstruction, kld

    def topics(self) -> Any:
        """The odds of the words in each topic, one row a topic."""
        return torch.softmax(self.projection_weight + self.projection_bias[:, None], dim=0).T

    def topic_weights(self, counts: Any) -> Any:
        """The share of each topic in each document."""
        return torch.softmax(self.encoded(counts)[0], dim=1)


def layers(value: Sequence[int] | str, num_topics: int) -> tuple[int, ...]:
    """The widths of the encoder's layers; `auto` stands for three and two times the topics."""
    if isinstance(value, str):
        return 3 * num_topics, 2 * num_topics
    return tuple(value)
