import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from algorithms.catalog import algorithm
from algorithms.ntm import load
from algorithms.ntm.fitting import Losses, Progress, Steps, optimizer, top_words
from algorithms.ntm.network import Network, Shape, layers
from algorithms.ntm.topics import coherence, report, uniqueness
from algorithms.toolkit import deep
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.invocations import Refusal, invoke
from datasets.topics import griffiths_steyvers, topic_error
from tests.unit.algorithms.conftest import JobFolder, csv

NewJob = Callable[[str], JobFolder]

CSV, RECORDIO = "text/csv;label_size=0", "application/x-recordio-protobuf"
SETTINGS = {"feature_dim": 25, "num_topics": 5}
QUICK = {**SETTINGS, "epochs": 2, "mini_batch_size": 50}


@cache
def corpus() -> Any:
    return griffiths_steyvers(2000)


def counts(rows: int = 300) -> Any:
    return corpus().counts[:rows]


def odds(job: JobFolder) -> Any:
    return load(job.model).network.topics().detach().numpy().astype(float)


def trained(new_job: NewJob, **settings: Any) -> JobFolder:
    job = new_job("ntm")
    job.channel("train", CSV, {"train.csv": csv(counts())})
    job.train(**{**QUICK, **settings})
    assert not job.failure
    return job


def ask(job: JobFolder, body: Any, kind: str, accept: str = "application/json") -> bytes:
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return invoke(load(job.model), body, kind, accept, batch=False)[2]


def test_the_topics_of_known_documents_are_found(new_job: NewJob) -> None:
    job = new_job("ntm")
    job.channel("train", RECORDIO, {"train.pbr": recordio.write(Table(corpus().counts))})
    job.train(**SETTINGS, epochs=50, mini_batch_size=100, num_patience_epochs=10)
    assert not job.failure
    found = odds(job)
    assert topic_error(corpus().topics, found) < 0.02
    # Of most documents the main topic is told, whichever number it has here.
    own = np.abs(found[:, None] - corpus().topics[None]).sum(axis=2).argmin(axis=1)
    answers = json.loads(ask(job, csv(counts()), "text/csv"))["predictions"]
    told = own[np.argmax([one["topic_weights"] for one in answers], axis=1)]
    assert (told == corpus().mixtures[:300].argmax(axis=1)).mean() > 0.9


def test_metrics_are_found_by_the_expressions_of_the_catalogue(new_job: NewJob) -> None:
    job = new_job("ntm")
    for name in ("train", "validation", "test"):
        job.channel(name, CSV, {"a.csv": csv(counts(100))})
    job.train(**QUICK)
    assert not job.failure
    for metric in algorithm("ntm").metrics:
        values = re.findall(metric.regex, job.log)
        assert len(values) == (1 if metric.name.startswith("test") else 2), metric.name
        assert 0 < float(values[-1]) < 4
    total, kld, recons = (
        float(re.findall(rf"Loss \(name: value\) {name}: (\S+)", job.log)[-1])
        for name in ("total", "kld", "recons")
    )
    assert total == pytest.approx(kld + recons)
    assert "Loss (name: value) logppx: " in job.log
    best = re.findall(r"#validation_score \((\d+)\): (\S+)", job.log)
    losses = re.findall(r"validation total_loss <loss>=(\S+)", job.log)
    assert best == [(str(1 + losses.index(min(losses))), min(losses))]
    assert "#throughput_metric: host=algo-1, train throughput=" in job.log
    assert "#progress_metric: host=algo-1, completed 100 % of epochs" in job.log
    assert '"Algorithm": "AWS/NTM"' in job.log


# The weights of unchanged settings.
UNCHANGED: list[Any] = []


def weights(job: JobFolder) -> list[Any]:
    return [each.tolist() for each in load(job.model).network.state_dict().values()]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"batch_norm": "true"},
        {"clip_gradient": 0.001},
        {"encoder_layers": "20"},
        {"encoder_layers_activation": "tanh"},
        {"epochs": 3},
        {"learning_rate": 0.01},
        {"mini_batch_size": 30},
        {"num_topics": 4},
        {"optimizer": "adagrad"},
        {"optimizer": "adadelta"},
        {"optimizer": "rmsprop"},
        {"optimizer": "sgd"},
        {"rescale_gradient": 0.5},
        {"sub_sample": 0.5},
        {"weight_decay": 0.5},
    ],
    ids=lambda changed: "-".join(map(str, *changed.items())) if changed else "nothing",
)
def test_the_model_changes_with_each_hyperparameter_and_with_nothing_else(
    new_job: NewJob, changed: dict[str, Any]
) -> None:
    if not UNCHANGED:
        UNCHANGED.append(weights(trained(new_job, optimizer="adam")))
    other = weights(trained(new_job, **{"optimizer": "adam", **changed}))
    assert (UNCHANGED[0] == other) == (not changed)


