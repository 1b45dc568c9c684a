"""How good topics are by their words: coherent among themselves, and unlike those of the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

Topics = Sequence[Sequence[int]]


def uniqueness(topics: Topics) -> list[float]:
    """TU of each topic: the mean over its words of one over how many topics have the word.

    R. Ding, R. Nallapati, B. Xiang, Coherence-aware neural topic modeling, EMNLP 2018.
    """
    used = np.bincount(np.concatenate([np.asarray(words) for words in topics]))
    return [float(np.mean(1 / used[list(words)])) for words in topics]


def coherence(topics: Topics, documents: Any) -> list[float]:
    """WETC of each topic: the mean cosine of the vectors of its words, two by two.

    A word's vector says in which documents it occurs. AWS's own container takes vectors that were
    trained on other text.

    Args:
        topics: the words of each.
        documents: counts, dense or sparse, one document a row.
    """
    words = sorted({word for topic in topics for word in topic})
    columns = documents[:, words]
    occurs = np.asarray(columns.toarray() if hasattr(columns, "toarray") else columns) > 0
    lengths = np.sqrt(occurs.sum(axis=0))
    vectors = occurs / np.maximum(lengths, 1)
    cosines = vectors.T @ vectors
    place = {word: i for i, word in enumerate(words)}
    return [
        float(np.mean([cosines[place[a], place[b]] for a, b in combinations(topic, 2)] or [1.0]))
        for topic in topics
    ]


def report(topics: Topics, vocabulary: Sequence[str], documents: Any) -> list[str]:
    """The lines of the log that tell topics by their words, in the form of AWS's container."""
    unique, coherent = uniqueness(topics), coherence(topics, documents)
    lines = [
        f"Topics from epoch:final (num_topics:{len(topics)}) "
        f"[wetc {np.mean(coherent):.2f}, tu {np.mean(unique):.2f}]:"
    ]
    for words, wetc, tu in zip(topics, coherent, unique, strict=True):
        lines.append(f"[{wetc:.2f}, {tu:.2f}] {' '.join(vocabulary[word] for word in words)}")
    return lines
