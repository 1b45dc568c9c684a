"""k-nearest neighbours: a class or a number from the rows that are nearest."""

from algorithms.knn.job import train
from algorithms.knn.model import load

__all__ = ["load", "train"]
