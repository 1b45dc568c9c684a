"""SSD's network: a base that finds features, smaller and smaller maps, and what each answers.

Layers have the names of MXNet's example, on which AWS's algorithm is built: freeze_layer_pattern is
about these.
"""

from __future__ import annotations

import copy
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from algorithms.object_detection import boxes
from algorithms.toolkit import compiler
from algorithms.toolkit.images import convolution
from algorithms.toolkit.images.vision import resnet

# Of ImageNet's images, with which base networks were learnt elsewhere.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
_KINDS = ("weight", "bias")
_VGG_WEIGHT = re.compile(r"features\.\d+\.weight")
_VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
# Filters of the maps that follow those of the base.
_EXTRAS = {"vgg-16": (512, 256, 256, 256, 256), "resnet-50": (512, 256, 256, 128, 128)}


class Vgg16(nn.Module):
    """VGG-16 whose last layers are convolutions with holes; answers maps of stride 8 and 16."""

    channels = (512, 1024)

    def __init__(self) -> None:
        super().__init__()
        before = 3
        for group, (filters, count) in enumerate(_VGG, 1):
            for number in range(1, count + 1):
                self.add_module(f"conv{group}_{number}", nn.Conv2d(before, filters, 3, padding=1))
                before = filters
        self.fc6 = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        self.relu4_3_scale = nn.Parameter(torch.full((1, 512, 1, 1), 20.0))

    def forward(self, images: Any) -> list[Any]:
        """The maps of images."""
        found, maps = images, []
        for group, (_, count) in enumerate(_VGG, 1):
            for number in range(1, count + 1):
                found = functional.relu(getattr(self, f"conv{group}_{number}")(found))
            if group == 4:
                # Much larger than the others' values, unless it is normalised.
                maps.append(functional.normalize(found, dim=1) * self.relu4_3_scale)
            if group < 5:
                found = functional.max_pool2d(found, 2, ceil_mode=True)
        found = functional.max_pool2d(found, 3, stride=1, padding=1)
        found = functional.relu(self.fc7(functional.relu(self.fc6(found))))
        return [*maps, found]

    def begin_with(self, tensors: Mapping[str, Any]) -> None:
        """Take the weights of torchvision's VGG-16, thinned out where this one has holes."""
        convolutions = sorted(
            (name.removesuffix(".weight") for name in tensors if _VGG_WEIGHT.fullmatch(name)),
            key=lambda name: int(name.rpartition(".")[2]),
        )
        own = (
            f"conv{group}_{number}"
            for group, (_, count) in enumerate(_VGG, 1)
            for number in range(1, count + 1)
        )
        found = {"relu4_3_scale": self.relu4_3_scale.detach()}
        for mine, theirs in zip(own, convolutions, strict=True):
            found |= {f"{mine}.{kind}": tensors[f"{theirs}.{kind}"] for kind in _KINDS}
        dense = tensors["classifier.0.weight"].view(4096, 512, 7, 7)
        found["fc6.weight"] = dense[::4, :, ::3, ::3]
        found["fc7.weight"] = tensors["classifier.3.weight"][::4, ::4, None, None]
        found["fc6.bias"] = tensors["classifier.0.bias"][::4]
        found["fc7.bias"] = tensors["classifier.3.bias"][::4]
        self.load_state_dict(found)


