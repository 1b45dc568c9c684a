"""The artifact of Object Detection, and how it answers images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import torch

from algorithms.object_detection import augmentation
from algorithms.object_detection.network import Detector
from algorithms.toolkit import content, deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.images import pixels
from algorithms.toolkit.images.training import stacked

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Request

MODEL_FILE = "object-detection-model.safetensors"
FORMAT = "sagemaker-platform/object-detection"
FORMAT_VERSION = 1
# What a network is made of, and how it answers.
_SETTINGS = ("base_network", "num_classes", "image_shape", "nms_threshold")


def write(path: Path, module: Any, settings: Mapping[str, Any]) -> None:
    """Write a network with the hyperparameters that it goes by."""
    told = {name: settings[name] for name in _SETTINGS}
    deep.save(path, FORMAT, FORMAT_VERSION, module.state_dict(), told)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights of a network, and the hyperparameters that it goes by."""
    return deep.load(path, FORMAT, FORMAT_VERSION, "Object Detection")


class Model:
    """A network that tells the objects of one image a request."""

    accepts: tuple[str, ...] = pixels.CONTENT_TYPES
    answers: tuple[str, ...] = (content.JSON, content.JSON_LINES)
    slow = True

    def __init__(self, tensors: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self._side = int(settings["image_shape"])
        self._nms_threshold = float(settings["nms_threshold"])
        module = Detector(settings["base_network"], int(settings["num_classes"]), self._side)
        try:
            module.load_state_dict(dict(tensors))
        except RuntimeError as error:
            raise CustomerError(f"{MODEL_FILE} does not hold its network: {error}") from None
        module.to(deep.device(), memory_format=torch.channels_last)
        self._module = module.eval()

    def respond(self, request: Request) -> bytes:
        """The objects of the image, the surest first.

        Boxes are in shares of the image's width and height; with `annotation=1` they are in pixels,
        in the form of the JSON files of training.
        """
        image = pixels.loaded(request.body, "payload")
        with torch.inference_mode():
            batch = stacked([augmentation.plain(image, self._side)], self._module.anchors.device)
            rows = self._module.detect(batch, self._nms_threshold)[0].cpu().tolist()
        if request.accept.parameters.get("annotation") == "1":
            answer = annotation(rows, image.width, image.height)
        else:
            answer = {"prediction": rows}
        end = b"\n" if request.accept.name == content.JSON_LINES else b""
        return orjson.dumps(answer) + end


def annotation(rows: list[list[float]], width: int, height: int) -> dict[str, Any]:
    """Detections in pixels, as the annotation of an image."""
    found = []
    for kind, score, *box in rows:
        left, right = (round(x * width) for x in box[::2])
        top, bottom = (round(y * height) for y in box[1::2])
        found.append(
            {
                "class_id": int(kind),
                "score": score,
                "left": left,
                "top": top,
                "width": right - left,
                "height": bottom - top,
            }
        )
    return {
        "image_size": [{"width": width, "height": height, "depth": 3}],
        "annotations": found,
    }


def load(folder: Path) -> Model:
    """The network that `train` left."""
    return Model(*read(folder / MODEL_FILE))
