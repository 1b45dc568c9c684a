import json
import os
import re
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from algorithms.catalog import algorithm
from algorithms.seq2seq import load, pairs
from algorithms.seq2seq.model import MODEL_FILE, Model
from algorithms.seq2seq.search import search
from algorithms.seq2seq.steps import Trainer
from algorithms.toolkit import deep, optimizers
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.invocations import Refusal, invoke
from datasets.sequences import SPECIAL, Languages, reversal
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]
JSON, LINES = "application/json", "application/jsonlines"
RECORDIO = "application/x-recordio-protobuf"
SMALL = {
    "num_embed_source": 12,
    "num_embed_target": 12,
    "rnn_num_hidden": 16,
    "cnn_num_hidden": 16,
    "batch_size": 20,
    "learning_rate": 0.01,
    "beam_size": 2,
    "max_num_batches": 3,
}
# Enough of it to write short sentences backwards.
LEARNT = {**SMALL, "rnn_num_hidden": 32, "learning_rate": 0.02, "max_num_batches": 150}


@cache
def language() -> Languages:
    return reversal(700, words=6, longest=4)


def records(some: Any) -> bytes:
    return pairs.write([{"source": source, "target": target} for source, target in some])


def channels(job: JobFolder, train: bytes | None = None, **vocabularies: bytes) -> None:
    numbers = language().numbers(language().pairs)
    job.channel("train", RECORDIO, {"train.rec": train or records(numbers[:600])})
    job.channel("validation", RECORDIO, {"val.rec": records(numbers[600:640])})
    files = {**language().vocabularies(), **{f"vocab.{k}.json": v for k, v in vocabularies.items()}}
    job.channel("vocab", None, files)


def fitted(new_job: NewJob, **settings: Any) -> JobFolder:
    job = new_job("seq2seq")
    channels(job)
    texts = {name: str(value) for name, value in {**SMALL, **settings}.items()}
    assert job.train(**texts) == 0, job.failure
    return job


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a network that writes short sentences backwards."""
    from algorithms.toolkit import training

    base = tmp_path_factory.mktemp("learnt")
    config = base / "input" / "config"
    config.mkdir(parents=True)
    (config / "inputdataconfig.json").write_text("{}")
    capture: Any = None
    job = JobFolder("seq2seq", base, capture)
    channels(job)
    told = {name: str(value) for name, value in LEARNT.items()}
    (config / "hyperparameters.json").write_text(json.dumps(told))
    handler = signal.getsignal(signal.SIGTERM)
    before = os.environ.get("SAGEMAKER_BASE_DIR")
    os.environ["SAGEMAKER_BASE_DIR"] = str(base)
    try:
        assert training.run("seq2seq") == 0, job.failure
    finally:
        signal.signal(signal.SIGTERM, handler)
        os.environ.pop("SAGEMAKER_BASE_DIR")
        if before is not None:
            os.environ["SAGEMAKER_BASE_DIR"] = before
    return job.model


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load(folder)


def ask(model: Model, body: bytes | str, kind: str, accept: str | None = None) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    status, answered, answer = invoke(model, body, kind, accept, batch=False)
    assert (status, answered) == (200, accept or kind)
    return answer


def refused(model: Model, body: bytes | str, kind: str, accept: str | None = None) -> str:
    body = body.encode() if isinstance(body, str) else body
    with pytest.raises(Refusal) as error:
        invoke(model, body, kind, accept, batch=False)
    return f"{error.value.status} {error.value}"


def values(log: str, name: str, channel: str = "validation") -> list[float]:
    """What a job logged of a metric, as the catalogue's own expression finds it."""
    known = {metric.name: metric.regex for metric in algorithm("seq2seq").metrics}
    return [float(found) for found in re.findall(known[f"{channel}:{name}"], log)]


def test_it_learns_to_write_backwards(model: Model) -> None:
    unseen = language().pairs[640:]
    body = "".join(json.dumps({"source": source}) + "\n" for source, _ in unseen)
    lines = ask(model, body, LINES).splitlines()
    right = [
        json.loads(line)["target"] == wanted
        for line, (_, wanted) in zip(lines, unseen, strict=True)
    ]
    assert np.mean(right) >= 0.8


