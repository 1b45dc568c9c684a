"""Sequence-to-Sequence judged by sacrebleu: sets with a rule, and translations beside copies.

Beside the speed of training stands that of the same network in a bare loop, on batches that were
made before.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import sacrebleu
import torch
from torch.nn import functional

from algorithms.catalog import algorithm
from algorithms.seq2seq import load, pairs
from algorithms.seq2seq.network import Network
from algorithms.seq2seq.vocabulary import END, PADDING
from benchmarks.algorithms._training import Trained, trained
from benchmarks.measuring import Figure
from datasets import django_translations
from datasets.sequences import Languages, languages, numbers, reversal

_RECORDIO = "application/x-recordio-protobuf"
_HELD_OUT, _CHECKED = 100, 60
_SETTINGS = {
    "rnn_num_hidden": 64,
    "num_embed_source": 32,
    "num_embed_target": 32,
    "cnn_num_hidden": 64,
    "learning_rate": 0.005,
    "checkpoint_frequency_num_batches": 100,
    "max_num_epochs": 5,
    "beam_size": 3,
    "optimized_metric": "bleu",
}
_KINDS: Mapping[str, Mapping[str, Any]] = {
    "recurrent": {},
    "convolutional": {
        "encoder_type": "cnn",
        "decoder_type": "cnn",
        "num_layers_encoder": 2,
        "num_layers_decoder": 2,
        "learning_rate": 0.002,
        "max_num_epochs": 8,
    },
}
_TRANSLATION = {
    **_SETTINGS,
    "rnn_num_hidden": 128,
    "num_embed_source": 64,
    "num_embed_target": 64,
    "learning_rate": 0.004,
    "batch_size": 16,
    "max_num_epochs": 20,
    "checkpoint_frequency_num_batches": 185,
    "checkpoint_threshold": 10,
    "embed_dropout_source": 0.2,
    "embed_dropout_target": 0.2,
    "rnn_decoder_hidden_dropout": 0.2,
    "beam_size": 5,
}


def measure() -> list[Figure]:
    """BLEU of held-out sentences, perplexity, processor time and pairs a second."""
    found = []
    for kind, settings in _KINDS.items():
        for name, some in (("reversal", reversal(4160)), ("numbers in words", numbers(4160))):
            with _fitted(some, {**_SETTINGS, **settings}) as job:
                title = f"{name}, {kind}"
                found += [
                    Figure(f"{title}: BLEU", "", [_judged(job, some)], "goal: 0.9"),
                    Figure(f"{title}: training", "s", [job.seconds], _speed(job)),
                ]
    return [*found, *_translated()]


def _translated() -> list[Figure]:
    # Words that occur once cannot be learnt: they are unknown ones.
    some = languages(django_translations.pairs(20), least=2)
    held_out = some.pairs[-_HELD_OUT:]
    wanted = [target for _, target in held_out]
    targets = [target for _, target in some.numbers(some.pairs[:-_HELD_OUT])]
    by_frequency = _frequency(targets[:-_CHECKED], targets[-_CHECKED:])
    with _fitted(some, _TRANSLATION) as job:
        told = re.findall(r"Validation-perplexity=(\S+)", job.log)
        return [
            Figure("translations: BLEU", "", [_judged(job, some)], "goal: above copies"),
            Figure("translations: BLEU of copies", "", [_bleu([s for s, _ in held_out], wanted)]),
            Figure("translations: perplexity", "", [min(map(float, told))], f"first {told[0]}"),
            Figure("translations: perplexity by frequency", "", [by_frequency]),
            Figure("translations: training", "s", [job.seconds], _speed(job)),
            Figure("translations: training by a bare loop", "pairs/s", _bare(some), "each epoch"),
        ]


def _bare(some: Languages) -> list[float]:
    """Pairs a second of each epoch but the first, which warms up."""
    numbered = some.numbers(some.pairs[: -_HELD_OUT - _CHECKED])
    settings = algorithm("seq2seq").parse({name: str(one) for name, one in _TRANSLATION.items()})
    network = Network(settings, len(some.source), len(some.target)).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings["learning_rate"])
    told = pairs.Pairs(
        *(
            pairs.Side.of([np.array(each[side], dtype=np.int32) for each in numbered])
            for side in (0, 1)
        )
    )
    batches = [
        [torch.from_numpy(part) for part in (one.source, one.lengths, one.before, one.after)]
        for one in told.batches(settings["batch_size"], settings["bucket_width"], None)
    ]
    speeds = []
    for _ in range(4):
        began = time.perf_counter()
        for source, lengths, before, after in batches:
            wanted = after != PADDING
            optimizer.zero_grad()
            odds = network(source, lengths, before, wanted)
            functional.cross_entropy(odds, after[wanted]).backward()
            optimizer.step()
        speeds.append(len(numbered) / (time.perf_counter() - began))
    return speeds[1:]


def _fitted(some: Languages, settings: Mapping[str, Any]) -> AbstractContextManager[Trained]:
    """A job that sees all but the last pairs; those before them are for its checks."""
    numbered = some.numbers(some.pairs[:-_HELD_OUT])
    train, validation = (
        pairs.write([{"source": source, "target": target} for source, target in part])
        for part in (numbered[:-_CHECKED], numbered[-_CHECKED:])
    )
    channels = {
        "train": (_RECORDIO, {"train.rec": train}),
        "validation": (_RECORDIO, {"val.rec": validation}),
        "vocab": ("application/json", some.vocabularies()),
    }
    return trained("seq2seq", channels, settings)


def _judged(job: Trained, some: Languages) -> float:
    held_out = some.pairs[-_HELD_OUT:]
    written = load(job.model).write([source for source, _ in some.numbers(held_out)])
    texts = [" ".join(some.target[word] for word in each.words) for each in written]
    return _bleu(texts, [target for _, target in held_out])


def _bleu(written: Sequence[str], wanted: Sequence[str]) -> float:
    found = sacrebleu.corpus_bleu(written, [wanted], tokenize="none", force=True)
    return float(found.score) / 100


def _frequency(learnt: Sequence[Sequence[int]], held_out: Sequence[Sequence[int]]) -> float:
    """The perplexity of held-out sentences for whoever knows only how frequent words are."""
    counts = Counter(word for sentence in learnt for word in [*sentence, END])
    words = [word for sentence in held_out for word in [*sentence, END]]
    total = counts.total() + len(counts.keys() | set(words))
    return math.exp(-sum(math.log((counts[word] + 1) / total) for word in words) / len(words))


def _speed(job: Trained) -> str:
    speeds = sorted(float(found) for found in re.findall(r"Speed: (\S+) samples/sec", job.log))
    return f"{speeds[len(speeds) // 2]:,.0f} pairs/s" if speeds else ""
