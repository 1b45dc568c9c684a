import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pytest

from algorithms.blazingtext import batches, load
from algorithms.blazingtext.engine import Settings, Trained, begun
from algorithms.catalog import algorithm
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.recordio import frame
from algorithms.toolkit.invocations import Refusal, invoke
from algorithms.toolkit.peers import Peers
from datasets.texts import lee, polarity
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]

REVIEWS = [(f"__label__{label}", sentence) for sentence, label in polarity()]
NEWS = lee()[:120]
# The model of each mode before a setting is changed.
UNCHANGED: dict[str, bytes] = {}
SMALL = {"vector_dim": 10, "buckets": 500}


def sentences(rows: list[tuple[str, str]] = REVIEWS) -> bytes:
    return "".join(f"{label} {sentence}\n" for label, sentence in rows).encode()


def news() -> bytes:
    return ("\n".join(NEWS) + "\n").encode()


def trained(
    new_job: NewJob, files: Mapping[str, bytes], validation: Any = None, **settings: Any
) -> JobFolder:
    job = new_job("blazingtext")
    job.channel("train", "text/plain", files)
    if validation is not None:
        job.channel("validation", "text/plain", {"text": validation})
    job.train(**settings)
    return job


def classifier(new_job: NewJob, **settings: Any) -> JobFolder:
    values = {"mode": "supervised", "min_count": 1, "learning_rate": 0.5, **SMALL, **settings}
    job = trained(new_job, {"train.txt": sentences()}, **values)
    assert not job.failure
    return job


def vectors(new_job: NewJob, **settings: Any) -> JobFolder:
    values = {"mode": "skipgram", "epochs": 1, **SMALL, **settings}
    job = trained(new_job, {"train.txt": news()}, **values)
    assert not job.failure
    return job


def direct(tmp_path: Path, text: bytes, **settings: Any) -> Any:
    path = tmp_path / "direct.txt"
    path.write_bytes(text)
    train = (
        fasttext.train_supervised
        if settings.pop("supervised", False)
        else fasttext.train_unsupervised
    )
    return train(str(path), thread=1, verbose=0, **settings)


def ask(job: JobFolder, document: Any, kind: str = "application/json", accept: Any = None) -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return invoke(load(job.model), body, kind, accept, batch=False)


def neighbours(model: Any, words: list[str], k: int = 10) -> dict[str, set[str]]:
    matrix = model.get_input_matrix()[: len(model.words)]
    matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    found = {}
    for word in words:
        near = np.argsort(-(matrix @ matrix[model.get_word_id(word)]))[1 : k + 1]
        found[word] = {model.words[row] for row in near}
    return found


def test_a_classifier_is_the_one_that_fasttext_makes_of_the_same_text(
    new_job: NewJob, tmp_path: Path
) -> None:
    job = classifier(new_job, epochs=10, word_ngrams=2)
    model = fasttext.load_model(str(job.model / "model.bin"))
    same = direct(
        tmp_path,
        sentences(),
        supervised=True,
        lr=0.5,
        dim=10,
        epoch=10,
        minCount=1,
        wordNgrams=2,
        bucket=500,
    )
    assert np.array_equal(model.get_input_matrix(), same.get_input_matrix())
    assert np.array_equal(model.get_output_matrix(), same.get_output_matrix())
    count, accuracy, _ = same.test(str(tmp_path / "direct.txt"))
    assert f"#train_accuracy: {accuracy:.4f}" in job.log
    assert f"Number of train examples: {count}" in job.log


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_word_vectors_are_those_that_fasttext_makes_of_the_same_text(
    new_job: NewJob, tmp_path: Path, mode: str
) -> None:
    job = vectors(new_job, mode=mode, subwords=True)
    model = fasttext.load_model(str(job.model / "vectors.bin"))
    same = direct(tmp_path, news(), model=mode, lr=0.05, dim=10, epoch=1, bucket=500)
    assert np.array_equal(model.get_input_matrix(), same.get_input_matrix())


def test_metrics_are_found_by_the_expressions_of_the_catalogue(new_job: NewJob) -> None:
    import re

    values = {"mode": "supervised", "min_count": 1, **SMALL}
    logs = trained(new_job, {"a": sentences()}, sentences()[:3000], **values).log
    logs += vectors(new_job).log
    for metric in algorithm("blazingtext").metrics:
        found = re.findall(metric.regex, logs)
        assert found, metric.name
        assert -1 <= float(found[-1]) <= 1