def test_json_is_answered_with_the_matrix_of_attention_where_it_is_asked_for(model: Model) -> None:
    source, target = "w1 w2 w3", "w3 w2 w1"
    for wish in ("true", True):
        request = [
            {"data": source},
            {"data": source, "configuration": {"attention_matrix": wish}},
            {"data": source, "configuration": {"attention_matrix": "false"}},
        ]
        answer = json.loads(ask(model, json.dumps({"instances": request}), JSON))
        plain, looked, other = answer["predictions"]
        assert plain == other == {"target": target}
        matrix = np.array(looked.pop("matrix"))
        assert looked == plain
        assert matrix.shape == (3, 3)
        assert matrix.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)


def test_records_of_numbers_are_answered_as_such(model: Model) -> None:
    ((source, target),) = language().numbers([("w1 w2 w3", "w3 w2 w1")])
    signed = [2, *source, 3]
    body = pairs.write([{"source": source}, {"source": signed}])
    answer = ask(model, body, RECORDIO)
    for message in recordio.frames(answer, "answer"):
        record = record_class().FromString(bytes(message))
        assert list(record.features["target"].int32_tensor.values) == target
    assert json.loads(ask(model, body, RECORDIO, LINES).splitlines()[0])["target"] == "w3 w2 w1"


def test_every_form_of_request_may_have_every_form_of_answer(model: Model) -> None:
    bodies: dict[str, str | bytes] = {
        JSON: json.dumps({"instances": [{"data": "w1 w2"}]}),
        LINES: '\n{"source": "w1 w2"}\n\n',
        RECORDIO: pairs.write([{"source": language().numbers([("w1 w2", "")])[0][0]}]),
    }
    for accept in (JSON, LINES, RECORDIO):
        assert len({ask(model, body, kind, accept) for kind, body in bodies.items()}) == 1
    for kind, body in bodies.items():
        ask(model, body, kind)
        assert invoke(model, _bytes(body), kind, "*/*", batch=True)[1] == kind


def _bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


def test_unknown_long_and_empty_sentences_are_answered_in_their_order(model: Model) -> None:
    texts = ["w1", "", "never seen words", "w1 w2 w3 " * 80, "w3 w4"]
    body = json.dumps({"instances": [{"data": text} for text in texts]})
    found = [one["target"] for one in json.loads(ask(model, body, JSON))["predictions"]]
    assert (found[0], found[1], found[4]) == ("w1", "", "w4 w3")
    assert len(found) == 5


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ("{", JSON, "payload: not JSON: "),
        ('{"data": "a"}', JSON, 'payload: must be {"instances": [...]}, each instance {"data"'),
        ('{"instances": []}', JSON, 'payload: must be {"instances": [...]}'),
        ('{"instances": ["a"]}', JSON, 'payload, instance 1: must be {"data": "words ..."}'),
        ('{"instances": [{"data": "a"}, {"data": 1}]}', JSON, "payload, instance 2: must be"),
        (
            '{"instances": [{"data": "a", "configuration": 1}]}',
            JSON,
            "payload, instance 1: configuration must be a JSON object",
        ),
        (
            '{"instances": [{"data": "a", "configuration": {"attention_matrix": 2}}]}',
            JSON,
            "payload, instance 1: attention_matrix is 2; true or false is allowed",
        ),
        ('{"source": "a"}\n{"data": "a"}', LINES, 'payload, line 2: must be {"source": "words'),
        ('{"source": "a"}\n{', LINES, "payload, line 2: not JSON"),
        ("\n", LINES, "payload holds no line"),
        (b"\x00" * 8, RECORDIO, "payload, record 1, byte 0: not RecordIO"),
        (recordio.frame(b"\xff"), RECORDIO, "payload, record 1: not a protobuf Record"),
        (pairs.write([{"text": [4]}]), RECORDIO, "has no feature 'source'; it has text"),
        (
            pairs.write([{"source": [4]}, {"source": [4, 99]}]),
            RECORDIO,
            "payload, record 2, feature 'source', word 2: 99 is not in the vocabulary, whose words "
            "have the numbers from 0 to 9",
        ),
    ],
    ids=str,
)
def test_a_wrong_request_is_refused_with_its_place(
    model: Model, body: bytes | str, kind: str, sentence: str
) -> None:
    assert sentence in (told := refused(model, body, kind))
    assert told.startswith("400 Unable to evaluate payload provided: ")


