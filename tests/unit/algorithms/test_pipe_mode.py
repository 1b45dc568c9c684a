"""Channels that come through a pipe: the same models as from files, the same words for errors."""

import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from algorithms import kmeans, linear_learner
from algorithms.linear_learner import reading
from algorithms.toolkit.formats import pieces, recordio
from algorithms.toolkit.formats.table import FormatError, Table
from algorithms.toolkit.records import Sample, regrouped
from tests.unit.algorithms.conftest import JobFolder, csv, digits

NewJob = Callable[[str], JobFolder]

CSV, RECORDIO = "text/csv", "application/x-recordio-protobuf"


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 10_000)


def _bodies(kind: str, labelled: bool) -> list[bytes]:
    features, labels = digits()
    halves = (slice(0, 900), slice(900, None))
    if kind == RECORDIO:
        return [
            recordio.write(Table(features[half], labels[half] if labelled else None))
            for half in halves
        ]
    columns = [labels] if labelled else []
    return [csv(*(column[half] for column in columns), features[half]) for half in halves]


def _train(job: JobFolder, mode: str, kind: str, bodies: list[bytes], **values: Any) -> None:
    content_type = f"{CSV};label_size=0" if kind == CSV and job.algorithm == "kmeans" else kind
    if mode == "Pipe":
        job.pipe("train", content_type, *bodies)
    else:
        job.channel("train", content_type, {f"{i}": body for i, body in enumerate(bodies)})
    assert job.train(**values) == 0, job.failure


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("kind", [CSV, RECORDIO])
def test_kmeans_finds_the_same_centres_as_from_files(new_job: NewJob, kind: str) -> None:
    found = []
    for mode in ("File", "Pipe"):
        job = new_job("kmeans")
        _train(
            job,
            mode,
            kind,
            _bodies(kind, False),
            k=10,
            feature_dim=64,
            epochs=3,
            mini_batch_size=500,
        )
        found.append(kmeans.load(job.model).centers)
        assert "#quality_metric: host=algo-1, train msd" in job.log
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("kind", [CSV, RECORDIO])
def test_linear_learner_finds_the_same_weights_as_from_files(new_job: NewJob, kind: str) -> None:
    found = []
    for mode in ("File", "Pipe"):
        job = new_job("linear-learner")
        _train(
            job,
            mode,
            kind,
            _bodies(kind, True),
            predictor_type="multiclass_classifier",
            num_classes=10,
            epochs=3,
            num_models=2,
        )
        found.append(linear_learner.load(job.model))
    np.testing.assert_array_equal(found[0].weights, found[1].weights)
    np.testing.assert_array_equal(found[0].bias, found[1].bias)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("kind", "broken", "place"),
    [
        (CSV, b"1," * 63 + b"x\n", "train, epoch 0, line 1798, column 64: 'x' is not a number"),
        (CSV, b"1,2\n", "train, epoch 0, line 1798: 2 columns"),
        (CSV, b"\xff,\n", "train, epoch 0, line 1798: not UTF-8"),
        (RECORDIO, b"garbage!", "train, epoch 0, record 1798, byte "),
        (
            RECORDIO,
            recordio.write(Table(np.full((1, 64), np.inf, np.float32))),
            "train, epoch 0, record 1798, feature 0: inf is not a finite number",
        ),
        (RECORDIO, recordio.frame(b"\xff\xff"), "record 1798: not a protobuf Record"),
        (RECORDIO, struct.pack("<II", 0xCED7230A, 99), "record 1798, byte"),
    ],
)
def test_what_is_broken_is_named_by_channel_epoch_and_place(
    new_job: NewJob, kind: str, broken: bytes, place: str
) -> None:
    job = new_job("kmeans")
    content_type = f"{CSV};label_size=0" if kind == CSV else kind
    job.pipe("train", content_type, *_bodies(kind, False), broken)
    assert job.train(k=10, feature_dim=64) == 1
    assert place in job.failure


@pytest.mark.usefixtures("small_pieces")
def test_a_bad_label_is_named_by_its_record_and_column(new_job: NewJob) -> None:
    job = new_job("linear-learner")
    job.pipe("train", CSV, *_bodies(CSV, True), b"0.5" + b",1" * 64)
    assert job.train(predictor_type="multiclass_classifier", num_classes=10) == 1
    assert "train, epoch 0, record 1798, column 1: the label is 0.5" in job.failure


def test_a_pipe_without_data_and_a_mode_that_an_algorithm_does_not_take_are_refused(
    new_job: NewJob,
) -> None:
    job = new_job("kmeans")
    job.pipe("train", f"{CSV};label_size=0")
    assert job.train(k=2, feature_dim=1) == 1
    assert "No data in channel train, epoch 0" in job.failure
    job = new_job("xgboost")
    job.pipe("train", CSV, b"1,2\n")
    assert job.train(num_round=1) == 1
    assert "Channel train: Pipe mode is not supported by this image; use File or" in job.failure


