"""Image Classification: one or several labels for an image, by a residual network.

The networks are those of He et al. (2015): the depths for large images as torchvision has them, and
those for small ones as in the paper's experiments with CIFAR-10. What AWS does not publish is ours:
the model that serves is that of the best epoch, and half precision is bfloat16.
"""

from algorithms.image_classification.job import train
from algorithms.image_classification.model import load

__all__ = ["load", "train"]
