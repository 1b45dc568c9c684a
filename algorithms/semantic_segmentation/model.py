"""The artifact of Semantic Segmentation, and how it answers images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from algorithms.semantic_segmentation import views
from algorithms.semantic_segmentation.network import Segmenter
from algorithms.toolkit import content, deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.recordio import frame
from algorithms.toolkit.images import pixels
from algorithms.toolkit.images.training import stacked

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Request

MODEL_FILE = "semantic-segmentation-model.safetensors"
FORMAT = "sagemaker-platform/semantic-segmentation"
FORMAT_VERSION = 1
# What a network is made of, and at what size it sees images.
SETTINGS = ("algorithm", "backbone", "num_classes", "crop_size", "base_size")
PROTOBUF = "application/x-protobuf"
# An answer of probabilities has a number for each pixel and class.
MOST_NUMBERS = 2**26


def write(path: Path, module: Any, settings: Mapping[str, Any]) -> None:
    """Write a network with the hyperparameters that it goes by."""
    told = {name: settings[name] for name in SETTINGS}
    deep.save(path, FORMAT, FORMAT_VERSION, module.state_dict(), told)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights of a network, and the hyperparameters that it goes by."""
    return deep.load(path, FORMAT, FORMAT_VERSION, "Semantic Segmentation")


def enlarged(scores: Any, size: tuple[int, int]) -> Any:
    """Scores by image, class, row and column at another height and width."""
    return functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)


class Model:
    """A network that tells the class of each pixel of one image a request."""

    accepts: tuple[str, ...] = (pixels.JPEG, pixels.ANY, pixels.PNG)
    answers: tuple[str, ...] = (pixels.PNG, content.RECORDIO, PROTOBUF)
    slow = True

    def __init__(self, tensors: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self._base_size, self._classes = int(settings["base_size"]), int(settings["num_classes"])
        module = Segmenter(settings["algorithm"], settings["backbone"], self._classes)
        try:
            module.load_state_dict(dict(tensors))
        except RuntimeError as error:
            raise CustomerError(f"{MODEL_FILE} does not hold its network: {error}") from None
        module.to(deep.device(), memory_format=torch.channels_last)
        self._module = module.eval()

    def respond(self, request: Request) -> bytes:
        """A mask of the image's size; or the probabilities of the classes, in a framed Record."""
        image = pixels.loaded(request.body, "payload")
        size = (image.height, image.width)
        numbers = self._classes * size[0] * size[1]
        if request.accept.name != pixels.PNG and numbers > MOST_NUMBERS:
            raise CustomerError(
                f"the probabilities of {self._classes} classes for {size[1]} x {size[0]} pixels are"
                f" {numbers} numbers, and {MOST_NUMBERS} are allowed; ask for {pixels.PNG}, or "
                "send a smaller image"
            )
        small, _ = views.scaled(image, None, self._base_size)
        with torch.inference_mode():
            batch = stacked([pixels.array(small)], self._module.mean.device)
            scores = self._module.scores(batch)
            if request.accept.name == pixels.PNG:
                return pixels.encoded(likeliest(scores, size))
            return _record(enlarged(scores, size).softmax(dim=1).cpu().numpy())


def likeliest(scores: Any, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The class of each pixel; memory does not grow with the number of classes."""
    best = enlarged(scores[:, :1], size)[0, 0]
    found = torch.zeros(size, dtype=torch.uint8, device=scores.device)
    for kind in range(1, scores.shape[1]):
        own = enlarged(scores[:, kind : kind + 1], size)[0, 0]
        better = own > best
        found[better] = kind
        best = torch.maximum(best, own)
    return np.asarray(found.cpu().numpy())


def _record(values: npt.NDArray[np.float32]) -> bytes:
    """Probabilities by image, class, row and column, with their shape."""
    record = record_class()()
    record.features["target"].float32_tensor.values.extend(values.ravel().tolist())
    record.features["shape"].int32_tensor.values.extend(values.shape)
    return frame(record.SerializeToString())


def load(folder: Path) -> Model:
    """The network that `train` left."""
    return Model(*read(folder / MODEL_FILE))
