"""Boxes as four numbers (left, top, right, bottom) between 0 and 1, and what SSD does with them.

Source: Liu et al., SSD: Single Shot MultiBox Detector, 2016, section 2; sizes and ratios of the
default boxes are those of MXNet's example, on which AWS's algorithm is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from algorithms.toolkit.images.vision import ops

# Sizes of the default boxes of each map, from fine to coarse, as shares of the image's side.
SIZES_300 = ((0.1, 0.141), (0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.71, 0.79), (0.88, 0.961))
SIZES_512 = (
    (0.07, 0.1025),
    (0.15, 0.2121),
    (0.3, 0.3674),
    (0.45, 0.5196),
    (0.6, 0.6708),
    (0.75, 0.8216),
    (0.9, 0.9721),
)
_FEW, _MANY = (1.0, 2.0, 0.5), (1.0, 2.0, 0.5, 3.0, 1 / 3)
# From a box's offset to a regression target: what the paper's code calls variances.
_VARIANCES = (0.1, 0.1, 0.2, 0.2)
# A default box that overlaps an object this much is to find it.
MATCHED = 0.5
# The weakest detection that is told, and the most that are compared with one another.
LEAST_SCORE = 0.01
MOST_DETECTIONS = 400


def sizes(image_shape: int) -> tuple[tuple[float, float], ...]:
    """The sizes of the default boxes of each map for images of this side."""
    return SIZES_512 if image_shape >= 512 else SIZES_300


def ratios(image_shape: int) -> tuple[tuple[float, ...], ...]:
    """The ratios of width to height of each map's default boxes."""
    maps = len(sizes(image_shape))
    return (_FEW, *[_MANY] * (maps - 3), _FEW, _FEW)


def anchors(image_shape: int, maps: Sequence[int]) -> Any:
    """The default boxes of maps of these sides, in the order of the network's outputs."""
    found = []
    for side, (small, large), shapes in zip(
        maps, sizes(image_shape), ratios(image_shape), strict=True
    ):
        widths = [small, large, *(small * ratio**0.5 for ratio in shapes[1:])]
        heights = [small, large, *(small / ratio**0.5 for ratio in shapes[1:])]
        middle = (torch.arange(side) + 0.5) / side
        y, x = torch.meshgrid(middle, middle, indexing="ij")
        half = torch.tensor([widths, heights]).T / 2
        centers = torch.stack([x, y], dim=-1).reshape(-1, 1, 2)
        found.append(torch.cat([centers - half, centers + half], dim=-1).reshape(-1, 4))
    return torch.cat(found)


def encoded(boxes: Any, defaults: Any) -> Any:
    """What the network is to answer at these default boxes, so that it says these boxes."""
    size, middle = _size(defaults), _middle(defaults)
    offset = (_middle(boxes) - middle) / size
    scale = torch.log(_size(boxes).clamp(min=1e-6) / size)
    return torch.cat([offset, scale], dim=-1) / defaults.new_tensor(_VARIANCES)


def decoded(answers: Any, defaults: Any) -> Any:
    """The boxes that the network says at these default boxes."""
    answers = answers * defaults.new_tensor(_VARIANCES)
    size = _size(defaults) * torch.exp(answers[..., 2:].clamp(max=4.0))
    middle = _middle(defaults) + answers[..., :2] * _size(defaults)
    return torch.cat([middle - size / 2, middle + size / 2], dim=-1)


def matched(boxes: Any, defaults: Any) -> Any:
    """Which object each default box is to find, by number; -1 is none.

    Each object gets the default box that overlaps it most, then every default box the object that
    overlaps it most, if by more than a half.
    """
    found = torch.full((len(defaults),), -1, dtype=torch.long, device=defaults.device)
    if not len(boxes):
        return found
    overlap = ops.box_iou(boxes, defaults)
    best, number = overlap.max(dim=0)
    found = torch.where(best > MATCHED, number, found)
    # One after another, the best pair first: two objects may share their best default box.
    for _ in range(len(boxes)):
        row, column = divmod(int(overlap.argmax()), overlap.shape[1])
        if overlap[row, column] <= 0:
            break
        found[column] = row
        overlap[row] = -1
        overlap[:, column] = -1
    return found


def detections(scores: Any, boxes: Any, nms_threshold: float) -> Any:
    """What is seen in one image: rows of class, score and box, the surest first.

    Args:
        scores: of each default box and class, the background first.
        boxes: as the network says them.
        nms_threshold: overlap above which the weaker of two boxes of a class is dropped.
    """
    best, kind = scores[:, 1:].max(dim=1)
    order = best.argsort(descending=True, stable=True)[:MOST_DETECTIONS]
    order = order[best[order] > LEAST_SCORE]
    boxes = boxes[order].clamp(0, 1)
    best, kind = best[order], kind[order]
    kept = ops.batched_nms(boxes, best, kind, nms_threshold)
    return torch.cat([kind[kept, None].to(boxes), best[kept, None], boxes[kept]], dim=1)


def _size(boxes: Any) -> Any:
    return boxes[..., 2:] - boxes[..., :2]


def _middle(boxes: Any) -> Any:
    return (boxes[..., 2:] + boxes[..., :2]) / 2
