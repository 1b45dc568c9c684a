"""Convolutions on small maps are torch's, and have no gradient where nothing is met."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from algorithms.image_classification.network import Classifier
from algorithms.object_detection.network import Detector
from algorithms.semantic_segmentation.network import Segmenter
from algorithms.toolkit.images import convolution


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 5), (3, 2), (7, 7)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 4, 4), (3, 1, 36, 36), (7, 2, 3, 1), (1, 2, 0, 1)],
)
def test_it_computes_what_torch_computes(
    size: tuple[int, int], kernel: int, stride: int, padding: int, dilation: int
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(2, 3, kernel, stride, padding, dilation)
    guarded = nn.Sequential(copy.deepcopy(plain))
    convolution.guard(guarded)
    assert guarded.state_dict().keys() == {"0.weight", "0.bias"}
    maps = torch.randn(2, 2, *size)
    gradients = []
    for module in (plain, guarded):
        given = maps.clone().requires_grad_()
        found = module(given)
        found.square().sum().backward()
        gradients.append((found, given.grad, *(each.grad for each in module.parameters())))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_a_map_of_one_place_meets_the_middle_of_a_kernel_alone() -> None:
    assert convolution.meeting(1, 3, 1, 1, 1) == (slice(1, 2), 0, 0)
    # At a stride of two, a kernel is laid once on two places: the first of its numbers is outside.
    assert convolution.meeting(2, 3, 2, 1, 1) == (slice(1, 3), 0, 0)
    assert convolution.meeting(3, 3, 1, 1, 1) == (slice(0, 3), 1, 1)
    assert convolution.meeting(8, 3, 1, 12, 12) == (slice(1, 2), 0, 0)


def test_only_what_meets_the_map_is_laid_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    laid = []
    plain = functional.conv2d

    def noted(maps: Any, weight: Any, *rest: Any) -> Any:
        laid.append(tuple(weight.shape[2:]))
        return plain(maps, weight, *rest)

    monkeypatch.setattr(functional, "conv2d", noted)
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))
    convolution.guard(network)
    for side in (1, 2, 5):
        network(torch.zeros(1, 1, side, side))
    network[0].stride = (2, 2)
    network(torch.zeros(1, 1, 2, 2))
    # torch's own forward lays the whole kernel.
    assert laid == [(1, 1), (3, 3), (3, 3), (2, 2)]


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: Classifier(18, (3, 32, 32), 2), id="image-classification"),
        pytest.param(lambda: Detector("resnet-50", 2, 300), id="object-detection"),
        pytest.param(lambda: Segmenter("deeplab", "resnet-50", 2), id="semantic-segmentation"),
    ],
)
def test_every_convolution_of_the_image_networks_is_guarded(
    network: Callable[[], nn.Module],
) -> None:
    found = [each for each in network().modules() if isinstance(each, nn.Conv2d)]
    assert found
    assert not [each for each in found if type(each) is nn.Conv2d]
