"""Networks that tell a class for every pixel: FCN, PSP and DeepLabV3 on ResNet-50 or ResNet-101.

FCN and DeepLabV3 are torchvision's. In all of them the last two stages of the ResNet have holes in
place of strides, so that its maps are an eighth of the image; and a second, small head learns from
the last stage but one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from algorithms.toolkit.images import convolution
from algorithms.toolkit.images.vision import resnet, segmentation

# Of ImageNet's images, with which backbones were learnt elsewhere.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
IGNORED = 255
"""The class of pixels that are not learnt from, and do not count."""

# The share of the second head in the loss.
AUXILIARY = 0.5
_LAST_CHANNELS = 2048
_POOLED = (1, 2, 3, 6)


class Psp(nn.Module):
    """The head of the Pyramid Scene Parsing Network (Zhao et al., 2017).

    Each pixel is told with what the image is on the whole, in its half, in its third and so on.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        width = channels // len(_POOLED)
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(side), *_convolution(channels, width, 1))
            for side in _POOLED
        )
        self.last = nn.Sequential(
            *_convolution(2 * channels, channels // 4, 3),
            nn.Dropout(0.1),
            nn.Conv2d(channels // 4, num_classes, 1),
        )

    def forward(self, maps: Any) -> Any:
        """The classes' scores at each place of the maps."""
        size = maps.shape[-2:]
        pooled = [
            functional.interpolate(level(maps), size=size, mode="bilinear", align_corners=False)
            for level in self.levels
        ]
        return self.last(torch.cat([maps, *pooled], dim=1))


class Segmenter(nn.Module):
    """The whole network: the classes' scores of each pixel.

    Args:
        algorithm: fcn, psp or deeplab.
        backbone: resnet-50 or resnet-101.
        num_classes: of pixels.
    """

    def __init__(self, algorithm: str, backbone: str, num_classes: int) -> None:
        super().__init__()
        base = backbone.replace("-", "")
        kind = "deeplabv3" if algorithm == "deeplab" else "fcn"
        make = getattr(segmentation, f"{kind}_{base}")
        network: Any = make(
            weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=True
        )
        if algorithm == "psp":
            network.classifier = Psp(_LAST_CHANNELS, num_classes)
        for module in network.backbone.modules():
            if isinstance(module, resnet.Bottleneck):
                # At first each block passes on what it gets, which makes deep networks learn
                # sooner (Goyal et al., 2017).
                nn.init.zeros_(module.bn3.weight)
        self.num_classes = num_classes
        self.network = network
        convolution.guard(self)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

    def forward(self, images: Any) -> tuple[Any, Any]:
        """The scores by both heads, for images whose pixels are from 0 to 255."""
        if self.training and len(images) == 1:
            # What is pooled to one place has no deviation of which a batch could be normalised.
            scores, second = self(torch.cat([images, images]))
            return scores[:1], second[:1]
        found = self.network((images / 255 - self.mean) / self.deviation)
        return found["out"].float(), found["aux"].float()

    def loss(self, images: Any, masks: Any) -> tuple[Any, int]:
        """The mean cross entropy of the pixels that count, and how many these are."""
        count = int((masks != IGNORED).sum())
        total = images.new_zeros(())
        for scores, share in zip(self(images), (1.0, AUXILIARY), strict=True):
            each = functional.cross_entropy(scores, masks, ignore_index=IGNORED, reduction="sum")
            total = total + share * each
        return total / max(1, count), max(1, count)

    def scores(self, images: Any) -> Any:
        """The classes' scores at the resolution of the network, an eighth of the image's."""
        maps = self.network.backbone((images / 255 - self.mean) / self.deviation)["out"]
        return self.network.classifier(maps).float()

    def begin_with(self, tensors: Mapping[str, Any]) -> None:
        """Take the weights of torchvision's ResNet of the same depth."""
        found = {name: each for name, each in tensors.items() if not re.match(r"fc\.", name)}
        self.network.backbone.load_state_dict(found)


def _convolution(before: int, after: int, side: int) -> tuple[Any, Any, Any]:
    return (
        nn.Conv2d(before, after, side, padding=side // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
