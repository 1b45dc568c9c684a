"""Whoever follows what a refusal shows is answered, and not refused anew."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pytest

from algorithms import kmeans
from algorithms.blazingtext import engine
from algorithms.blazingtext.model import TextModel
from algorithms.catalog import algorithm
from algorithms.ipinsights import model as ipinsights
from algorithms.ipinsights import network as ip_network
from algorithms.object2vec import model as object2vec
from algorithms.object2vec import network as pair_network
from algorithms.seq2seq import model as seq2seq
from algorithms.seq2seq import network as word_network
from algorithms.seq2seq.vocabulary import Vocabulary
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.invocations import Refusal, invoke
from algorithms.toolkit.job import Channel

JSON, LINES = "application/json", "application/jsonlines"


def points(_: Path) -> Any:
    return kmeans.Model(np.zeros((2, 2), dtype=np.float32))


def addresses(_: Path) -> Any:
    return ipinsights.Model(ip_network.Network(16, 4, 1))


def pairs(_: Path) -> Any:
    settings = algorithm("object2vec").parse(
        {"enc0_max_seq_len": "4", "enc0_vocab_size": "2", "enc_dim": "8"}
    )
    return object2vec.Model(pair_network.Network(pair_network.Shape.of(settings)))


def sentences(_: Path) -> Any:
    settings = algorithm("seq2seq").parse({"rnn_num_hidden": "8", "num_embed_source": "8"})
    words = Vocabulary(["<pad>", "<unk>", "<s>", "</s>", "words"])
    made = word_network.Network(settings, len(words), len(words))
    return seq2seq.Model(made, 1, seq2seq.Lengths([2], 4), 4, (words, words))


def text(folder: Path, *, supervised: bool) -> Any:
    path = folder / "text"
    path.write_text("__label__1 some words\n__label__0 other things\n" * 5)
    train = fasttext.train_supervised if supervised else fasttext.train_unsupervised
    train(str(path), dim=4, minCount=1, bucket=10, epoch=1, thread=1, verbose=0).save_model(
        str(folder / "model.bin")
    )
    return TextModel(engine.load(folder / "model.bin"))


MODELS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a model of rows": (points, "[1, 2]"),
    "ipinsights": (addresses, '["user", "192.168.1.2"]'),
    "object2vec": (pairs, "[1]"),
    "seq2seq": (sentences, '["words"]'),
    "a classifier of texts": (lambda folder: text(folder, supervised=True), '["words"]'),
    "vectors of words": (lambda folder: text(folder, supervised=False), '["words"]'),
}
WRONG = [
    "[1]",
    "5",
    "{}",
    '{"instances": 1}',
    '{"instances": []}',
    '{"instances": [1]}',
    '{"instances": [{}]}',
    '{"instances": [{"a": 1}]}',
    '{"instances": [{"features": 1}]}',
    '{"instances": [{"features": {"keys": [0], "values": [1]}}]}',
    '{"instances": [{"in0": [], "in1": [1]}]}',
    '{"instances": [{"label": 1, "in0": [1], "in1": [1]}]}',
    '{"instances": ["words"], "configuration": 1}',
    '{"instances": [{"data": "words", "configuration": 1}]}',
    '[{"in0": [1, 2], "in1": [3]}]',
]


def shown(sentence: str) -> Iterator[str]:
    """The objects of JSON that a sentence shows, after what it says was found."""
    _, *rest = re.split(r"must (?:be|have)", sentence, maxsplit=1)
    sentence = "".join(rest)
    start = depth = 0
    for place, sign in enumerate(sentence):
        if sign == "{":
            start = start if depth else place
            depth += 1
        elif sign == "}" and depth:
            depth -= 1
            if not depth:
                yield sentence[start : place + 1]


def followed(sentence: str, kind: str, wrong: str, filling: str) -> Iterator[bytes]:
    """What somebody sends who does as a sentence says."""
    found = [*shown(sentence)]
    for one in found:
        body = one.replace("[...]", filling)
        if '"instances": [...]' in one:
            # The others show what stands in the list.
            continue
        if "configuration must be" in sentence:
            body = json.dumps({**json.loads(wrong), "configuration": json.loads(body)})
        elif kind == JSON and '"instances"' not in body:
            body = f'{{"instances": [{body}]}}'
        yield body.encode()


@pytest.mark.parametrize("name", MODELS)
def test_what_a_refusal_of_a_request_shows_is_answered(name: str, tmp_path: Path) -> None:
    make, filling = MODELS[name]
    model, tried = make(tmp_path), 0
    for kind in (JSON, LINES):
        for wrong in WRONG:
            try:
                invoke(model, wrong.encode(), kind, None, batch=False)
            except Refusal as refusal:
                for body in followed(str(refusal), kind, wrong, filling):
                    status, _, _ = invoke(model, body, kind, None, batch=False)
                    assert status == 200
                    tried += 1
    assert tried


@pytest.mark.parametrize("name", MODELS)
def test_what_a_refusal_of_a_content_type_names_is_taken(name: str, tmp_path: Path) -> None:
    make, _ = MODELS[name]
    model = make(tmp_path)
    with pytest.raises(Refusal) as refused:
        invoke(model, b"x", "text/html", None, batch=False)
    named = re.findall(r"[a-z]+/[a-z-]+", str(refused.value))[1:]
    assert named == [*model.accepts]
    for kind in named:
        with pytest.raises(Refusal) as other:
            invoke(model, b"\xff", kind, None, batch=False)
        assert other.value.status == 400
    with pytest.raises(Refusal) as refused:
        invoke(model, b"x", None, "text/html", batch=False)
    assert re.findall(r"[a-z]+/[a-z-]+", str(refused.value))[1:] == [*model.answers]


@pytest.mark.parametrize("name", ["a model of rows", "ipinsights"])
def test_a_request_has_no_labels(name: str, tmp_path: Path) -> None:
    make, _ = MODELS[name]
    model, body = make(tmp_path), b"1,192.168.1.2" if name == "ipinsights" else b"1,2"
    with pytest.raises(Refusal, match=r"label_size=1: .*; label_size=0 is allowed"):
        invoke(model, body, "text/csv;label_size=1", None, batch=False)
    assert invoke(model, body, "text/csv;label_size=0", None, batch=False)[0] == 200


def test_lengths_as_a_refusal_shows_them_are_taken(tmp_path: Path) -> None:
    model, body = pairs(tmp_path), b'{"in0": [0, 1], "in1": [1]}'
    with pytest.raises(Refusal) as refused:
        invoke(model, body, f"{LINES};infer_max_seqlens=a", None, batch=False)
    example = str(refused.value).rpartition("such as ")[2]
    kind = f"{LINES};infer_max_seqlens={example}"
    assert invoke(model, body, kind, None, batch=False)[0] == 200


def test_a_line_of_training_as_a_refusal_shows_it_is_taken(tmp_path: Path) -> None:
    from algorithms.object2vec.pairs import Vocabulary as Side
    from algorithms.object2vec.pairs import read

    (tmp_path / "a.jsonl").write_text("[1]\n")
    channel = Channel("train", tmp_path, None, "File")
    sides = (Side(2, 5), Side(2, 5))
    with pytest.raises(FormatError) as refused:
        read(channel, sides, lambda label, _: float(label))
    (tmp_path / "a.jsonl").write_text("".join(shown(str(refused.value))))
    assert len(read(channel, sides, lambda label, _: float(label))) == 1
