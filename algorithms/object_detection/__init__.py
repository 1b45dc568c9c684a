"""Object Detection: SSD, which sees the boxes of an image in one pass of a network.

The outline is AWS's: a base of VGG-16 or ResNet-50, default boxes of several sizes and shapes,
three hard negatives for each positive, mean average precision on `validation` after each epoch.
What AWS does not publish is ours: a default box is matched from an overlap of one half on; images
are flipped and rescaled by chance, each in half of the cases; losses are told as means since their
epoch's begin; the model is that of the best epoch, by Pascal VOC's precision since 2010.
"""

from algorithms.object_detection.job import train
from algorithms.object_detection.model import load

__all__ = ["load", "train"]
