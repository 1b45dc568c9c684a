"""What hyperparameters must be together, and which of them have nothing to act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from algorithms.toolkit.errors import CustomerError


def check(settings: Mapping[str, Any]) -> None:
    """Refuse settings that contradict one another.

    Raises:
        CustomerError: says which.
    """
    least, most = settings["min_num_epochs"], settings.get("max_num_epochs")
    if most is not None and least > most:
        raise CustomerError(
            f"min_num_epochs is {least} and max_num_epochs {most}: lower the one or raise the other"
        )
    if settings["max_num_batches"] == 0:
        raise CustomerError("max_num_batches is 0; it must be at least 1, or -1 for no limit")


def idle(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The hyperparameters that have nothing to act on, each with the reason."""
    for side in ("encoder", "decoder"):
        if settings[f"{side}_type"] == "rnn":
            yield f"cnn_kernel_width_{side}", f"{side}_type is rnn"
    if settings["decoder_type"] == "cnn":
        yield from ((name, "decoder_type is cnn") for name in _OF_A_RECURRENT_DECODER)
    for kind, names in _OF_A_KIND.items():
        if kind not in (settings["encoder_type"], settings["decoder_type"]):
            yield from ((name, f"neither encoder nor decoder is {kind}") for name in names)
    for name, other, values in _ONLY_WITH:
        if settings[other] not in values:
            yield name, f"{other} is {str(settings[other]).lower()}"
    if settings["num_layers_decoder"] == 1:
        yield "rnn_attention_in_upper_layers", "num_layers_decoder is 1"


_OF_A_RECURRENT_DECODER = (
    "rnn_attention_in_upper_layers",
    "rnn_attention_num_hidden",
    "rnn_attention_type",
    "rnn_decoder_hidden_dropout",
    "rnn_decoder_state_init",
)
_OF_A_KIND = {
    "rnn": (
        "rnn_cell_type",
        "rnn_num_hidden",
        "rnn_residual_connections",
        "rnn_first_residual_layer",
    ),
    "cnn": ("cnn_activation_type", "cnn_hidden_dropout", "cnn_num_hidden"),
}
_ONLY_WITH: tuple[tuple[str, str, tuple[object, ...]], ...] = (
    ("bucket_width", "bucketing_enabled", (True,)),
    ("fixed_rate_lr_half_life", "lr_scheduler_type", ("fixed_rate_inv_t", "fixed_rate_inv_sqrt_t")),
    ("plateau_reduce_lr_factor", "lr_scheduler_type", ("plateau_reduce",)),
    ("plateau_reduce_lr_threshold", "lr_scheduler_type", ("plateau_reduce",)),
    ("rnn_attention_num_hidden", "rnn_attention_type", ("mlp", "dot")),
    ("rnn_first_residual_layer", "rnn_residual_connections", (True,)),
    ("xavier_factor_type", "weight_init_type", ("xavier",)),
)
