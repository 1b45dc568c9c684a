"""The artifact of Image Classification, and how it answers images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import torch

from algorithms.image_classification import augmentation
from algorithms.image_classification.network import Classifier
from algorithms.toolkit import content, deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.images import pixels
from algorithms.toolkit.images.training import stacked

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Request

MODEL_FILE = "image-classification-model.safetensors"
FORMAT = "sagemaker-platform/image-classification"
FORMAT_VERSION = 1
# What a network is made of, and how it answers.
_SETTINGS = ("num_layers", "image_shape", "num_classes", "multi_label")


def network(settings: Mapping[str, Any]) -> Classifier:
    """The network that hyperparameters ask for."""
    return Classifier(
        int(settings["num_layers"]), settings["image_shape"], int(settings["num_classes"])
    )


def write(path: Path, module: Any, settings: Mapping[str, Any]) -> None:
    """Write a network with the hyperparameters that it goes by."""
    told = {name: settings[name] for name in _SETTINGS}
    deep.save(path, FORMAT, FORMAT_VERSION, module.state_dict(), told)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights of a network, and the hyperparameters that it goes by."""
    return deep.load(path, FORMAT, FORMAT_VERSION, "Image Classification")


def probabilities(scores: Any, *, several: bool) -> Any:
    """What the scores of classes mean: each by itself where there are several labels."""
    return torch.sigmoid(scores) if several else torch.softmax(scores, dim=1)


class Model:
    """A network that tells the class of one image a request."""

    accepts: tuple[str, ...] = pixels.CONTENT_TYPES
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES)
    slow = True

    def __init__(self, tensors: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self._shape = [int(length) for length in settings["image_shape"]]
        self._several = settings["multi_label"] == 1
        module = network(settings)
        try:
            module.load_state_dict(dict(tensors))
        except RuntimeError as error:
            raise CustomerError(f"{MODEL_FILE} does not hold its network: {error}") from None
        self._device = deep.device()
        self._module = module.to(self._device, memory_format=torch.channels_last).eval()

    def respond(self, request: Request) -> bytes:
        """The probability of each class: a bare list, or an object on a line of its own."""
        image = pixels.loaded(request.body, "payload", augmentation.mode(self._shape))
        with torch.inference_mode():
            batch = stacked([augmentation.squeezed(image, self._shape)], self._device)
            found = probabilities(self._module(batch), several=self._several)[0].tolist()
        if request.accept.name == content.JSON_LINES:
            return orjson.dumps({"prediction": found}) + b"\n"
        return orjson.dumps(found)


def load(folder: Path) -> Model:
    """The network that `train` left."""
    return Model(*read(folder / MODEL_FILE))
