"""Semantic Segmentation: FCN, PSP or DeepLabV3 tell a class for every pixel of an image.

The outline is AWS's, which is that of Gluon CV: images at a random scale, of which a random square
is learnt from. What AWS does not publish is ours: images are mirrored by chance; validation and
requests see the whole image with base_size as its long side; an answer has the image's size; the
model is that of the best epoch by mIOU.
"""

from algorithms.semantic_segmentation.job import train
from algorithms.semantic_segmentation.model import load

__all__ = ["load", "train"]
