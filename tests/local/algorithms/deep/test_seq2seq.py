"""Sequence-to-Sequence on sets with a rule and on real translations, through the platform."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu

from algorithms.seq2seq import load, pairs
from algorithms.seq2seq.vocabulary import END
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.record import record_class
from datasets import django_translations
from datasets.sequences import Languages, Pair, languages, numbers, reversal
from tests.local.algorithms.support import Data, Endpoint, artifact, completed, fit, served
from tests.platform import LocalPlatform

NAME = "seq2seq"
JSON, LINES = "application/json", "application/jsonlines"
RECORDIO = "application/x-recordio-protobuf"
CHECKED, HELD_OUT = 60, 100
# Of those that follow a rule: what is learnt, what jobs check, and what the endpoint is asked.
CUTS = (slice(3000), slice(3000, 3200), slice(3200, 3400))
SETTINGS = {
    "rnn_num_hidden": 64,
    "num_embed_source": 32,
    "num_embed_target": 32,
    "learning_rate": 0.005,
    "checkpoint_frequency_num_batches": 100,
    "max_num_epochs": 5,
    "beam_size": 3,
    "optimized_metric": "bleu",
}
# Fewer pairs, of which more is to be learnt.
TRANSLATION = {
    **SETTINGS,
    "rnn_num_hidden": 128,
    "num_embed_source": 64,
    "num_embed_target": 64,
    "learning_rate": 0.004,
    "batch_size": 16,
    "max_num_epochs": 12,
    "checkpoint_frequency_num_batches": 185,
    "embed_dropout_source": 0.2,
    "embed_dropout_target": 0.2,
    "rnn_decoder_hidden_dropout": 0.2,
    "beam_size": 5,
}


def channels(found: Languages, held_out: int) -> dict[str, Data]:
    """The last pairs are for validation."""
    numbered = found.numbers(found.pairs)
    parts = numbered[:-held_out], numbered[-held_out:]
    train, validation = (
        pairs.write([{"source": source, "target": target} for source, target in part])
        for part in parts
    )
    return {
        "train": Data({"train.rec": train}, RECORDIO),
        "validation": Data({"val.rec": validation}, RECORDIO),
        "vocab": Data(found.vocabularies(), JSON),
    }


@cache
def by_rule() -> tuple[Languages, list[Pair], list[Pair]]:
    """Reversed letters and numbers in words, learnt at once, and some of each held out."""
    both = [each(CUTS[-1].stop).pairs for each in (reversal, numbers)]
    known = [pair for cut in CUTS[:2] for each in both for pair in each[cut]]
    return languages(known), list(both[0][CUTS[2]]), list(both[1][CUTS[2]])


def score(written: list[str], wanted: list[str]) -> float:
    """What sacrebleu says, from 0 to 1."""
    found = sacrebleu.corpus_bleu(written, [wanted], tokenize="none", force=True)
    return float(found.score) / 100


@pytest.fixture(scope="module")
def job(platform: LocalPlatform) -> dict[str, Any]:
    return fit(platform, NAME, channels(by_rule()[0], 400), SETTINGS)


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, job: dict[str, Any]) -> Iterator[Endpoint]:
    with served(platform, NAME, job) as found:
        yield found


def test_letters_are_reversed_and_numbers_put_into_words(endpoint: Endpoint) -> None:
    for held_out in by_rule()[1:]:
        body = "".join(json.dumps({"source": source}) + "\n" for source, _ in held_out)
        lines = endpoint.ask(body, LINES, LINES).splitlines()
        assert score([json.loads(line)["target"] for line in lines], [t for _, t in held_out]) > 0.9


def test_the_job_tells_its_metrics(job: dict[str, Any]) -> None:
    found = completed(job)
    assert found["validation:bleu"] > 0.9
    assert found["validation:accuracy"] > 0.9
    assert 1 <= found["validation:perplexity"] < 1.5
    assert found["train:perplexity"] < 1.5


def test_every_form_of_request_and_answer(endpoint: Endpoint) -> None:
    ((source, target), *_) = by_rule()[2]
    wish = {"configuration": {"attention_matrix": "true"}}
    body = json.dumps({"instances": [{"data": source}, {"data": source, **wish}]})
    plain, looked = json.loads(endpoint.ask(body, JSON, JSON))["predictions"]
    assert plain == {"target": target}
    matrix = np.array(looked["matrix"])
    assert matrix.shape == (len(target.split()), len(source.split()))
    assert matrix.sum(axis=1) == pytest.approx(np.ones(len(matrix)), abs=1e-4)
    ((asked, expected),) = by_rule()[0].numbers([(source, target)])
    (message,) = recordio.frames(
        endpoint.ask(pairs.write([{"source": asked}]), RECORDIO, RECORDIO), "answer"
    )
    answer = record_class().FromString(bytes(message))
    assert list(answer.features["target"].int32_tensor.values) == expected
    assert endpoint.refused('{"instances": [{"data": 1}]}', JSON).startswith(
        "400 Unable to evaluate payload provided: payload, instance 1: must be"
    )
    assert endpoint.refused("a", "text/csv").startswith("415 ")


def surprise(learnt: Sequence[Sequence[int]], held_out: Sequence[Sequence[int]]) -> float:
    """The perplexity of held-out sentences for whoever knows only how frequent words are."""
    counts = Counter(word for sentence in learnt for word in [*sentence, END])
    words = [word for sentence in held_out for word in [*sentence, END]]
    total = counts.total() + len(counts.keys() | set(words))
    return math.exp(-sum(math.log((counts[word] + 1) / total) for word in words) / len(words))


def test_messages_are_translated_better_than_copied(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    # Words that occur once cannot be learnt: they are unknown ones.
    found = languages(django_translations.pairs(20), least=2)
    learnt, held_out = found.pairs[:-HELD_OUT], found.pairs[-HELD_OUT:]
    seen = replace(found, pairs=learnt)
    job = fit(platform, NAME, channels(seen, CHECKED), TRANSLATION)
    targets = [target for _, target in found.numbers(learnt)]
    by_frequency = surprise(targets[:-CHECKED], targets[-CHECKED:])
    assert completed(job)["validation:perplexity"] < by_frequency / 2
    model = load(artifact(platform, job, tmp_path))
    asked = [source for source, _ in found.numbers(held_out)]
    written = [" ".join(found.target[word] for word in each.words) for each in model.write(asked)]
    wanted = [target for _, target in held_out]
    assert score(written, wanted) > score([source for source, _ in held_out], wanted)


def test_a_corrupt_record_fails_the_job_with_its_place(platform: LocalPlatform) -> None:
    few = channels(reversal(20), 5)
    body = few["train"].files["train.rec"] + pairs.write([{"source": [4, 9999], "target": [4]}])
    corrupt = fit(platform, NAME, {**few, "train": Data({"a.rec": body}, RECORDIO)}, SETTINGS)
    assert corrupt["FailureReason"].startswith(
        "ClientError: train/a.rec, record 16, feature 'source', word 2: 9999 is not in the vocab"
    )