class Resnet50(nn.Module):
    """ResNet-50 without its classifier; answers maps of stride 16 and 32."""

    channels = (1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        whole = resnet.resnet50(weights=None)
        self.conv0, self.bn0 = whole.conv1, whole.bn1
        for number in range(1, 5):
            units = getattr(whole, f"layer{number}")
            self.add_module(
                f"stage{number}",
                nn.Sequential(
                    OrderedDict((f"unit{place}", unit) for place, unit in enumerate(units, 1))
                ),
            )

    def forward(self, images: Any) -> list[Any]:
        """The maps of images."""
        found = functional.relu(self.bn0(self.conv0(images)))
        found = self.stage2(self.stage1(functional.max_pool2d(found, 3, stride=2, padding=1)))
        middle = self.stage3(found)
        return [middle, self.stage4(middle)]

    def begin_with(self, tensors: Mapping[str, Any]) -> None:
        """Take the weights of torchvision's ResNet-50."""
        found = {}
        for name, tensor in tensors.items():
            if not name.startswith("fc."):
                own = re.sub(r"^(conv|bn)1\.", r"\g<1>0.", name)
                own = re.sub(
                    r"^layer(\d)\.(\d)\.",
                    lambda place: f"stage{place[1]}.unit{int(place[2]) + 1}.",
                    own,
                )
                found[own] = tensor
        self.load_state_dict(found)


class Detector(nn.Module):
    """The whole network: for each default box the classes' scores and the box's offsets.

    Args:
        base_network: vgg-16 or resnet-50.
        num_classes: without the background.
        image_shape: the side of the images, in pixels.
    """

    def __init__(self, base_network: str, num_classes: int, image_shape: int) -> None:
        super().__init__()
        self.num_classes, self.image_shape = num_classes, image_shape
        self.base: Any = Vgg16() if base_network == "vgg-16" else Resnet50()
        self.extras = nn.ModuleList()
        channels = list(self.base.channels)
        ratios = boxes.ratios(image_shape)
        for number in range(2, len(ratios)):
            filters = _EXTRAS[base_network][number - 2]
            layers = OrderedDict(
                conv_1x1_conv=nn.Conv2d(channels[-1], filters // 2, 1),
                conv_1x1_relu=nn.ReLU(),
                conv_3x3_conv=nn.Conv2d(filters // 2, filters, 3, stride=2, padding=1),
                conv_3x3_relu=nn.ReLU(),
            )
            self.extras.append(nn.Sequential(layers))
            channels.append(filters)
        self.kinds, self.places = nn.ModuleList(), nn.ModuleList()
        for width, shapes in zip(channels, ratios, strict=True):
            count = len(shapes) + 1
            self.kinds.append(nn.Conv2d(width, count * (num_classes + 1), 3, padding=1))
            self.places.append(nn.Conv2d(width, count * 4, 3, padding=1))
        self.apply(_begin)
        for module in self.modules():
            if isinstance(module, resnet.Bottleneck):
                # At first each block passes on what it gets, which makes deep networks learn
                # sooner (Goyal et al., 2017).
                nn.init.zeros_(module.bn3.weight)
        for head in (*self.kinds, *self.places):
            # Before anything is learnt, boxes are the default ones, and all classes as likely.
            nn.init.normal_(head.weight, std=0.001)
        convolution.guard(self)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        self.register_buffer("anchors", self._anchors(), persistent=False)

    def forward(self, images: Any) -> tuple[Any, Any]:
        """Scores and offsets of images of the network's shape, their pixels from 0 to 255."""
        maps = self._maps((images / 255 - self.mean) / self.deviation)
        scores, offsets = [], []
        for found, kind, place in zip(maps, self.kinds, self.places, strict=True):
            scores.append(_by_box(kind(found), self.num_classes + 1))
            offsets.append(_by_box(place(found), 4))
        return torch.cat(scores, dim=1).float(), torch.cat(offsets, dim=1).float()

    def detect(self, images: Any, nms_threshold: float) -> list[Any]:
        """What is seen in each image: rows of class, score and box, the surest first."""
        scores, offsets = self(images)
        found = boxes.decoded(offsets, self.anchors)
        return [
            boxes.detections(score.softmax(dim=1), box, nms_threshold)
            for score, box in zip(scores, found, strict=True)
        ]

    def begin_with(self, tensors: Mapping[str, Any]) -> None:
        """Take the weights of an earlier network, as far as they fit this one's image_shape."""
        own = self.state_dict()
        fitting = {
            name: tensor
            for name, tensor in tensors.items()
            if name in own and own[name].shape == tensor.shape
        }
        self.load_state_dict({**own, **fitting})

    def layers(self) -> list[str]:
        """The names that freeze_layer_pattern is matched with."""
        return [layer(name) for name, _ in self.named_parameters()]

    def freeze(self, pattern: str | None) -> list[str]:
        """Keep the weights of the layers whose names match, and tell their names."""
        if not pattern:
            return []
        frozen = []
        for name, parameter in self.named_parameters():
            title = layer(name)
            if re.match(pattern, title):
                parameter.requires_grad_(requires_grad=False)
                frozen.append(title)
        return frozen

    def _maps(self, images: Any) -> Sequence[Any]:
        maps = self.base(images)
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return list(maps)

    @torch.no_grad()
    def _anchors(self) -> Any:
        # On the meta device layers tell the shapes of their outputs, and compute nothing.
        base, *extras = (
            copy.deepcopy(module).eval().to("meta") for module in (self.base, *self.extras)
        )
        with compiler.absent():
            maps = base(torch.empty(1, 3, self.image_shape, self.image_shape, device="meta"))
            for extra in extras:
                maps.append(extra(maps[-1]))
        return boxes.anchors(self.image_shape, [each.shape[-1] for each in maps])


def layer(parameter: str) -> str:
    """The name of a parameter in MXNet's example, as conv1_1_weight or stage1_unit1_conv1_weight.

    Args:
        parameter: its name in this network.
    """
    name = parameter.removeprefix("base.")
    name = re.sub(r"^extras\.(\d+)\.", lambda found: f"multi_feat_{int(found[1]) + 2}_", name)
    name = re.sub(r"^kinds\.(\d+)\.", r"map\1_cls_pred_conv_", name)
    name = re.sub(r"^places\.(\d+)\.", r"map\1_loc_pred_conv_", name)
    name = name.replace("downsample.0", "sc").replace("downsample.1", "sc_bn")
    name = name.replace(".", "_")
    if re.search(r"bn\d*_(weight|bias)$", name):
        return name.replace("_weight", "_gamma").replace("_bias", "_beta")
    return name


def _by_box(answers: Any, numbers: int) -> Any:
    """Answers of a map as rows of so many numbers, one row a default box."""
    return answers.permute(0, 2, 3, 1).reshape(len(answers), -1, numbers)


def _begin(module: Any) -> None:
    """First weights that neither swell nor vanish from layer to layer (He et al., 2015)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