@pytest.mark.parametrize("kind", ["lines", "frames"])
@pytest.mark.parametrize("step", [1, 7, 1000, 100_000])
def test_pieces_are_whole_records_however_they_come(
    monkeypatch: pytest.MonkeyPatch, kind: str, step: int
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 64)
    if kind == "lines":
        records = [b"%d,2\r\n" % number for number in range(100)] + [b"x" * 200 + b"\n", b"last"]
        last_end = pieces.last_line_end
    else:
        sizes = [8] * 20 + [3, 8, 200, 1, 0, 8]
        records = [recordio.frame(bytes(size)) for size in sizes]
        last_end = pieces.last_frame_end
    text = b"".join(records)
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        part = text[position : position + min(size, step)]
        position += len(part)
        return part

    found = [*pieces.pieces(read, "x", last_end)]
    assert b"".join(piece.body for piece in found) == text
    ends = {sum(map(len, records[:count])) for count in range(len(records) + 1)}
    assert {piece.start for piece in found} <= ends and len(found) > 3
    # A frame has no lines, whatever bytes are in it.
    assert [piece.lines for piece in found] == [
        text[: piece.start].count(b"\n") if kind == "lines" else 0 for piece in found
    ]


def test_a_stream_in_which_no_record_ends_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 64)
    monkeypatch.setattr(pieces, "LONGEST_RECORD", 1000)
    with pytest.raises(FormatError, match="x, byte 0: no record ends within 1000 bytes"):
        [*pieces.pieces(lambda size: b"1" * size, "x", pieces.last_line_end)]


def test_regrouping_keeps_all_records_in_their_order() -> None:
    numbers = np.arange(20, dtype=np.float32)[:, None]
    tables = [Table(numbers[:3]), Table(numbers[3:4]), Table(numbers[4:])]
    found = [*regrouped(tables, [5, 5, 4, 4, 100])]
    assert [table.rows for table in found] == [5, 5, 4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([t.features for t in found]), numbers)


def test_a_sample_is_the_same_in_whatever_portions_it_is_taken() -> None:
    rows = np.arange(10_000)
    whole, parts = (Sample(100, np.random.default_rng(1)) for _ in range(2))
    whole.add(rows)
    for part in np.array_split(rows, 37):
        parts.add(part)
    (found,), (again,) = whole.chosen(), parts.chosen()
    np.testing.assert_array_equal(found, again)
    assert len(found) == 100 and (np.diff(found) > 0).all() and 3000 < found.mean() < 7000
    assert set(parts.chosen(10)[0]) < set(found)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("kind", [CSV, RECORDIO])
@pytest.mark.parametrize("validated", [True, False])
def test_a_channel_that_does_not_fit_is_streamed_in_every_epoch_and_learnt_from_as_well(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch, kind: str, validated: bool
) -> None:
    scores = []
    for kept in (2**26, 20_000):
        monkeypatch.setattr(reading, "KEPT_NUMBERS", kept)
        job = new_job("linear-learner")
        bodies = _bodies(kind, True)
        for name in ("train", "validation", "test") if validated else ("train", "test"):
            job.pipe(name, kind, *bodies)
        settings = {"predictor_type": "multiclass_classifier", "num_classes": 10}
        assert job.train(**settings, num_models=4, epochs=4) == 0, job.failure
        found = re.search(r"test multiclass_accuracy <score>=(\S+)", job.log)
        assert found
        scores.append(float(found[1]))
        model = linear_learner.load(job.model)
        features, labels = digits()
        right = model.labels(model.scores(Table(features))) == labels
        assert scores[-1] == pytest.approx(right.mean())
    assert min(scores) > 0.93
    assert scores[0] == pytest.approx(scores[1], abs=0.03)


@pytest.mark.usefixtures("small_pieces")
def test_a_threshold_is_calibrated_on_a_stream_as_on_files(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labels = digits()
    body = recordio.write(Table(features, (labels == 8).astype(np.float32)))
    monkeypatch.setattr(reading, "KEPT_NUMBERS", 20_000)
    job = new_job("linear-learner")
    for name in ("train", "validation"):
        job.pipe(name, RECORDIO, body)
    settings = {
        "predictor_type": "binary_classifier",
        "binary_classifier_model_selection_criteria": "precision_at_target_recall",
        "target_recall": 0.9,
        "mini_batch_size": 100,
    }
    assert job.train(**settings, num_models=4, epochs=4) == 0, job.failure
    found = re.search(r"validation recall <score>=(\S+)", job.log)
    assert found and 0.9 <= float(found[1]) < 0.96
