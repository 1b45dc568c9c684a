"""The loss of SSD: what is seen at each default box, and where exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from algorithms.object_detection import boxes as of_boxes

# So many default boxes without an object are learnt for each that has one: the hardest of them.
NEGATIVES = 3


class Loss(NamedTuple):
    """What is made small, what is told of it, and over how many default boxes it is the mean."""

    total: Any
    cross_entropy: float
    smooth_l1: float
    positives: int


def targets(truths: Sequence[Any], defaults: Any) -> tuple[Any, Any]:
    """The class (0 is the background) and the offsets that each default box is to answer.

    Args:
        truths: of each image, rows of class and box.
        defaults: the default boxes.
    """
    classes, offsets = [], []
    for truth in truths:
        objects = of_boxes.matched(truth[:, 1:], defaults)
        seen = objects >= 0
        kind = torch.zeros(len(defaults), dtype=torch.long, device=defaults.device)
        offset = torch.zeros_like(defaults)
        if len(truth):
            own = truth[objects[seen]]
            kind[seen] = own[:, 0].long() + 1
            offset[seen] = of_boxes.encoded(own[:, 1:], defaults[seen])
        classes.append(kind)
        offsets.append(offset)
    return torch.stack(classes), torch.stack(offsets)


def multibox(scores: Any, answers: Any, truths: Sequence[Any], defaults: Any) -> Loss:
    """Cross entropy of the classes, and smooth L1 of the offsets where there is an object.

    Args:
        scores: of each image, default box and class, before the softmax.
        answers: the offsets of each image and default box.
        truths: of each image, rows of class and box.
        defaults: the default boxes.
    """
    classes, offsets = targets(truths, defaults)
    positive = classes > 0
    each = functional.cross_entropy(scores.flatten(0, 1), classes.flatten(), reduction="none")
    each = each.view_as(classes)
    chosen = positive | hardest(each.detach(), positive)
    positives = int(positive.sum())
    entropy = each[chosen].sum()
    distance = functional.smooth_l1_loss(answers[positive], offsets[positive], reduction="sum")
    count = max(1, positives)
    return Loss(
        (entropy + distance) / count,
        float(entropy.detach()) / max(1, int(chosen.sum())),
        float(distance.detach()) / count,
        count,
    )


def hardest(losses: Any, positive: Any) -> Any:
    """The default boxes without an object that are mistaken most, three for each with one.

    An image without any object gives three, too.
    """
    negative = losses.masked_fill(positive, -1.0)
    place = negative.argsort(dim=1, descending=True, stable=True).argsort(dim=1, stable=True)
    wanted = NEGATIVES * positive.sum(dim=1, keepdim=True).clamp(min=1)
    return (place < wanted) & ~positive