def test_the_encoder_has_three_and_two_times_the_topics_unless_told() -> None:
    assert layers("auto", 20) == (60, 40)
    assert layers([7, 5], 20) == (7, 5)
    network = Network(Shape(30, 4, (7, 5), "relu", batch_norm=True))
    kinds = [type(layer).__name__ for layer in network.encoder]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2
    assert network.mean.in_features == 5
    assert network.projection_weight.shape == (30, 4)


def test_the_bound_is_the_one_of_the_papers() -> None:
    network = Network(Shape(6, 3, (4,)))
    words = torch.tensor([[1.0, 0, 2, 0, 0, 1]])
    noise = torch.tensor([[0.5, -1.0, 0.2]])
    reconstruction, kld = network.bound(words, noise)
    mean, log_variance = network.encoded(words)
    shares = torch.softmax(mean + noise * (log_variance / 2).exp(), 1)[0]
    topics = [
        torch.softmax(network.projection_weight[:, k] + network.projection_bias, 0)
        for k in range(3)
    ]
    chances = sum(share * topic for share, topic in zip(shares, topics, strict=True))
    assert reconstruction.item() == pytest.approx(-(words[0] * chances.log()).sum().item(), 1e-5)
    normal = torch.distributions.Normal
    distance = torch.distributions.kl_divergence(
        normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)
    )
    assert kld.item() == pytest.approx(distance.sum().item(), 1e-4)


def stepped(**changed: Any) -> Any:
    """How far each weight moves in one step down a gradient of 1, 2 and -4."""
    values = {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "rescale_gradient": 1.0,
        "clip_gradient": float("inf"),
        **changed,
    }
    network = Network(Shape(3, 1, (2,)))
    with torch.no_grad():
        network.projection_bias.fill_(10.0)
    loss = (network.projection_bias * torch.tensor([1.0, 2.0, -4.0])).sum()
    loss = loss + 0 * sum(parameter.sum() for parameter in network.parameters())
    assert Steps(network, values).take(loss, 1) == 1
    return (network.projection_bias.detach() - 10).numpy()


def test_gradients_are_rescaled_then_clipped_and_weights_decay() -> None:
    assert stepped() == pytest.approx([-0.1, -0.2, 0.4], abs=1e-5)
    assert stepped(rescale_gradient=0.5) == pytest.approx([-0.05, -0.1, 0.2], abs=1e-5)
    assert stepped(clip_gradient=1.5) == pytest.approx([-0.1, -0.15, 0.15], abs=1e-5)
    both = stepped(clip_gradient=1.5, rescale_gradient=0.5)
    assert both == pytest.approx([-0.05, -0.1, 0.15], abs=1e-5)
    assert stepped(weight_decay=0.1) == pytest.approx([-0.2, -0.3, 0.3], abs=1e-5)


def test_adadelta_finds_its_own_step(new_job: NewJob) -> None:
    network = Network(Shape(3, 2, (2,)))
    for rate in (0.001, 0.5):
        values = {"optimizer": "adadelta", "learning_rate": rate, "weight_decay": 0.0}
        assert optimizer(network, values).param_groups[0]["lr"] == 1.0
    log = trained(new_job, optimizer="adadelta", learning_rate=0.5).log
    assert "Hyperparameter learning_rate has no effect here" in log


@pytest.mark.parametrize(
    ("losses", "stalled"),
    [
        ([5.0, 4.0, 3.0], False),
        ([5.0, 4.0, 4.0, 4.0], False),
        ([4.0, 4.0, 4.0, 4.0], True),
        ([5.0, 4.0, 3.999, 3.998, 3.997], True),
        ([5.0, 4.0, 3.9, 4.1, 4.1], False),
        ([5.0, 4.0, 4.1, 4.1, 4.1], True),
    ],
    ids=str,
)
def test_training_has_stalled_when_no_loss_of_the_last_epochs_is_lower(
    losses: list[float], stalled: bool
) -> None:
    progress = Progress(patience=3, tolerance=0.001)
    for loss in losses:
        progress.add(loss)
    assert progress.stalled is stalled
    assert progress.best == losses.index(min(losses)) + 1


def test_patience_and_tolerance_end_training(new_job: NewJob) -> None:
    def epochs(**settings: Any) -> int:
        log = trained(new_job, epochs=8, optimizer="sgd", learning_rate=1e-6, **settings).log
        return log.count("# Finished training epoch")

    assert epochs(num_patience_epochs=2, tolerance=0.1) == 3
    assert epochs(num_patience_epochs=4, tolerance=0.1) == 5
    assert epochs(num_patience_epochs=9, tolerance=0.1) == 8
    assert epochs(num_patience_epochs=2, tolerance=1e-6) > 3


