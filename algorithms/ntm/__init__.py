"""Neural Topic Model: topics of documents, by a variational auto-encoder of their word counts."""

from algorithms.ntm.job import train
from algorithms.ntm.model import read as load

__all__ = ["load", "train"]
