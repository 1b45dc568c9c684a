"""The network from words to words: vectors of words, an encoder, a decoder, and odds of words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from algorithms.seq2seq.convolutional import ConvolutionalDecoder, ConvolutionalEncoder
from algorithms.seq2seq.recurrent import RecurrentDecoder, RecurrentEncoder
from algorithms.seq2seq.vocabulary import BEGIN, PADDING
from algorithms.toolkit.errors import CustomerError

if TYPE_CHECKING:
    from algorithms.seq2seq.attention import Encoded

# The hyperparameters that a network is built from.
SHAPE = (
    "encoder_type",
    "decoder_type",
    "num_embed_source",
    "num_embed_target",
    "num_layers_encoder",
    "num_layers_decoder",
    "max_seq_len_source",
    "max_seq_len_target",
    "embed_dropout_source",
    "embed_dropout_target",
    "rnn_num_hidden",
    "rnn_cell_type",
    "rnn_residual_connections",
    "rnn_first_residual_layer",
    "rnn_attention_type",
    "rnn_attention_num_hidden",
    "rnn_attention_in_upper_layers",
    "rnn_decoder_state_init",
    "rnn_decoder_hidden_dropout",
    "cnn_num_hidden",
    "cnn_activation_type",
    "cnn_kernel_width_encoder",
    "cnn_kernel_width_decoder",
    "cnn_hidden_dropout",
)


class Network(nn.Module):
    """Encoder and decoder of the hyperparameters in SHAPE, for vocabularies of two sizes."""

    def __init__(self, settings: Mapping[str, Any], source: int, target: int) -> None:
        super().__init__()
        self.source = nn.Embedding(source, settings["num_embed_source"])
        self.target = nn.Embedding(target, settings["num_embed_target"])
        self.drop_source = nn.Dropout(settings["embed_dropout_source"])
        self.drop_target = nn.Dropout(settings["embed_dropout_target"])
        self.encoder = _encoder(settings)
        self.decoder = _decoder(settings, self.encoder.width)
        self.odds = nn.Linear(self.decoder.width, target)

    def encode(self, source: Any, lengths: Any) -> Encoded:
        """Read sentences, the rows of a matrix of words."""
        places = torch.arange(source.shape[1], device=source.device)
        mask = places[None] < lengths[:, None]
        found: Encoded = self.encoder(self.drop_source(self.source(source)), mask, lengths)
        return found

    def forward(self, source: Any, lengths: Any, before: Any, wanted: Any) -> Any:
        """The unscaled odds of all words, at each place where a next word is wanted.

        Args:
            source: sentences, the rows of a matrix of words.
            lengths: how many words each has.
            before: what the decoder is told at each place: the word before.
            wanted: at which places of `before` the next word is asked for.
        """
        encoded = self.encode(source, lengths)
        embedded = self.drop_target(self.target(before))
        return self.odds(self.decoder(embedded, encoded)[wanted])

    def next(
        self, words: Any, state: list[Any], encoded: Encoded, prepared: Any
    ) -> tuple[Any, list[Any], Any]:
        """The logarithms of the odds of the next words, the state, and the shares of attention."""
        found, state, shares = self.decoder.step(self.target(words), state, encoded, prepared)
        odds = self.odds(found).log_softmax(dim=1)
        # Neither is ever written.
        odds[:, [PADDING, BEGIN]] = -math.inf
        return odds, state, shares


def _residual(settings: Mapping[str, Any]) -> int | None:
    if not settings["rnn_residual_connections"]:
        return None
    first = int(settings["rnn_first_residual_layer"])
    hidden = settings["rnn_num_hidden"]
    for side, name in (("encoder", "num_embed_source"), ("decoder", "num_embed_target")):
        if first == 1 and settings[f"{side}_type"] == "rnn" and settings[name] != hidden:
            raise CustomerError(
                f"rnn_first_residual_layer 1 adds the vectors of words to what the first layer "
                f"gives, so {name} must be rnn_num_hidden, {hidden}, and not {settings[name]}; set "
                "it, or begin with layer 2"
            )
    return first


def _encoder(settings: Mapping[str, Any]) -> Any:
    embedded, layers = settings["num_embed_source"], settings["num_layers_encoder"]
    if settings["encoder_type"] == "rnn":
        return RecurrentEncoder(
            embedded,
            settings["rnn_num_hidden"],
            layers,
            settings["rnn_cell_type"],
            _residual(settings),
        )
    return ConvolutionalEncoder(
        embedded,
        settings["cnn_num_hidden"],
        layers,
        width=settings["cnn_kernel_width_encoder"],
        activation=settings["cnn_activation_type"],
        dropout=settings["cnn_hidden_dropout"],
        longest=settings["max_seq_len_source"],
    )


def _decoder(settings: Mapping[str, Any], encoded: int) -> Any:
    embedded, layers = settings["num_embed_target"], settings["num_layers_decoder"]
    if settings["decoder_type"] == "rnn":
        return RecurrentDecoder(
            embedded,
            encoded,
            settings["rnn_num_hidden"],
            layers,
            settings["rnn_cell_type"],
            _residual(settings),
            attention=(settings["rnn_attention_type"], settings["rnn_attention_num_hidden"]),
            upper=settings["rnn_attention_in_upper_layers"] and layers > 1,
            begin=settings["rnn_decoder_state_init"],
            dropout=settings["rnn_decoder_hidden_dropout"],
        )
    return ConvolutionalDecoder(
        embedded,
        encoded,
        settings["cnn_num_hidden"],
        layers,
        width=settings["cnn_kernel_width_decoder"],
        activation=settings["cnn_activation_type"],
        dropout=settings["cnn_hidden_dropout"],
        longest=settings["max_seq_len_target"] + 1,
    )


def begin_weights(network: Network, kind: str, scale: float, factor: str) -> None:
    """Draw the weights to begin with, as MXNet's initializers do; biases are zero.

    Args:
        network: gets them.
        kind: uniform in [-scale, scale], or xavier.
        scale: of uniform its end, of xavier the square of this by the size of a layer's side.
        factor: which side of a layer xavier counts: in, out, or avg of both.

    Raises:
        CustomerError: xavier cannot have such a scale.
    """
    if kind == "xavier" and scale <= 0:
        raise CustomerError(
            f"weight_init_scale is {scale}; with weight_init_type xavier it must be above 0"
        )
    for name, weights in network.named_parameters():
        if weights.dim() < 2:
            nn.init.zeros_(weights)
            # A forget gate that is open at first lets an LSTM remember: Jozefowicz et al. 2015.
            if "bias_ih" in name and weights.shape[0] == 4 * _hidden(network, name):
                quarter = weights.shape[0] // 4
                nn.init.ones_(weights[quarter : 2 * quarter])
            continue
        end = abs(scale)
        if kind == "xavier":
            field = math.prod(weights.shape[2:])
            sides = {"in": weights.shape[1] * field, "out": weights.shape[0] * field}
            size = sides[factor] if factor in sides else sum(sides.values()) / 2
            end = math.sqrt(scale / size)
        nn.init.uniform_(weights, -end, end)


def _hidden(network: Network, bias: str) -> int:
    """The width of the recurrent layer to which a bias belongs."""
    matrix = network.get_parameter(bias.replace("bias_ih", "weight_hh"))
    return int(matrix.shape[1])
