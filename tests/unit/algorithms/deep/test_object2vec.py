"""Object2Vec: jobs, from their lines of JSON to scores and vectors."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import object2vec
from algorithms.catalog import algorithm
from algorithms.object2vec.model import MODEL_FILE
from algorithms.object2vec.network import Network, Shape
from algorithms.object2vec.pairs import Pairs, Sequences
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.invocations import Refusal, invoke
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]

JSONL = "application/jsonlines"
SETTINGS: dict[str, Any] = {
    "enc0_max_seq_len": 6,
    "enc0_vocab_size": 12,
    "enc0_network": "pooled_embedding",
    "enc0_token_embedding_dim": 8,
    "enc_dim": 16,
    "mlp_dim": 16,
    "mlp_layers": 1,
    "mlp_activation": "relu",
    "mini_batch_size": 16,
    "learning_rate": 0.01,
    "epochs": 4,
}


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs whose label tells whether both sides are of the same half of the vocabulary."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        halves = random.integers(2, size=2)
        first, second = (
            (6 * half + random.integers(6, size=random.integers(1, 6))).tolist() for half in halves
        )
        found.append({"label": int(halves[0] == halves[1]), "in0": first, "in1": second})
    return found


def text(found: Sequence[Mapping[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, found)).encode() + b"\n"


def given(job: JobFolder, **channels: Sequence[Mapping[str, Any]]) -> JobFolder:
    for name, found in channels.items():
        job.channel(name, JSONL, {"a.jsonl": text(found)})
    return job


def told(job: JobFolder, name: str) -> list[float]:
    """The values of a metric, found by the pattern of the catalogue."""
    (metric,) = (each for each in algorithm("object2vec").metrics if each.name == name)
    return [float(value) for value in re.findall(metric.regex, job.log)]


def asked(job: JobFolder, instances: Any, kind: str = "application/json") -> Any:
    body = json.dumps({"instances": instances}).encode()
    return json.loads(invoke(object2vec.load(job.model), body, kind, None, batch=False)[2])


@pytest.mark.parametrize("network", ["hcnn", "bilstm", "pooled_embedding"])
def test_every_encoder_learns_what_relates_two_sequences(network: str, new_job: NewJob) -> None:
    job = given(new_job("object2vec"), train=rows(300), validation=rows(60, 1), test=rows(60, 2))
    settings = {**SETTINGS, "enc0_network": network, "epochs": 12, "early_stopping_patience": 5}
    assert job.train(**settings) == 0, job.failure
    assert told(job, "test:accuracy")[-1] >= 0.9
    assert told(job, "test:cross_entropy")[-1] < 0.4
    one, other = {"in0": [1, 2, 3], "in1": [4]}, {"in0": [1, 2, 3], "in1": [9, 10]}
    answers = asked(job, [one, other, {"in0": [1]}, {"in1": [9, 10]}])["predictions"]
    assert answers[0]["scores"][1] > 0.5 > answers[1]["scores"][1]
    assert sum(answers[0]["scores"]) == pytest.approx(1)
    assert [len(answer["embeddings"]) for answer in answers[2:]] == [16, 16]
    # What is behind a sequence in its batch does not change its answer.
    assert asked(job, [one])["predictions"][0]["scores"] == pytest.approx(answers[0]["scores"])


def test_numbers_are_predicted_by_regression(new_job: NewJob) -> None:
    found = [{**row, "label": 2.5 * row["label"] - 1} for row in rows(300)]
    job = given(new_job("object2vec"), train=found, test=found[:50])
    settings = {**SETTINGS, "epochs": 10, "output_layer": "mean_squared_error"}
    assert job.train(**settings) == 0, job.failure
    assert told(job, "test:mean_squared_error")[-1] < 0.4
    (answer,) = asked(job, [{"in0": [1], "in1": [2]}])["predictions"]
    assert answer["scores"] == [pytest.approx(1.5, abs=0.8)]


def test_lines_are_answered_with_lines_and_cut_where_the_client_says(new_job: NewJob) -> None:
    job = given(new_job("object2vec"), train=rows(40))
    assert job.train(**{**SETTINGS, "epochs": 1}) == 0
    model = object2vec.load(job.model)
    body = b'{"in0": [1, 7, 8]}\n\n{"in0": [1]}\n'
    _, kind, answer = invoke(model, body, JSONL, JSONL, batch=True)
    assert kind == JSONL
    first, second = (json.loads(line)["embeddings"] for line in answer.splitlines())
    assert first != second
    _, _, answer = invoke(model, body, f"{JSONL}; infer_max_seqlens=1,100", JSONL, batch=True)
    first, second = (json.loads(line)["embeddings"] for line in answer.splitlines())
    assert first == pytest.approx(second)


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ("{", "application/json", "payload: not JSON"),
        ("{}", "application/json", 'payload: must be {"instances": [{"in0"'),
        ('{"instances": [1]}', "application/json", 'instance 1: must be an object such as {"in0"'),
        ('{"instances": [{"label": 1}]}', "application/json", "instance 1: must have in0 and in1"),
        ('{"instances": [{"in0": []}]}', "application/json", "in0 must be a list of at least one"),
        ('{"instances": [{"in0": [1.5]}]}', "application/json", "in0 holds 1.5; tokens are whole"),
        (
            '{"in1": [12]}',
            JSONL,
            'payload, line 1: Inconsistent vocab for in1 found. Vocab id "12" is not less than '
            "vocab_size=12",
        ),
        ("\n", JSONL, "payload holds no line"),
        ('{"in0": [1]}', f"{JSONL};infer_max_seqlens=0,1", "must be two lengths from 1 to 5000"),
    ],
)
def test_a_wrong_request_is_refused_with_its_place(
    body: str, kind: str, sentence: str, new_job: NewJob
) -> None:
    job = given(new_job("object2vec"), train=rows(20))
    assert job.train(**{**SETTINGS, "epochs": 1}) == 0
    with pytest.raises(Refusal) as refused:
        invoke(object2vec.load(job.model), body.encode(), kind, None, batch=False)
    assert refused.value.status == 400
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"label": 2, "in0": [1], "in1": [1]}', "the label is 2; with num_classes 2 it is a wh"),
        ('{"label": NaN, "in0": [1], "in1": [1]}', "not JSON"),
        ('{"label": "1", "in0": [1], "in1": [1]}', "the label is '1', not a number"),
        ('{"in0": [1], "in1": [1]}', "the label is None, not a number"),
        ('{"label": 1, "in0": [1], "in1": 1}', "in1 must be a list of at least one token number"),
        ('{"label": 1, "in0": [-1], "in1": [1]}', "in0 holds -1; tokens are whole numbers from"),
        (
            '{"label": 1, "in0": [1], "in1": [12]}',
            'Inconsistent vocab for in1 found. Vocab id "12" is not less than vocab_size=12',
        ),
        ("[]", "must be an object"),
    ],
)
def test_a_corrupt_line_is_named(line: str, sentence: str, new_job: NewJob) -> None:
    job = new_job("object2vec")
    job.channel("train", JSONL, {"a.jsonl": text(rows(2)) + line.encode()})
    assert job.train(**SETTINGS) == 1
    assert f"ClientError: train/a.jsonl, line 3: {sentence}" in job.failure


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"enc1_network": "hcnn"}, "enc1_max_seq_len"),
        ({"comparator_list": "hadamard,hadamard"}, "comparator_list names one twice"),
        (
            {
                "tied_token_embedding_weight": "True",
                "enc1_network": "hcnn",
                "enc1_max_seq_len": 4,
                "enc1_vocab_size": 13,
            },
            "vocab_size and token_embedding_dim of both encoders must be the same",
        ),
        (
            {"token_embedding_storage_type": "row_sparse", "optimizer": "rmsprop"},
            "row_sparse is not supported with optimizer rmsprop",
        ),
        (
            {"token_embedding_storage_type": "row_sparse", "weight_decay": 0.1},
            "row_sparse is not supported with weight_decay",
        ),
        ({"enc0_vocab_file": "vocab.json"}, "enc0_pretrained_embedding_file is not set"),
        ({"feature_dim": 3}, "feature_dim"),
        ({"learning_rate": 1, "optimizer": "sgd", "mlp_layers": 10}, "the training diverged"),
    ],
    ids=["needed", "twice", "tied", "rmsprop", "decay", "vectors", "unknown", "diverged"],
)
def test_a_wrong_hyperparameter_is_told(
    changes: dict[str, Any], sentence: str, new_job: NewJob
) -> None:
    job = new_job("object2vec")
    loud = [{**row, "label": 1e4 * row["label"]} for row in rows(60)]
    found = loud if "learning_rate" in changes else rows(20)
    settings = {**SETTINGS, **changes}
    if "learning_rate" in changes:
        settings |= {"output_layer": "mean_squared_error", "mlp_activation": "linear"}
    given(job, train=found)
    assert job.train(**settings) == 1
    assert job.failure.startswith("ClientError: ")
    assert sentence in job.failure


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket_width": 2},
        {"comparator_list": "abs_diff"},
        {"comparator_list": "concat,hadamard"},
        {"dropout": 0.5},
        {"enc_dim": 15, "enc0_network": "bilstm"},
        {"enc0_network": "hcnn", "enc0_cnn_filter_width": 2, "enc0_layers": 3},
        {"enc0_layers": 2},
        {"enc0_max_seq_len": 1},
        {"enc0_token_embedding_dim": 4},
        {
            "enc1_network": "hcnn",
            "enc1_layers": 2,
            "enc1_cnn_filter_width": 5,
            "enc1_max_seq_len": 2,
            "enc1_vocab_size": 30,
            "enc1_token_embedding_dim": 5,
        },
        {"mlp_layers": 0},
        {"mlp_activation": "tanh"},
        {"mlp_dim": 7},
        {"num_classes": 3},
        {"negative_sampling_rate": 2},
        {"tied_token_embedding_weight": "True"},
        {"weight_decay": 0.3},
        {"optimizer": "adagrad"},
        {"optimizer": "adadelta"},
        {"optimizer": "rmsprop"},
        {"optimizer": "sgd"},
        {"token_embedding_storage_type": "row_sparse", "optimizer": "sgd"},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_each_setting_changes_the_model(changes: dict[str, Any], new_job: NewJob) -> None:
    scores = []
    for settings in (SETTINGS, {**SETTINGS, **changes}):
        job = given(new_job("object2vec"), train=rows(40))
        assert job.train(**{**settings, "epochs": 2}) == 0, job.failure
        scores.append(asked(job, [{"in0": [1, 7, 2], "in1": [3, 8]}])["predictions"][0]["scores"])
    assert scores[0] != pytest.approx(scores[1], abs=1e-7)


def test_the_same_job_gives_the_same_model_also_with_sparse_gradients(new_job: NewJob) -> None:
    scores = []
    for settings in ({}, {}, {"token_embedding_storage_type": "row_sparse"}):
        job = given(new_job("object2vec"), train=rows(40))
        assert job.train(**SETTINGS, **settings) == 0, job.failure
        scores.append(asked(job, [{"in0": [1], "in1": [3]}])["predictions"][0]["scores"])
    assert scores[0] == scores[1]
    assert all(math.isfinite(score) for score in scores[2])


def test_training_ends_without_progress_and_keeps_the_best_model(new_job: NewJob) -> None:
    # Labels of chance: what is learnt of them is wrong for others.
    random = np.random.default_rng(0)
    noise = [{**row, "label": int(random.integers(2))} for row in rows(80)]
    job = given(new_job("object2vec"), train=noise[:40], validation=noise[40:], test=noise[40:])
    settings = {**SETTINGS, "epochs": 60, "learning_rate": 0.05, "early_stopping_patience": 2}
    assert job.train(**settings, early_stopping_tolerance=0.1) == 0
    losses = told(job, "validation:cross_entropy")
    assert len(losses) < 60
    assert "Early stopping after epoch" in job.log
    assert told(job, "test:cross_entropy") == [pytest.approx(min(losses))]


def test_vectors_learnt_elsewhere_are_taken_and_kept_where_asked(new_job: NewJob) -> None:
    vocabulary = {f"w{number}": number for number in range(12)}
    lines = [f"w{number} " + " ".join([str(number / 10)] * 8) for number in range(1, 12)]
    files = {"vocab.json": json.dumps(vocabulary).encode(), "v.txt": "\n".join(lines).encode()}
    for frozen in (True, False):
        job = given(new_job("object2vec"), train=rows(40))
        job.channel("auxiliary", "text/plain", files)
        job_settings = {
            **SETTINGS,
            "enc0_pretrained_embedding_file": "v.txt",
            "enc0_vocab_file": "vocab.json",
            "enc0_freeze_pretrained_embedding": str(frozen),
        }
        assert job.train(**job_settings) == 0, job.failure
        assert "enc0: 11 of 12 vectors are pretrained" in job.log
        table = object2vec.load(job.model).network.encoders[0].table.weight
        assert torch.allclose(table[3], torch.full((8,), 0.3)) is frozen
    for name, body, sentence in (
        ("v.txt", b"w1 1 2", "auxiliary/v.txt, line 1: 2 numbers; enc0_token_embedding_dim is 8"),
        ("v.txt", b"w1 a b", "auxiliary/v.txt, line 1: not a word and its numbers"),
        ("v.txt", b"x 1 2", "auxiliary/v.txt has none of the words of vocab.json"),
        ("vocab.json", b'{"w1": 12}', "auxiliary/vocab.json: the number of 'w1' is 12; with this"),
        ("vocab.json", b"[", "auxiliary/vocab.json: not JSON"),
    ):
        job.channel("auxiliary", "text/plain", {**files, name: body})
        assert job.train(**job_settings) == 1
        assert sentence in job.failure


def test_batches_have_pairs_of_like_length_and_made_up_ones_are_none_that_were_given() -> None:
    lengths = [1, 9] * 20
    lists = [[number] * length for number, length in enumerate(lengths)]
    pairs = Pairs((Sequences.of(lists), Sequences.of(lists)), np.ones(40, dtype=np.float32))
    random = np.random.default_rng(0)
    for batch in pairs.shuffled(10, 5, 0, random):
        assert len(set(batch.lengths[0].tolist())) == 1
    seen = 0
    for batch in pairs.shuffled(10, 0, 3, random):
        own = batch.tokens[0][:, 0] == batch.tokens[1][:, 0]
        assert own.tolist() == (batch.labels == 1).tolist()
        seen += int(own.sum())
        assert len(batch) == 40
    assert seen == 40


def test_a_table_that_both_sides_share_is_written_once(new_job: NewJob, tmp_path: Path) -> None:
    job = given(new_job("object2vec"), train=rows(20))
    assert job.train(**SETTINGS, tied_token_embedding_weight="True") == 0
    network = object2vec.load(job.model).network
    assert torch.equal(network.encoders[0].table.weight, network.encoders[1].table.weight)
    filled = algorithm("object2vec").parse({key: str(value) for key, value in SETTINGS.items()})
    assert len(Network(Shape.of({**filled, "tied_token_embedding_weight": True})).tables) == 1


def test_a_foreign_model_or_an_unknown_mode_is_refused(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = given(new_job("object2vec"), train=rows(20))
    assert job.train(**{**SETTINGS, "epochs": 1}) == 0
    monkeypatch.setenv("INFERENCE_PREFERRED_MODE", "embeddings")
    with pytest.raises(CustomerError, match="INFERENCE_PREFERRED_MODE is 'embeddings'; classifi"):
        object2vec.load(job.model)
    monkeypatch.setenv("INFERENCE_PREFERRED_MODE", "embedding")
    object2vec.load(job.model)
    (job.model / MODEL_FILE).write_bytes(b"other")
    with pytest.raises(CustomerError, match="is not a Object2Vec model of this image"):
        object2vec.load(job.model)