@pytest.mark.parametrize(
    ("mode", "changed"),
    [
        ("supervised", {}),
        ("skipgram", {}),
        ("batch_skipgram", {}),
        ("supervised", {"buckets": 100}),
        ("supervised", {"epochs": 2}),
        ("supervised", {"learning_rate": 0.1}),
        ("supervised", {"min_count": 3}),
        ("supervised", {"vector_dim": 8}),
        ("supervised", {"word_ngrams": 3}),
        ("skipgram", {"epochs": 2}),
        ("skipgram", {"learning_rate": 0.1}),
        ("skipgram", {"min_count": 9}),
        ("skipgram", {"negative_samples": 2}),
        ("skipgram", {"sampling_threshold": 0.01}),
        ("skipgram", {"subwords": True}),
        ("skipgram", {"vector_dim": 8}),
        ("skipgram", {"window_size": 2}),
        ("skipgram", {"mode": "cbow"}),
        ("batch_skipgram", {"batch_size": 20}),
        ("batch_skipgram", {"epochs": 2}),
        ("batch_skipgram", {"learning_rate": 0.1}),
        ("batch_skipgram", {"min_count": 9}),
        ("batch_skipgram", {"negative_samples": 2}),
        ("batch_skipgram", {"sampling_threshold": 0.01}),
        ("batch_skipgram", {"vector_dim": 8}),
        ("batch_skipgram", {"window_size": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value), "nothing"),
)
def test_a_model_changes_with_each_hyperparameter_and_with_nothing_else(
    new_job: NewJob, mode: str, changed: dict[str, Any]
) -> None:
    make = classifier if mode == "supervised" else vectors
    name = "model.bin" if mode == "supervised" else "vectors.bin"
    common = {"mode": mode, "epochs": 1, "evaluation": False}
    if mode not in UNCHANGED:
        UNCHANGED[mode] = (make(new_job, **common).model / name).read_bytes()
    other = (make(new_job, **{**common, **changed}).model / name).read_bytes()
    assert (UNCHANGED[mode] == other) == (not changed)


@pytest.mark.parametrize("changed", [{"min_char": 4}, {"max_char": 4}, {"buckets": 100}], ids=str)
def test_a_hyperparameter_of_subwords_changes_the_model(
    new_job: NewJob, changed: dict[str, Any]
) -> None:
    common = {"subwords": True, "evaluation": False}
    one, other = (
        (vectors(new_job, **settings).model / "vectors.bin").read_bytes()
        for settings in (common, {**common, **changed})
    )
    assert one != other


def test_the_log_names_settings_that_leave_the_model_alone(new_job: NewJob) -> None:
    job = classifier(new_job, window_size=3, patience=2, batch_size=5)
    named = {line.split()[-5] for line in job.log.splitlines() if "has no effect" in line}
    assert named == {"batch_size", "patience", "window_size"}


def test_early_stopping_takes_the_steps_of_fasttext(new_job: NewJob, tmp_path: Path) -> None:
    settings = {"mode": "supervised", "min_count": 1, "learning_rate": 0.5, "epochs": 10, **SMALL}
    job = trained(
        new_job, {"a": sentences()}, sentences(), early_stopping=True, patience=99, **settings
    )
    assert not job.failure
    model = fasttext.load_model(str(job.model / "model.bin"))
    same = classifier(new_job, epochs=10)
    expected = fasttext.load_model(str(same.model / "model.bin"))
    assert np.allclose(model.get_input_matrix(), expected.get_input_matrix(), atol=2e-3)
    assert np.allclose(model.get_output_matrix(), expected.get_output_matrix(), atol=5e-3)


def test_early_stopping_ends_after_patience_and_keeps_the_best_epoch(new_job: NewJob) -> None:
    foreign = sentences([(label, "word " * 3) for label, _ in REVIEWS[:50]])
    settings = {"mode": "supervised", "min_count": 1, "epochs": 30, **SMALL}
    job = trained(
        new_job,
        {"a": sentences()},
        foreign,
        early_stopping=True,
        min_epochs=7,
        patience=2,
        **settings,
    )
    assert "End of epoch: 7" in job.log
    assert "End of epoch: 8" not in job.log
    best = [line.rpartition(": ")[2] for line in job.log.splitlines() if "Best epoch" in line]
    accuracies = [
        float(line.rpartition(": ")[2])
        for line in job.log.splitlines()
        if "Validation accuracy:" in line
    ]
    assert accuracies.index(max(accuracies)) + 1 == int(best[0])
    assert f"#validation_accuracy: {max(accuracies):.4f}" in job.log


def fields() -> tuple[list[str], bytes]:
    """Words of three fields, and sentences of words of one field each."""
    random = np.random.default_rng(0)
    words = [[f"{field}{i}" for i in range(12)] for field in ("sea", "law", "art")]
    lines = [" ".join(random.choice(words[i % 3], 12)) for i in range(600)]
    return [word for field in words for word in field], "\n".join(lines).encode() + b"\n"


def of_their_field(model: Any, words: list[str]) -> float:
    """How many of its eleven nearest words are of a word's own field."""
    near = neighbours(model, words, 11)
    return float(np.mean([sum(w[:3] == word[:3] for w in near[word]) for word in words]))


@pytest.mark.parametrize("learning_rate", [0.05, 0.5])
def test_batch_skipgram_finds_which_words_belong_together(
    new_job: NewJob, learning_rate: float
) -> None:
    words, text = fields()
    settings = {"vector_dim": 16, "epochs": 10, "sampling_threshold": 1, "evaluation": False}
    job = trained(
        new_job,
        {"train.txt": text},
        mode="batch_skipgram",
        learning_rate=learning_rate,
        **settings,
    )
    assert not job.failure
    model = fasttext.load_model(str(job.model / "vectors.bin"))
    assert of_their_field(model, words) > 10.5


def test_two_hosts_make_the_same_vectors_and_as_good_ones(tmp_path: Path) -> None:
    words, text = fields()
    path = tmp_path / "text"
    path.write_bytes(text)
    settings = Settings(model="skipgram", lr=0.1, dim=16, epoch=6, minCount=1, t=1)
    names = ("algo-1", "algo-2")
    one, other = socket.socketpair()
    found: dict[str, Trained] = {}

    def fit(name: str, links: dict[int, socket.socket]) -> None:
        found[name] = batches.fit(path, settings, 11, Peers(name, names, links))

    threads = [
        threading.Thread(target=fit, args=("algo-1", {1: one})),
        threading.Thread(target=fit, args=("algo-2", {0: other})),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.close()
    other.close()
    assert np.array_equal(found["algo-1"].inputs, found["algo-2"].inputs)
    found["algo-1"].save(tmp_path / "vectors.bin")
    assert of_their_field(fasttext.load_model(str(tmp_path / "vectors.bin")), words) > 10.5


def test_every_word_of_a_text_is_in_one_part(tmp_path: Path) -> None:
    text = fields()[1]
    path = tmp_path / "text"
    path.write_bytes(text)
    model = begun(path, Settings(model="skipgram", lr=0.1, dim=2, epoch=1, minCount=1))
    vocabulary = batches.Vocabulary(model, 1)
    whole = [row for rows, _, _ in vocabulary.sentences(path, 0, len(text)) for row in rows]
    assert len(whole) == 600 * 12
    for parts in (2, 7, 100):
        ends = [len(text) * i // parts for i in range(parts + 1)]
        cut = [
            row
            for start, end in pairwise(ends)
            for rows, _, _ in vocabulary.sentences(path, start, end)
            for row in rows
        ]
        assert cut == whole


def test_vectors_as_text_are_those_of_the_binary(new_job: NewJob) -> None:
    job = vectors(new_job, subwords=True)
    first, *lines = (job.model / "vectors.txt").read_text().splitlines()
    assert first == f"{len(lines)} 10"
    model = load(job.model)
    words = [line.split()[0] for line in lines[:5]]
    answer = json.loads(
        invoke(model, json.dumps({"instances": words}).encode(), None, None, batch=False)[2]
    )
    for line, found in zip(lines[:5], answer, strict=True):
        assert np.allclose([float(x) for x in line.split()[1:]], found["vector"], rtol=1e-4)


def test_the_evaluation_is_written_beside_the_vectors(new_job: NewJob) -> None:
    job = vectors(new_job, mode="batch_skipgram", min_count=1)
    found = json.loads((job.model / "eval.json").read_text())
    assert f"#mean_rho: {found['mean_rho']:.4f}" in job.log
    assert found["EN-WS-353.txt"]["total_pairs"] == 353
    assert 200 < found["EN-WS-353.txt"]["not_found"] < 353
    assert not (vectors(new_job, evaluation=False).model / "eval.json").exists()


def test_an_image_without_the_pairs_refuses_the_evaluation_by_name(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("algorithms.blazingtext.similarity.pairs", lambda: None)
    job = trained(new_job, {"a": news()}, mode="cbow", evaluation=True)
    assert job.failure.startswith("ClientError: Hyperparameter evaluation: value True")
    assert "#mean_rho" not in vectors(new_job).log


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mode": "words"}, "mode"),
        ({"mode": "supervised", "window": 3}, "window"),
        ({"mode": "supervised", "early_stopping": True}, "early_stopping needs the channel"),
        ({"mode": "batch_skipgram", "subwords": True}, "subwords is true"),
        ({"mode": "skipgram", "min_char": 5, "max_char": 4}, "max_char must be >= min_char"),
        ({"mode": "supervised", "min_count": 5000}, "lower min_count"),
        ({"mode": "supervised", "learning_rate": 1e9, "epochs": 50}, "learning_rate"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_with_a_sentence(
    new_job: NewJob, settings: dict[str, Any], sentence: str
) -> None:
    job = trained(new_job, {"a": sentences()}, **{**SMALL, **settings})
    assert job.failure.startswith("ClientError: ")
    assert sentence in job.failure


def test_several_hosts_are_for_batch_skipgram_alone(new_job: NewJob) -> None:
    job = new_job("blazingtext")
    job.channel("train", "text/plain", {"a": news()})
    resources = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    config = job.base / "input" / "config" / "resourceconfig.json"
    config.write_text(json.dumps(resources))
    job.train(mode="skipgram")
    assert "Mode skipgram trains on one instance, not on 2" in job.failure


def test_validation_is_for_a_classifier_alone(new_job: NewJob) -> None:
    job = trained(new_job, {"a": news()}, news(), mode="cbow")
    assert "Channel validation is for mode supervised" in job.failure


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a.txt": b"__label__1 fine\nno label here\n"}, "train/a.txt, line 2: no label"),
        ({"a.txt": b"__label__1 fine\n\n__label__1 \xff\n"}, "train/a.txt, line 3: not UTF-8"),
        ({"a.json": b'{"source":"x","label":1}\n{"source":"y"}\n'}, "train/a.json, line 2: must"),
        ({"a.json": b'{"source":"x","label":1}\n{"source"\n'}, "line 2: not JSON"),
        ({"a.json": b'{"source":"x","label":"a b"}\n'}, "line 1: label 'a b' has a space"),
        ({"a.json": b'{"source":"x","label":[]}\n'}, "line 1: no label"),
        ({"a.json": b'{"source":"x","label":[null]}\n'}, "label None is neither"),
        ({"a.json": b'{"source":7,"label":1}\n'}, "source is '7', not text"),
    ],
    ids=["label", "bytes", "keys", "json", "space", "none", "null", "number"],
)
def test_a_corrupt_line_is_named(new_job: NewJob, files: dict[str, bytes], sentence: str) -> None:
    job = trained(new_job, files, mode="supervised", min_count=1, **SMALL)
    assert sentence in job.failure


def test_bytes_that_are_no_text_are_named_in_a_corpus(new_job: NewJob) -> None:
    body = b"good words\n" * 500_000 + b"caf\xe9 bad\n"
    job = trained(new_job, {"a.txt": body}, mode="skipgram")
    assert "train/a.txt, line 500001: not UTF-8" in job.failure


def test_json_lines_and_several_files_are_one_text(new_job: NewJob, tmp_path: Path) -> None:
    lines = [json.dumps({"source": s, "label": label[9:]}) for label, s in REVIEWS[:100]]
    rest = sentences(REVIEWS[100:]).rstrip(b"\n")
    job = trained(
        new_job,
        {"1.json": "\n".join(lines).encode(), "2.txt": rest},
        mode="supervised",
        min_count=1,
        learning_rate=0.5,
        **SMALL,
    )
    assert not job.failure
    whole = classifier(new_job)
    assert (job.model / "model.bin").read_bytes() == (whole.model / "model.bin").read_bytes()


@pytest.mark.parametrize("form", ["frames", "lines", "json"])
def test_a_pipe_gives_the_model_of_the_file(new_job: NewJob, form: str) -> None:
    pairs = [(json.dumps(s).encode(), json.dumps(label[9:]).encode()) for label, s in REVIEWS]
    body = {
        "frames": b"".join(frame(source) + frame(label) for source, label in pairs),
        "lines": sentences(),
        "json": b"\n".join(b'{"source":%s,"label":%s}' % pair for pair in pairs),
    }[form]
    job = new_job("blazingtext")
    job.pipe("train", "application/x-recordio", body[:1000], body[1000:])
    job.train(mode="supervised", min_count=1, learning_rate=0.5, **SMALL)
    assert not job.failure
    whole = classifier(new_job)
    assert (job.model / "model.bin").read_bytes() == (whole.model / "model.bin").read_bytes()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (frame(b'"good film"'), "record 1: a source without its label"),
        (frame(b"1") + frame(b'"good film"'), "AttributeNames must be source and label"),
        (frame(b"good film") + frame(b"1"), "record 1: not JSON"),
        (frame(b'"x"') + struct.pack("<II", 0xCED7230A, 99), "record 2, byte 12: truncated"),
        (b"no label", "line 1: no label"),
        (b"", "No data in channel train"),
    ],
    ids=["half", "order", "json", "cut", "text", "empty"],
)
def test_a_corrupt_stream_is_named(new_job: NewJob, body: bytes, sentence: str) -> None:
    job = new_job("blazingtext")
    job.pipe("train", "application/x-recordio", body)
    job.train(mode="supervised", **SMALL)
    assert sentence in job.failure


def test_a_pipe_is_for_a_classifier_alone(new_job: NewJob) -> None:
    job = new_job("blazingtext")
    job.pipe("train", "text/plain", news())
    job.train(mode="skipgram")
    assert "Channel train: Pipe mode is for mode supervised" in job.failure


def test_several_labels_of_one_line_are_all_learnt(new_job: NewJob) -> None:
    rows = [{"source": "red round apple", "label": [1, 3]}, {"source": "grey stone", "label": 2}]
    text = "\n".join(json.dumps(row) for row in rows * 60).encode()
    for settings in ({}, {"early_stopping": True, "patience": 30}):
        job = trained(
            new_job,
            {"a": text},
            text if settings else None,
            mode="supervised",
            min_count=1,
            epochs=20,
            learning_rate=0.5,
            **SMALL,
            **settings,
        )
        answer = {"instances": ["red apple"], "configuration": {"k": 2}}
        (found,) = json.loads(ask(job, answer)[2])
        assert set(found["label"]) == {"__label__1", "__label__3"}


def test_labels_are_answered_in_both_forms(new_job: NewJob) -> None:
    job = classifier(new_job, epochs=20)
    label, text = REVIEWS[0]
    status, kind, body = ask(job, {"instances": [text, "x"], "configuration": {"k": 2}})
    assert (status, kind) == (200, "application/json")
    first, second = json.loads(body)
    assert list(first) == ["label", "prob"]
    assert first["label"][0] == label
    assert len(second["label"]) == len(second["prob"]) == 2
    assert first["prob"] == sorted(first["prob"], reverse=True)
    assert sum(first["prob"]) == pytest.approx(1, abs=1e-3)

    lines = json.dumps({"source": text}).encode() + b'\n\n{"source": "x", "k": 3}\n'
    _, kind, body = ask(job, lines, "application/jsonlines", "text/csv")
    assert kind == "application/jsonlines"
    one, other = map(json.loads, body.splitlines())
    assert list(one) == ["prob", "label"]
    assert one["label"] == [label]
    assert len(other["label"]) == 2

    _, kind, body = ask(job, {"instances": [text]}, accept="application/jsonlines")
    assert json.loads(body)["label"] == [label]


def test_words_are_answered_by_their_vectors(new_job: NewJob) -> None:
    whole, parts = vectors(new_job), vectors(new_job, subwords=True)
    request = {"instances": ["government", "governmentish"]}
    known, unknown = json.loads(ask(whole, request)[2])
    assert list(known) == ["vector", "word"]
    assert known["word"] == "government"
    assert any(known["vector"])
    assert unknown["vector"] == [0.0] * 10
    known, guessed = (np.array(one["vector"]) for one in json.loads(ask(parts, request)[2]))
    assert guessed.any()
    cosine = known @ guessed / np.linalg.norm(known) / np.linalg.norm(guessed)
    assert cosine > 0.5
    body = ask(parts, b'{"source": "government"}', "application/jsonlines")[2]
    assert np.allclose(json.loads(body)["vector"], known)


@pytest.mark.parametrize(
    ("kind", "body", "status", "sentence"),
    [
        ("application/octet-stream", b"x", 415, "application/octet-stream' is not supported"),
        ("application/json", b"{", 400, "payload: not JSON"),
        ("application/json", b'["a"]', 400, "payload: must be"),
        ("application/json", b'{"instances": []}', 400, "at least one text"),
        ("application/json", b'{"instances": [1]}', 400, "payload, instance 1: 1 is not a text"),
        ("application/json", b'{"instances": ["a"], "configuration": 3}', 400, "configuration"),
        ("application/json", b'{"instances": ["a"], "configuration": {"k": 0}}', 400, "k is 0"),
        ("application/json", b'{"instances": ["a"], "configuration": {"k": "2"}}', 400, "k is '2'"),
        ("application/jsonlines", b'{"source": "a"}\n{"text": "a"}', 400, "payload, line 2: must"),
        ("application/jsonlines", b"\n", 400, "holds no line"),
    ],
    ids=lambda value: None if isinstance(value, str | int) else str(len(value)),
)
def test_a_wrong_request_is_refused_with_a_sentence(
    new_job: NewJob, kind: str, body: bytes, status: int, sentence: str
) -> None:
    job = classifier(new_job, epochs=1)
    with pytest.raises(Refusal, match=sentence.replace("[", r"\[")) as refusal:
        ask(job, body, kind)
    assert refusal.value.status == status


def test_k_is_refused_for_words(new_job: NewJob) -> None:
    with pytest.raises(Refusal, match="k is for labels"):
        ask(vectors(new_job), {"instances": ["a"], "configuration": {"k": 2}})


def test_a_stop_ends_training_while_the_library_is_at_it(new_job: NewJob) -> None:
    job = new_job("blazingtext")
    job.channel("train", "text/plain", {"a": news()})
    values = {"mode": "skipgram", "epochs": "100000"}
    config = job.base / "input" / "config" / "hyperparameters.json"
    config.write_text(json.dumps(values))
    environment = {**os.environ, "ALGORITHM_NAME": "blazingtext"}
    command = [sys.executable, "-m", "algorithms", "train"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Training with" in line:
                break
        process.terminate()
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "Stopped by request of the platform" in rest
    assert not [*job.model.glob("*")]


@pytest.mark.parametrize("name", ["model.bin", "model.ftz"])
def test_a_quantized_classifier_answers_with_the_probabilities_of_the_library(
    name: str, tmp_path: Path
) -> None:
    words = [f"word{number}" for number in range(300)]
    text = "".join(f"__label__{i % 3} {' '.join(words[i::7])}\n" for i in range(60)).encode()
    model = direct(tmp_path, text, supervised=True, dim=8, minCount=1, epoch=20, lr=1.0)
    model.quantize(input=str(tmp_path / "direct.txt"), qnorm=False, retrain=False)
    folder = tmp_path / "model"
    folder.mkdir()
    model.save_model(str(folder / name))
    body = json.dumps({"instances": ["word0 word7"], "configuration": {"k": 3}}).encode()
    (found,) = json.loads(invoke(load(folder), body, "application/json", None, batch=False)[2])
    labels, chances = model.predict("word0 word7", k=3)
    assert found["label"] == list(labels)
    np.testing.assert_allclose(found["prob"], np.minimum(chances, 1), atol=1e-6)
    assert len(set(found["prob"])) == 3


def test_a_foreign_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CustomerError, match=r"neither model\.bin nor vectors\.bin; it holds noth"):
        load(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"PK\3\4 something else")
    with pytest.raises(CustomerError, match=r"model\.bin is not a binary model of fastText"):
        load(tmp_path)
