"""torchvision, imported without the compiler of torch.

One operation of torchvision, which no algorithm here uses, asks the compiler one question: half of
all that a container of images would load before it begins.
"""

from __future__ import annotations

from algorithms.toolkit import compiler

with compiler.absent():
    from torchvision import ops
    from torchvision.models import resnet, segmentation

__all__ = ["ops", "resnet", "segmentation"]
