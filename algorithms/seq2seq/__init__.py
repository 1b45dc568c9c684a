"""Sequence-to-Sequence: sentences of one vocabulary, written anew in the words of another."""

from algorithms.seq2seq.job import train
from algorithms.seq2seq.model import load

__all__ = ["load", "train"]