def test_other_types_and_a_matrix_of_numbers_are_refused(model: Model) -> None:
    assert refused(model, "a", "text/csv").startswith("415 Content type 'text/csv'")
    body = json.dumps({"instances": [{"data": "a"}]})
    assert refused(model, body, JSON, "text/csv").startswith("406 Accept 'text/csv'")
    body = '{"source": "w1", "configuration": {"attention_matrix": "true"}}'
    assert "matrix" in json.loads(ask(model, body, LINES))
    assert "attention_matrix is answered as" in refused(model, body, LINES, RECORDIO)


def test_a_request_that_is_empty_has_no_answer(model: Model) -> None:
    assert invoke(model, b"", JSON, None, batch=False) == (204, "", b"")


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


EFFECTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"batch_size": 10}),
    ({"bucket_width": 2}, {"bucketing_enabled": False}),
    ({}, {"bucket_width": 2}),
    ({}, {"clip_gradient": 0.001}),
    ({"encoder_type": "cnn"}, {"cnn_activation_type": "tanh"}),
    ({"encoder_type": "cnn"}, {"cnn_hidden_dropout": 0.5}),
    ({"decoder_type": "cnn"}, {"cnn_hidden_dropout": 0.5}),
    ({"encoder_type": "cnn"}, {"cnn_kernel_width_encoder": 2}),
    ({"decoder_type": "cnn"}, {"cnn_kernel_width_decoder": 2}),
    ({"decoder_type": "cnn"}, {"cnn_num_hidden": 8}),
    ({}, {"decoder_type": "cnn"}),
    ({}, {"encoder_type": "cnn"}),
    ({}, {"embed_dropout_source": 0.5}),
    ({}, {"embed_dropout_target": 1}),
    ({"lr_scheduler_type": "fixed_rate_inv_t"}, {"fixed_rate_lr_half_life": 1}),
    ({}, {"learning_rate": 0.001}),
    ({"checkpoint_frequency_num_batches": 1}, {"lr_scheduler_type": "fixed_rate_inv_t"}),
    ({"lr_scheduler_type": "fixed_rate_inv_t"}, {"lr_scheduler_type": "fixed_rate_inv_sqrt_t"}),
    ({}, {"max_num_batches": 2}),
    ({}, {"max_seq_len_source": 2}),
    ({}, {"max_seq_len_target": 2}),
    ({"optimizer_type": "sgd"}, {"momentum": 0.9}),
    ({}, {"num_embed_source": 10}),
    ({}, {"num_embed_target": 10}),
    ({}, {"num_layers_decoder": 2}),
    ({}, {"num_layers_encoder": 2}),
    ({}, {"optimizer_type": "sgd"}),
    ({}, {"optimizer_type": "rmsprop"}),
    ({"num_layers_decoder": 2}, {"rnn_attention_in_upper_layers": False}),
    ({}, {"rnn_attention_num_hidden": 8}),
    ({}, {"rnn_attention_type": "dot"}),
    ({}, {"rnn_attention_type": "bilinear"}),
    ({}, {"rnn_attention_type": "fixed"}),
    ({}, {"rnn_cell_type": "gru"}),
    ({}, {"rnn_decoder_state_init": "avg"}),
    ({}, {"rnn_decoder_state_init": "zero"}),
    ({}, {"rnn_decoder_hidden_dropout": 0.5}),
    ({}, {"rnn_num_hidden": 8}),
    ({"num_layers_encoder": 3}, {"rnn_residual_connections": True}),
    (
        {"num_layers_encoder": 3, "rnn_residual_connections": True},
        {"rnn_first_residual_layer": 3},
    ),
    ({}, {"weight_decay": 0.1}),
    ({}, {"weight_init_scale": 3}),
    ({"weight_init_scale": 0.1}, {"weight_init_type": "uniform"}),
    ({}, {"xavier_factor_type": "avg"}),
]


@pytest.mark.parametrize(
    ("base", "change"), EFFECTS, ids=[f"{json.dumps(b)}-{json.dumps(c)}" for b, c in EFFECTS]
)
def test_a_hyperparameter_changes_what_is_learnt(
    new_job: NewJob, base: dict[str, Any], change: dict[str, Any]
) -> None:
    first, second = (
        load_file(fitted(new_job, **settings).model / MODEL_FILE)
        for settings in (base, {**base, **change})
    )
    assert not same(first, second)


