"""PCA: fewer features that keep most of the spread of the data."""

from algorithms.pca.job import train
from algorithms.pca.model import load

__all__ = ["load", "train"]
