"""Random Cut Forest: how unusual a row is, by how easily random cuts set it apart from others."""

from algorithms.randomcutforest.job import train
from algorithms.randomcutforest.model import load

__all__ = ["load", "train"]
