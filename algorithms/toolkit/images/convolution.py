"""Convolutions on maps that are smaller than their kernels reach.

Numbers of a kernel that lie outside of a small map wherever it is laid have no part in what comes
out, and their gradient is zero. oneDNN computes it from what lies beside the map in memory, times
zero, which is not a number where that is none: seen with torch 2.15 on maps of one place.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn import functional


class _Conv2d(nn.Conv2d):
    """A convolution that leaves out the numbers of its kernel that meet nothing of the map."""

    def forward(self, maps: Any) -> Any:
        """As of the usual one."""
        spans = [
            meeting(int(size), *each)
            for size, *each in zip(
                maps.shape[-2:],
                self.kernel_size,
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        ]
        met = [span.stop - span.start for span, _, _ in spans]
        if met == list(self.kernel_size):
            return super().forward(maps)
        (rows, top, bottom), (columns, left, right) = spans
        return functional.conv2d(
            functional.pad(maps, (left, right, top, bottom)),
            self.weight[:, :, rows, columns],
            self.bias,
            self.stride,
            0,
            self.dilation,
            self.groups,
        )


def guard(network: nn.Module) -> None:
    """Let every convolution of a network be one that fits small maps; its weights stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = _Conv2d


def meeting(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[slice, int, int]:
    """Which numbers of a kernel meet a map, along one of its sides.

    Gives these, and how many zeros are to be put before and after the map for them alone; fewer
    than none are places of the map that they do not meet.
    """
    places = range(0, size + 2 * padding - dilation * (kernel - 1), stride)
    met = [
        number
        for number in range(kernel)
        if any(0 <= place + number * dilation - padding < size for place in places)
    ]
    first, last = met[0], met[-1]
    end = places[-1] + last * dilation - padding
    return slice(first, last + 1), padding - first * dilation, end - (size - 1)