def test_the_best_epoch_by_validation_is_kept(new_job: NewJob) -> None:
    job = new_job("ntm")
    job.channel("train", CSV, {"a.csv": csv(counts(20))})
    job.channel("validation", CSV, {"a.csv": csv(counts(200)[100:])})
    job.channel("test", CSV, {"a.csv": csv(counts(200)[100:])})
    settings = {**SETTINGS, "optimizer": "adam", "learning_rate": 0.2}
    job.train(**settings, epochs=20, mini_batch_size=5, num_patience_epochs=99)
    losses = re.findall(r"validation total_loss <loss>=(\S+)", job.log)
    assert losses[-1] != min(losses)
    assert re.findall(r"test total_loss <loss>=(\S+)", job.log) == [min(losses)]


def test_sub_sample_takes_a_share_of_the_documents(new_job: NewJob) -> None:
    log = trained(new_job, sub_sample=0.2, epochs=1).log
    assert "# Finished training epoch 1 on 60 examples" in log


def test_a_pipe_trains_as_well_as_files(new_job: NewJob) -> None:
    losses = []
    for piped in (True, False):
        job = new_job("ntm")
        for name in ("train", "validation"):
            body = recordio.write(Table(csr_matrix(counts())))
            if piped:
                job.pipe(name, RECORDIO, body)
            else:
                job.channel(name, RECORDIO, {"a.pbr": body})
        job.train(**{**QUICK, "epochs": 5})
        assert not job.failure
        losses += re.findall(r"validation total_loss <loss>=(\S+)", job.log)[-1:]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=0.01)


def test_topics_are_told_by_their_words(new_job: NewJob) -> None:
    job = new_job("ntm")
    job.channel("train", CSV, {"a.csv": csv(counts())})
    words = [f"word{i}" for i in range(25)]
    job.channel("auxiliary", "text/plain", {"vocab.txt": "\n".join(words).encode()})
    job.train(**QUICK)
    assert not job.failure
    head = re.findall(
        r"Topics from epoch:final \(num_topics:5\) \[wetc (\S+), tu (\S+)\]:", job.log
    )
    assert len(head) == 1
    told = re.findall(r"\] \[(\S+), (\S+)\] (word.*)", job.log)
    assert len(told) == 5
    weights = load(job.model).network.projection_weight.detach().numpy()
    for (wetc, tu, line), expected in zip(told, top_words(weights), strict=True):
        assert line.split() == [words[i] for i in expected]
        assert 0 <= float(wetc) <= 1
        assert 0.2 <= float(tu) <= 1


def test_uniqueness_and_coherence_are_those_of_their_definitions() -> None:
    assert uniqueness([[0, 1], [1, 2], [3, 4]]) == [0.75, 0.75, 1.0]
    documents = np.array([[2, 1, 0, 0], [1, 3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 2]], dtype=float)
    assert coherence([[0, 1], [2, 3]], documents) == pytest.approx([1, 0])
    assert coherence([[0, 1], [2, 3]], csr_matrix(documents)) == pytest.approx([1, 0])
    assert report([[0, 1], [2, 3]], "abcd", documents) == [
        "Topics from epoch:final (num_topics:2) [wetc 0.50, tu 1.00]:",
        "[1.00, 1.00] a b",
        "[0.00, 1.00] c d",
    ]


