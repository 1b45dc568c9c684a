"""The artifact, and serving: the share of each topic in a document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from algorithms.ntm.network import Network, Shape
from algorithms.toolkit import content, deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Answers
    from algorithms.toolkit.formats.table import Table

MODEL_FILE = "ntm-model.safetensors"
FORMAT, FORMAT_VERSION = "sagemaker-platform/ntm", 1


def save(folder: Path, network: Network) -> None:
    """Write the weights, with what the network is made of."""
    tensors = network.state_dict()
    deep.save(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, tensors, network.shape.settings())


def read(folder: Path) -> Model:
    """The model that `save` wrote.

    Raises:
        CustomerError: There is none, or it is not of this format.
    """
    tensors, settings = deep.load(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "Neural Topic Model")
    try:
        settings["encoder_layers"] = tuple(settings["encoder_layers"])
        network = Network(Shape(**settings))
        network.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise CustomerError(f"{MODEL_FILE} is not whole: {error}") from None
    return Model(network)


class Model:
    """Topics, of which documents are told the shares."""

    accepts: tuple[str, ...] = (content.CSV, content.JSON, content.JSON_LINES, content.RECORDIO)
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES, content.CSV, content.RECORDIO)

    def __init__(self, network: Network) -> None:
        self.network = network.eval()
        self.width = network.shape.feature_dim

    def predict(self, table: Table) -> Answers:
        """The share of each topic in each document."""
        counts = table.dense()
        if (counts < 0).any():
            row, column = (int(places[0]) for places in (counts < 0).nonzero())
            raise FormatError(
                f"record {row + 1}, feature {column}: {counts[row, column]} is no count of a word"
            )
        with torch.no_grad():
            weights: Any = self.network.topic_weights(torch.tensor(counts))
        return [{"topic_weights": row} for row in weights.tolist()]

    def csv(self, answers: Answers, *, batch: bool) -> str:
        """One line a document, its shares parted by commas."""
        return "\n".join(",".join(map(repr, a["topic_weights"])) for a in answers) + "\n"
