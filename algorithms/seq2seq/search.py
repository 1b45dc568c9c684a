"""Beam search: the likeliest sentences, word by word, with a few candidates kept at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from algorithms.seq2seq.network import Network
from algorithms.seq2seq.vocabulary import BEGIN, END, PADDING


@dataclass(frozen=True)
class Found:
    """A sentence that was written, and the shares of attention of each word: one row a word."""

    words: list[int]
    attention: Any


def search(
    network: Network, source: Any, lengths: Any, beam: int, longest: Sequence[int]
) -> list[Found]:
    """Write the sentence for each row of a matrix of words.

    Candidates are ranked by the mean log odds of their words (length penalty with alpha 1, beta 0,
    which are Sockeye's). A candidate that has ended stays in the beam while no better one is found.

    Args:
        network: in evaluation mode.
        source: the sentences to write anew; none is empty.
        lengths: how many words each has.
        beam: how many candidates of each are kept.
        longest: how many words may be written for each at most, with the sign of the end.
    """
    with torch.inference_mode():
        return _search(network, source, lengths, beam, longest)


def _search(
    network: Network, source: Any, lengths: Any, beam: int, longest: Sequence[int]
) -> list[Found]:
    rows, device = len(source), source.device
    encoded = network.encode(source, lengths).repeated(beam)
    prepared = network.decoder.prepare(encoded)
    state = network.decoder.start(encoded)
    first = torch.arange(rows, device=device)[:, None] * beam
    words = torch.full((rows, beam), BEGIN, device=device)
    # At first all candidates of a sentence are the same: only one of them counts.
    scores = torch.full((rows, beam), -math.inf, device=device)
    scores[:, 0] = 0.0
    sizes = torch.zeros((rows, beam), device=device)
    ended = torch.zeros((rows, beam), dtype=torch.bool, device=device)
    steps: list[tuple[Any, Any, Any]] = []
    most = torch.tensor(longest, device=device)[:, None]
    for step in range(1, max(longest) + 1):
        odds, state, shares = network.next(words.reshape(-1), state, encoded, prepared)
        odds = odds.view(rows, beam, -1)
        # What is as long as it may be can only end; what has ended can only stay as it is.
        end = torch.where(ended, -math.inf, odds[..., END])
        odds[ended | (most == step)] = -math.inf
        odds[..., END] = end
        odds[..., PADDING] = torch.where(ended, 0.0, -math.inf)
        totals = scores[..., None] + odds
        longer = sizes + (~ended).to(sizes.dtype)
        means = (totals / longer[..., None]).flatten(1)
        chosen = means.topk(beam, dim=1).indices
        parents, words = chosen // odds.shape[2], chosen % odds.shape[2]
        scores = totals.flatten(1).gather(1, chosen)
        sizes = longer.gather(1, parents)
        ended = ended.gather(1, parents) | (words == END)
        places = (first + parents).reshape(-1)
        steps.append((words, parents, shares[places].view(rows, beam, -1)))
        if bool(ended.all()):
            break
        state = [each[places] for each in state]
    return _followed_back(steps, (scores / sizes).argmax(dim=1), lengths)


def _followed_back(steps: list[tuple[Any, Any, Any]], best: Any, lengths: Any) -> list[Found]:
    """The sentences whose last words are those of the best candidates."""
    words, parents, shares = (torch.stack(each).cpu().numpy() for each in zip(*steps, strict=True))
    found = []
    pairs = zip(best.tolist(), lengths.tolist(), strict=True)
    for row, (place, length) in enumerate(pairs):
        sentence: list[int] = []
        attention: list[Any] = []
        for step in reversed(range(len(words))):
            word = int(words[step, row, place])
            if word not in (PADDING, END):
                sentence.append(word)
                attention.append(shares[step, row, place, :length])
            place = int(parents[step, row, place])
        rows = np.stack(attention[::-1]) if attention else np.empty((0, length), dtype=np.float32)
        found.append(Found(sentence[::-1], rows))
    return found