def test_every_hyperparameter_has_a_case() -> None:
    elsewhere = {
        "beam_size",
        "bleu_sample_size",
        "checkpoint_frequency_num_batches",
        "checkpoint_threshold",
        "loss_type",
        "max_num_epochs",
        "min_num_epochs",
        "optimized_metric",
        "plateau_reduce_lr_factor",
        "plateau_reduce_lr_threshold",
        "training_metric",
    }
    shown = {name for _, change in EFFECTS for name in change}
    assert shown.isdisjoint(elsewhere)
    assert shown | elsewhere == {one.name for one in algorithm("seq2seq").hyperparameters}


def test_the_same_job_twice_gives_the_same_model(new_job: NewJob) -> None:
    first, second = (
        load_file(fitted(new_job, embed_dropout_source=0.3).model / MODEL_FILE) for _ in range(2)
    )
    assert same(first, second)


def test_checks_come_after_so_many_batches_and_at_the_end(new_job: NewJob) -> None:
    job = fitted(new_job, max_num_batches=5, checkpoint_frequency_num_batches=2)
    for name in ("perplexity", "accuracy"):
        assert len(values(job.log, name)) == 3
    assert len(values(job.log, "perplexity", "train")) == 3
    assert values(job.log, "bleu") == []
    assert "Checkpoint [3]\tValidation-perplexity=" in job.log
    job = fitted(new_job, max_num_batches=4, checkpoint_frequency_num_batches=2)
    assert len(values(job.log, "perplexity")) == 2


def test_epochs_end_the_training_and_each_sees_all_pairs(new_job: NewJob) -> None:
    job = fitted(new_job, max_num_batches=-1, max_num_epochs=2, checkpoint_frequency_num_batches=30)
    # 600 pairs in one bucket make 30 batches of 20.
    epochs = re.findall(r"epoch=(\d+), validation perplexity", job.log)
    assert epochs == ["0", "1"]


def stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no step of training change anything."""
    monkeypatch.setattr(optimizers.Adam, "step", lambda *_, **__: None)


def test_training_ends_after_checks_without_progress(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck(monkeypatch)
    often = {"max_num_batches": -1, "checkpoint_frequency_num_batches": 5}
    job = fitted(new_job, checkpoint_threshold=2, **often)
    assert len(values(job.log, "perplexity")) == 3
    assert "has not improved for 2 of 2 checkpoints" in job.log
    job = fitted(new_job, checkpoint_threshold=2, min_num_epochs=1, **often)
    assert len(values(job.log, "perplexity")) == 6


def test_the_rate_falls_where_checks_see_no_progress(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck(monkeypatch)
    job = fitted(
        new_job,
        max_num_batches=6,
        checkpoint_frequency_num_batches=1,
        checkpoint_threshold=9,
        plateau_reduce_lr_threshold=2,
        plateau_reduce_lr_factor=0.1,
    )
    assert re.findall(r"The learning rate falls to (\S+)", job.log) == ["0.001", "0.0001"]


def test_the_best_network_is_kept_by_the_metric_that_is_asked_for(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    measure, step = Trainer.measure, Trainer.step

    def told(self: Trainer, batch: Any) -> Any:
        tally = measure(self, batch)
        number = len(seen)
        seen.append({n: e.clone() for n, e in self.network.state_dict().items()})
        # The second is the least surprised, the third tells the most words right.
        tally.loss, tally.right = [9.0, 1.0, 5.0][number], [1.0, 2.0, 3.0][number]
        return tally

    monkeypatch.setattr(Trainer, "measure", told)
    monkeypatch.setattr(Trainer, "step", step)
    for metric, best in (("perplexity", 1), ("accuracy", 2)):
        seen.clear()
        job = fitted(
            new_job, checkpoint_frequency_num_batches=1, batch_size=50, optimized_metric=metric
        )
        kept = load_file(job.model / MODEL_FILE)
        equal = [same(each, kept) for each in seen]
        assert equal == [number == best for number in range(3)]


def test_bleu_is_told_of_a_sample_or_of_all_where_it_decides(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from algorithms.seq2seq import job as jobs

    sizes: list[int] = []

    def counted(written: Any, wanted: Any) -> float:
        sizes.append(len(wanted))
        return 0.5

    monkeypatch.setattr(jobs, "bleu", counted)
    for settings in (
        {"bleu_sample_size": 7},
        {"bleu_sample_size": -1},
        {"bleu_sample_size": 10**6},
        {"optimized_metric": "bleu"},
        {"optimized_metric": "bleu", "bleu_sample_size": 3},
    ):
        job = fitted(new_job, max_num_batches=1, **settings)
        assert values(job.log, "bleu") == [0.5]
    assert sizes == [7, 40, 40, 40, 3]


def test_the_beam_of_the_job_is_that_of_its_model(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from algorithms.seq2seq import model as models

    beams = []
    real = search

    def watched(network: Any, source: Any, lengths: Any, beam: int, longest: Any) -> Any:
        beams.append(beam)
        return real(network, source, lengths, beam, longest)

    monkeypatch.setattr(models, "search", watched)
    job = fitted(new_job, beam_size=3, max_num_batches=1)
    ask(load(job.model), '{"source": "w1"}', LINES)
    assert beams == [3]


def test_training_tells_the_metric_that_is_asked_for(new_job: NewJob) -> None:
    job = fitted(new_job, training_metric="accuracy", max_num_batches=50)
    assert "train accuracy <score>=" in job.log
    assert "train perplexity" not in job.log
    assert re.search(r"Epoch\[1\] Batch \[50\]\tSpeed: \S+ samples/sec\taccuracy=0\.\d+", job.log)


def test_settings_without_effect_are_told(new_job: NewJob) -> None:
    idle = {
        "cnn_activation_type": "relu",
        "cnn_kernel_width_encoder": 3,
        "fixed_rate_lr_half_life": 5,
        "rnn_first_residual_layer": 2,
        "rnn_attention_in_upper_layers": "true",
    }
    job = fitted(new_job, max_num_batches=1, **idle)
    found = re.findall(r"Hyperparameter (\w+) has no effect: (.+)", job.log)
    assert sorted(name for name, _ in found) == sorted([*idle, "cnn_num_hidden"])
    assert dict(found)["fixed_rate_lr_half_life"] == "lr_scheduler_type is plateau_reduce"
    job = fitted(new_job, max_num_batches=1, decoder_type="cnn", rnn_attention_type="dot")
    assert "rnn_attention_type has no effect: decoder_type is cnn" in job.log


def test_a_stop_keeps_the_best_network_so_far(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = Trainer.step, []

    def stopped(self: Trainer, *args: Any) -> Any:
        steps.append(1)
        if len(steps) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *args)

    monkeypatch.setattr(Trainer, "step", stopped)
    job = fitted(new_job, max_num_batches=50, checkpoint_frequency_num_batches=3)
    assert len(steps) == 4
    assert len(values(job.log, "perplexity")) == 1
    load(job.model)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"momentum": 0.9}, "momentum may be set only when optimizer_type is sgd"),
        ({"rnn_num_hidden": 15}, "rnn_num_hidden"),
        ({"rnn_attention_type": "coverage"}, "rnn_attention_type"),
        ({"max_num_batches": 0}, "max_num_batches is 0; it must be at least 1, or -1"),
        ({"min_num_epochs": 3, "max_num_epochs": 2}, "min_num_epochs is 3 and max_num_epochs 2"),
        ({"weight_init_scale": 0}, "weight_init_scale is 0.0; with weight_init_type xavier"),
        ({"learning_rate": 1e36, "clip_gradient": -1}, "the training diverged. Lower learning_ra"),
        ({"label_smoothing": 0.1}, "label_smoothing"),
        (
            {"rnn_residual_connections": True, "rnn_first_residual_layer": 1},
            "num_embed_source must be rnn_num_hidden, 16, and not 12",
        ),
    ],
    ids=str,
)
def test_a_wrong_hyperparameter_is_refused(
    new_job: NewJob, settings: dict[str, Any], sentence: str
) -> None:
    job = new_job("seq2seq")
    channels(job)
    assert job.train(**{**SMALL, **settings}) == 1
    assert job.failure.startswith("ClientError: ")
    assert sentence in job.failure


def _float_record() -> bytes:
    record = record_class()()
    record.features["source"].float32_tensor.values.append(4)
    return recordio.frame(record.SerializeToString())


def _sparse_record() -> bytes:
    record = record_class()()
    record.features["source"].int32_tensor.values.append(4)
    record.features["source"].int32_tensor.keys.append(1)
    return recordio.frame(record.SerializeToString())


GOOD = records([([4], [5])])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (GOOD + b"abcdefgh", "train/train.rec, record 2, byte 44: not RecordIO: found 0x64636261"),
        (GOOD[:-4], "train/train.rec, record 1, byte 0: truncated"),
        (GOOD + recordio.frame(b"\xff"), "train/train.rec, record 2: not a protobuf Record"),
        (_float_record(), "record 1, feature 'source': holds float32_tensor; int32_tensor is all"),
        (_sparse_record(), "record 1, feature 'source': is sparse"),
        (pairs.write([{"source": [4]}]), "record 1: has no feature 'target'; it has source"),
        (records([([4], [-1])]), "record 1, feature 'target', word 1: -1 is not in the vocabulary"),
        (records([([4, 10], [5])]), "feature 'source', word 2: 10 is not in the vocabulary, whose"),
        (records([([4], []), ([2, 3], [4])]), "channel train holds no pair of sentences with w"),
    ],
    ids=range(9),
)
def test_a_corrupt_channel_fails_with_its_place(
    new_job: NewJob, body: bytes, sentence: str
) -> None:
    job = new_job("seq2seq")
    channels(job, train=body)
    assert job.train(**SMALL) == 1
    assert job.failure.startswith("ClientError: ")
    assert sentence in job.failure


def test_pairs_with_an_empty_sentence_are_left_out_and_signs_do_not_count(new_job: NewJob) -> None:
    numbers = language().numbers(language().pairs)[:100]
    plain = records(numbers)
    signed = records([([*s, 3, 0, 0], [2, *t, 3]) for s, t in numbers] + [([], [4]), ([4], [3])])
    found = []
    for body in (plain, signed):
        job = new_job("seq2seq")
        channels(job, train=body)
        assert job.train(**SMALL) == 0, job.failure
        found.append(load_file(job.model / MODEL_FILE))
    assert same(*found)
    assert "Channel train: 2 records with an empty sentence are left out" in job.log


def test_vocabularies_must_be_there_and_right(new_job: NewJob) -> None:
    job = new_job("seq2seq")
    channels(job, src=b'{"a": 0}')
    assert job.train(**SMALL) == 1
    assert job.failure.startswith("ClientError: vocab/vocab.src.json: <pad> is missing")
    job = new_job("seq2seq")
    channels(job)
    (job.base / "input" / "data" / "vocab" / "vocab.trg.json").unlink()
    assert job.train(**SMALL) == 1
    assert "vocab has no file vocab.trg.json; it has vocab/vocab.src.json" in job.failure


def test_other_content_types_channels_and_hosts_are_refused(new_job: NewJob) -> None:
    job = new_job("seq2seq")
    channels(job)
    job.channel("train", "text/csv", {})
    assert job.train(**SMALL) == 1
    assert "Content type 'text/csv' of channel 'train' is not supported" in job.failure
    job = new_job("seq2seq")
    job.channel("train", RECORDIO, {"train.rec": GOOD})
    assert job.train(**SMALL) == 1
    assert "Missing required channel: validation" in job.failure
    assert "Missing required channel: vocab" in job.failure
    job = new_job("seq2seq")
    channels(job)
    (job.base / "input" / "config" / "resourceconfig.json").write_text(
        json.dumps({"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]})
    )
    assert job.train(**SMALL) == 1
    assert "Training on 2 hosts is not supported by this image of seq2seq" in job.failure


def test_foreign_and_incomplete_artifacts_are_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    words = json.loads((folder / "vocab.trg.json").read_text())
    (tmp_path / "vocab.trg.json").write_text(json.dumps({**words, "more": len(words)}))
    with pytest.raises(CustomerError, match="does not hold the network of its vocabularies"):
        load(tmp_path)
    (tmp_path / "vocab.trg.json").write_text("[]")
    with pytest.raises(CustomerError, match=r"vocab\.trg\.json: must be a JSON object"):
        load(tmp_path)
    (tmp_path / "vocab.src.json").unlink()
    with pytest.raises(CustomerError, match=r"the model has no file vocab\.src\.json"):
        load(tmp_path)
    deep.save(tmp_path / MODEL_FILE, "another", 1, {"a": torch.zeros(1)}, {})
    with pytest.raises(CustomerError, match="holds another, where sagemaker-platform/seq2seq"):
        load(tmp_path)
    (tmp_path / MODEL_FILE).unlink()
    with pytest.raises(CustomerError, match="the model has no file seq2seq-model"):
        load(tmp_path)


def test_an_artifact_is_the_network_and_its_vocabularies(folder: Path) -> None:
    names = ["seq2seq-model.safetensors", "vocab.src.json", "vocab.trg.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    words = json.loads((folder / "vocab.src.json").read_text())
    assert [words[word] for word in SPECIAL] == [0, 1, 2, 3]
