"""Documents whose topics are known: bars on a square, as Griffiths and Steyvers draw them.

T. L. Griffiths and M. Steyvers, Finding scientific topics, PNAS 2004: a word is a pixel of a
square of 5 x 5, a topic a row or a column of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

SIDE = 5
WORDS = SIDE * SIDE

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Corpus:
    """Word counts, one document a row, and what they were drawn from."""

    counts: npt.NDArray[np.float32]
    topics: Matrix
    """The odds of the words in each topic."""

    mixtures: Matrix
    """The share of each topic in each document."""


def bars(topics: int = 5) -> Matrix:
    """The topics: five rows of the square, or ten rows and columns."""
    if topics not in {SIDE, 2 * SIDE}:
        raise ValueError(f"{topics} topics; {SIDE} or {2 * SIDE} are allowed")
    found = np.zeros((2 * SIDE, SIDE, SIDE))
    for place in range(SIDE):
        found[place, place, :] = 1 / SIDE
        found[SIDE + place, :, place] = 1 / SIDE
    return found.reshape(2 * SIDE, WORDS)[:topics]


def griffiths_steyvers(
    documents: int = 5400,
    *,
    topics: int = 5,
    length: float = 150,
    alpha: float = 1.0,
    seed: int = 0,
) -> Corpus:
    """Draw documents of about `length` words by latent Dirichlet allocation.

    Args:
        documents: how many.
        topics: 5 (rows) or 10 (rows and columns).
        length: the mean of a Poisson distribution.
        alpha: the sum of the Dirichlet distribution's weights, spread evenly over the topics.
        seed: the same gives the same documents.
    """
    random = np.random.default_rng(seed)
    words = bars(topics)
    mixtures = random.dirichlet(np.full(topics, alpha / topics), size=documents)
    lengths = np.maximum(random.poisson(length, size=documents), 1)
    counts = random.multinomial(lengths, mixtures @ words)
    return Corpus(counts.astype(np.float32), words, mixtures)


def topic_error(known: Matrix, found: Matrix) -> float:
    """How much of its odds a topic has on wrong words, on average, once they are paired at best.

    It is half the sum of the absolute differences: 0 for the same topics, 1 for others altogether.
    """
    distances = np.abs(known[:, None, :] - found[None, :, :]).sum(axis=2) / 2
    from scipy.optimize import linear_sum_assignment

    return float(distances[linear_sum_assignment(distances)].mean())


def coherence(topics: Sequence[Sequence[int]], counts: npt.NDArray[np.float32]) -> float:
    """How much oftener the words of a topic meet in a document than by chance, two by two.

    It is the mean normalised pointwise mutual information (Bouma 2009): 1 for words that never come
    without each other, 0 by chance, -1 for words that never meet.

    Args:
        topics: the words of each, by their columns.
        counts: the documents, one a row.
    """
    occurs = (counts > 0).astype(np.float64)
    documents, alone = len(occurs), occurs.mean(axis=0)
    found = []
    for words in topics:
        for one, other in combinations(words, 2):
            both = float(occurs[:, one] @ occurs[:, other]) / documents
            if both in {0.0, 1.0}:
                found.append(2 * both - 1)
            else:
                found.append(np.log(both / (alone[one] * alone[other])) / -np.log(both))
    return float(np.mean(found))
