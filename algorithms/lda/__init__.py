"""Latent Dirichlet Allocation: topics from the moments of word counts.

The outline is AWS's: the moments of pairs whiten those of triples, alternating least squares take
these apart, and the weightiest of a quarter more topics than were asked for are kept. What AWS does
not publish is ours, and stands where it is decided: the refinement and the smoothing in `job`, the
mixtures and the measure of `pwll` in `documents`.
"""

from algorithms.lda.job import train
from algorithms.lda.model import Model, load

__all__ = ["Model", "load", "train"]
