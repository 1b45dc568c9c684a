"""Residual networks of the depths that the algorithm offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from algorithms.toolkit.images import convolution
from algorithms.toolkit.images.vision import resnet

# Of ImageNet's images, with which base networks were learnt elsewhere; the mean of the colours
# where an image has none.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_GREY_MEAN, _GREY_DEVIATION = (0.449,), (0.226,)

LARGE: Mapping[int, tuple[type[nn.Module], Sequence[int]]] = {
    18: (resnet.BasicBlock, (2, 2, 2, 2)),
    34: (resnet.BasicBlock, (3, 4, 6, 3)),
    50: (resnet.Bottleneck, (3, 4, 6, 3)),
    101: (resnet.Bottleneck, (3, 4, 23, 3)),
    152: (resnet.Bottleneck, (3, 8, 36, 3)),
    200: (resnet.Bottleneck, (3, 24, 36, 3)),
}
"""Depths for large images, with the block and the number of blocks in each stage."""

SMALL = (20, 32, 44, 56, 110)
"""Depths for small images, such as those of 28 x 28 pixels."""


class Small(nn.Module):
    """A network for small images: three stages, of 16, 32 and 64 filters (section 4.2)."""

    def __init__(self, depth: int, classes: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        stages, before = [], 16
        for filters in (16, 32, 64):
            for number in range(blocks):
                stride = 2 if filters > 16 and number == 0 else 1
                shortcut = None
                if filters != before:
                    shortcut = nn.Sequential(
                        nn.Conv2d(before, filters, 1, stride=stride, bias=False),
                        nn.BatchNorm2d(filters),
                    )
                stages.append(resnet.BasicBlock(before, filters, stride, shortcut))
                before = filters
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Any) -> Any:
        """The scores of classes."""
        found = self.relu(self.bn1(self.conv1(images)))
        return self.fc(self.stages(found).mean((2, 3)))


class Classifier(nn.Module):
    """A network of any depth, from pixels of 0 to 255 to the score of each class."""

    def __init__(self, depth: int, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        channels = shape[0]
        if depth in SMALL:
            self.network: Any = Small(depth, classes)
        else:
            block, blocks = LARGE[depth]
            self.network = resnet.ResNet(block, list(blocks), num_classes=classes)
        if channels == 1:
            first = self.network.conv1
            self.network.conv1 = nn.Conv2d(
                1,
                first.out_channels,
                first.kernel_size,
                first.stride,
                first.padding,
                bias=False,
            )
        convolution.guard(self)
        mean, deviation = (_GREY_MEAN, _GREY_DEVIATION) if channels == 1 else (_MEAN, _DEVIATION)
        for name, values in (("mean", mean), ("deviation", deviation)):
            numbers = torch.tensor(values).view(1, -1, 1, 1) * 255
            self.register_buffer(name, numbers, persistent=False)

    def forward(self, images: Any) -> Any:
        """The scores of classes, before they are made probabilities."""
        return self.network((images - self.mean) / self.deviation)

    def begin_with(self, tensors: Mapping[str, Any]) -> None:
        """Take the weights of torchvision's network of this depth, but for the last layer."""
        own = self.network.state_dict()
        kept = {name: each for name, each in tensors.items() if not name.startswith("fc.")}
        self.network.load_state_dict({**own, **kept})
