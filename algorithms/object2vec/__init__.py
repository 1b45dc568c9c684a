"""Object2Vec: vectors of pairs of sequences, and how two of them relate.

Each side has an encoder; what a comparison of the two encodings gives goes through dense layers to
a class or a number. AWS describes the parts (page object2vec-howitworks), and these are filled in
here after Conneau et al. (2017): hcnn joins the maxima of every layer of convolutions, bilstm takes
the maxima over time, pooled_embedding is the mean of the tokens' vectors, made enc_dim long.
"""

from algorithms.object2vec.job import train
from algorithms.object2vec.model import load

__all__ = ["load", "train"]