def test_losses_are_by_the_number_of_words() -> None:
    losses = Losses()
    losses.add(torch.tensor([20.0, 30.0]), torch.tensor([2.0, 6.0]), torch.tensor([10.0, 10.0]))
    expected = {"total": 2.9, "kld": 0.4, "recons": 2.5, "logppx": 2.9}
    assert losses.mean() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"num_topics": 1}, "num_topics"),
        ({"optimizer": "adamw"}, "did you mean adam"),
        ({"encoder_layers": "20,-1"}, "encoder_layers"),
        ({"layers": "20"}, "layers"),
        ({"sub_sample": 0}, "sub_sample: value 0 leaves no documents"),
        ({"batch_norm": "true", "mini_batch_size": 1}, "mini_batch_size: value 1 is not supported"),
        (
            {"feature_dim": 24},
            "feature_dim is 24, but train/a.csv, record 1 of channel train",
        ),
        ({"optimizer": "sgd", "learning_rate": 1}, "Lower learning_rate"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_with_a_sentence(
    new_job: NewJob, settings: dict[str, Any], sentence: str
) -> None:
    job = new_job("ntm")
    job.channel("train", CSV, {"a.csv": csv(counts(100) * 1000)})
    job.train(**{**QUICK, **settings})
    assert job.failure.startswith("ClientError: ")
    assert sentence in job.failure


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"1,2,0\n1,x,0\n", "train/a.csv, line 2"),
        (b"1,2,0\n1,-2,0\n", "train/a.csv, record 2, feature 1: -2.0 is no count of a word"),
        (b"1,2,0\n1,nan,0\n", "train/a.csv, line 2, column 2: NaN; missing"),
        (b"1,2,0\n1,2\n", "train/a.csv"),
    ],
    ids=["text", "negative", "nan", "short"],
)
def test_a_corrupt_record_is_named(new_job: NewJob, body: bytes, sentence: str) -> None:
    job = new_job("ntm")
    job.channel("train", CSV, {"a.csv": body})
    job.train(**{**QUICK, "feature_dim": 3})
    assert sentence in job.failure


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"words.txt": b"a\nb"}, "must hold vocab.txt; it holds words.txt"),
        ({"vocab.txt": b"a\nb"}, "feature_dim is 25, but auxiliary/vocab.txt has 2 words"),
        ({"vocab.txt": b"a\n\xff"}, "auxiliary/vocab.txt, line 2: not UTF-8"),
    ],
    ids=["name", "lines", "bytes"],
)
def test_a_vocabulary_that_does_not_fit_is_refused(
    new_job: NewJob, files: dict[str, bytes], sentence: str
) -> None:
    job = new_job("ntm")
    job.channel("train", CSV, {"a.csv": csv(counts())})
    job.channel("auxiliary", "text/plain", files)
    job.train(**QUICK)
    assert sentence in job.failure


def test_every_form_of_request_gets_the_same_weights(new_job: NewJob) -> None:
    job = trained(new_job)
    row = counts()[0]
    values = row.tolist()
    keys = [i for i, value in enumerate(values) if value]
    sparse = {"keys": keys, "shape": [25], "values": [values[i] for i in keys]}
    forms: list[dict[str, Any]] = [
        {"features": values},
        {"data": {"features": {"values": values}}},
        {"data": {"features": sparse}},
    ]
    (expected,) = json.loads(ask(job, csv(row[None]), "text/csv"))["predictions"]
    assert list(expected) == ["topic_weights"]
    assert sum(expected["topic_weights"]) == pytest.approx(1)
    for form in forms:
        assert json.loads(ask(job, {"instances": [form]}, "application/json")) == {
            "predictions": [expected]
        }
        line = json.dumps(form).encode() + b"\n"
        lines = ask(job, line, "application/jsonlines", "application/jsonlines")
        assert json.loads(lines) == expected
    for table in (Table(row[None]), Table(csr_matrix(row[None]))):
        body = recordio.write(table)
        assert json.loads(ask(job, body, RECORDIO)) == {"predictions": [expected]}
    (message,) = recordio.frames(ask(job, csv(row[None]), "text/csv", RECORDIO), "answer")
    weights = np.array(expected["topic_weights"], dtype=np.float32)
    assert b"topic_weights" in bytes(message)
    assert weights.tobytes() in bytes(message)
    text = ask(job, csv(row[None]), "text/csv", "text/csv").decode()
    assert [float(x) for x in text.split(",")] == expected["topic_weights"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"1,2\n", "wrong width: 2 values, the model takes 25"),
        (b"1," * 24 + b"x\n", "line 1"),
        (b"1," * 24 + b"-1\n", "record 1, feature 24: -1.0 is no count"),
    ],
    ids=["width", "text", "negative"],
)
def test_a_wrong_request_is_refused_with_a_sentence(
    new_job: NewJob, body: bytes, sentence: str
) -> None:
    with pytest.raises(Refusal, match=sentence) as refusal:
        ask(trained(new_job), body, "text/csv")
    assert refusal.value.status == 400


def test_a_foreign_artifact_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ntm-model.safetensors"
    with pytest.raises(CustomerError, match="has no file ntm-model"):
        load(tmp_path)
    path.write_bytes(b"PK\3\4")
    with pytest.raises(CustomerError, match="is not a Neural Topic Model model"):
        load(tmp_path)
    tensors = {"x": torch.zeros(1)}
    deep.save(path, "sagemaker-platform/ntm", 2, tensors, {})
    with pytest.raises(CustomerError, match="format version 2; this image reads up to 1"):
        load(tmp_path)
    deep.save(path, "sagemaker-platform/ntm", 1, tensors, Shape(3, 2, (2,)).settings())
    with pytest.raises(CustomerError, match="is not whole"):
        load(tmp_path)
