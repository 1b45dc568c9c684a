"""What documents are about, once topics are known, and topics that suit the documents better.

The mixture of a document is that of variational inference: D. Blei, A. Ng, M. Jordan, Latent
Dirichlet Allocation, JMLR 2003. A document is through when its own mixture stays, so that it comes
out the same whatever other documents it is asked with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

# Rounds for one document at most, and the change of a mixture, in words, that ends them.
ROUNDS = 100
STILL = 1e-3
# While the topics still move, their mixtures need not settle.
_FEW = 5
# Numbers of words by topics that are held at once.
_BLOCK = 4_000_000
_LEAST = 1e-100


@dataclass(frozen=True)
class Mixed:
    """What inference tells of some documents."""

    weights: Matrix
    """Of each topic in each document; their sum is that of alpha and the words."""

    bound: Matrix
    """Below the logarithm of the odds of each document."""


def mixtures(
    counts: Any,
    topics: Matrix,
    alpha: Matrix,
    *,
    start: Matrix | None = None,
    rounds: int = ROUNDS,
    words: Matrix | None = None,
) -> Mixed:
    """Infer the mixtures of documents.

    Args:
        counts: one document a row, sparse.
        topics: the odds of the words in each topic, none of them 0.
        alpha: the weights of the Dirichlet distribution of mixtures.
        start: weights from which to go on.
        rounds: how many at most.
        words: to be added to: how often each word comes out of each topic.
    """
    rows, size = counts.shape[0], len(topics)
    weights = np.empty((rows, size))
    bound = np.empty(rows)
    for block in _blocks(counts.indptr, size):
        part = counts[block]
        own = None if start is None else start[block]
        weights[block] = _settled(part, topics, alpha, own, rounds)
        rates = _rates(weights[block])
        odds, ratio = _ratios(part, rates, topics)
        bound[block] = _bound(part, weights[block], odds, alpha)
        if words is not None:
            words += rates.T @ ratio * topics
    return Mixed(weights, bound)


def _blocks(indptr: Any, size: int) -> list[slice]:
    """Rows in portions of bounded size."""
    found, first, most = [], 0, max(1, _BLOCK // size)
    for row in range(1, len(indptr)):
        if row == len(indptr) - 1 or indptr[row + 1] - indptr[first] > most:
            found.append(slice(first, row))
            first = row
    return found


def _settled(
    counts: Any, topics: Matrix, alpha: Matrix, start: Matrix | None, rounds: int
) -> Matrix:
    """The weights of documents, once they stay."""
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    weights = alpha + lengths[:, None] / len(topics) if start is None else start.copy()
    moving = np.arange(counts.shape[0])
    part = counts
    for _ in range(rounds):
        if not len(moving):
            break
        rates = _rates(weights[moving])
        _, ratio = _ratios(part, rates, topics)
        now = alpha + rates * np.asarray(ratio @ topics.T)
        change = np.abs(now - weights[moving]).sum(axis=1)
        weights[moving] = now
        still = change <= STILL
        if still.any():
            moving, part = moving[~still], part[np.flatnonzero(~still)]
    return weights


def _rates(weights: Matrix) -> Matrix:
    """The geometric means of the shares that these weights stand for."""
    from scipy.special import digamma

    total = digamma(weights.sum(axis=1, keepdims=True))
    return np.asarray(np.exp(digamma(weights) - total))


def _ratios(counts: Any, rates: Matrix, topics: Matrix) -> tuple[Matrix, Any]:
    """Of each word of each document its odds, and its count over these."""
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    odds = np.einsum("nk,nk->n", rates[rows], topics.T[counts.indices]) + _LEAST
    ratio = counts.copy()
    ratio.data = counts.data / odds
    return odds, ratio


def _bound(counts: Any, weights: Matrix, odds: Matrix, alpha: Matrix) -> Matrix:
    from scipy.special import digamma, gammaln

    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    words = np.bincount(rows, counts.data * np.log(odds), minlength=counts.shape[0])
    total = weights.sum(axis=1)
    logs = digamma(weights) - digamma(total)[:, None]
    prior = ((alpha - weights) * logs + gammaln(weights) - gammaln(alpha)).sum(axis=1)
    return np.asarray(words + prior + gammaln(alpha.sum()) - gammaln(total))


def refined(
    counts: Any, topics: Matrix, alpha: Matrix, *, rounds: int, smoothing: float, enough: float
) -> tuple[Matrix, Matrix, list[float]]:
    """Topics and alpha under which the documents are likelier, with the bound of each round.

    Args:
        counts: one document a row, sparse.
        topics: where to begin.
        alpha: where to begin.
        rounds: how many at most.
        smoothing: how often each word is taken to have been seen in each topic besides.
        enough: the share by which the bound must grow for another round.
    """
    weights, bounds = None, []
    for _ in range(rounds):
        words = np.zeros_like(topics)
        found = mixtures(counts, topics, alpha, start=weights, rounds=_FEW, words=words)
        weights = found.weights
        bounds.append(float(found.bound.sum()))
        if len(bounds) > 1 and bounds[-1] - bounds[-2] < enough * abs(bounds[-2]):
            break
        topics = smoothed(words, smoothing)
        alpha = _likelier(alpha, weights)
    return topics, alpha, bounds


def smoothed(words: Matrix, smoothing: float) -> Matrix:
    """The odds of the words of topics in which they were seen so often."""
    found = words + smoothing
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _likelier(alpha: Matrix, weights: Matrix) -> Matrix:
    """One step towards the weights that make mixtures likeliest: T. Minka, 2000."""
    from scipy.special import digamma, polygamma

    rows = len(weights)
    logs = (digamma(weights) - digamma(weights.sum(axis=1))[:, None]).sum(axis=0)
    slope = rows * (digamma(alpha.sum()) - digamma(alpha)) + logs
    curve = -rows * polygamma(1, alpha)
    all_curve = rows * polygamma(1, alpha.sum())
    shared = (slope / curve).sum() / (1 / all_curve + (1 / curve).sum())
    moved = alpha - (slope - shared) / curve
    # Half the way where the step would leave the positive numbers.
    return np.where(moved > 0, moved, alpha / 2)
