"""Requests and files as clients write them: other delimiters, and records without a shape."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from algorithms.toolkit.algorithm import module
from algorithms.toolkit.formats import delimited, recordio
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.table import FormatError, Table
from algorithms.toolkit.invocations import Refusal, invoke
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]
RECORDIO = "application/x-recordio-protobuf"
ROWS = "0,0.0,19\n3,0.05,18\n6,0.1,17\n9,0.15,16\n"
DELIMITERS = {"a semicolon": ";", "a tab": "\t", "a vertical bar": "|", "a space": " "}


def trained(new_job: NewJob, text: str) -> JobFolder:
    job = new_job("xgboost")
    job.channel("train", "text/csv", {"a.csv": text.encode()})
    assert job.train(num_round=2, min_child_weight=0) == 0, job.failure
    return job


@pytest.mark.parametrize("delimiter", DELIMITERS.values())
def test_xgboost_finds_the_delimiter_in_training_and_in_requests(
    delimiter: str, new_job: NewJob
) -> None:
    plain = trained(new_job, ROWS)
    other = trained(new_job, ROWS.replace(",", delimiter))
    artifacts = [(job.model / "xgboost-model").read_bytes() for job in (plain, other)]
    assert artifacts[0] == artifacts[1]
    model = module("xgboost").load(plain.model)
    expected = invoke(model, b"0.05,18\n0.1,17", "text/csv", None, batch=False)
    body = b"0.05,18\n0.1,17".replace(b",", delimiter.encode())
    assert invoke(model, body, "text/csv", None, batch=False) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1;;3\n4;5;\n", [[1, np.nan, 3], [4, 5, np.nan]]),
        ("1; 2\n3; 4\n", [[1, 2], [3, 4]]),
        ("1 2 \n3 4\n", [[1, 2], [3, 4]]),
        ('"1";"2"\n"3";"4"\n', [[1, 2], [3, 4]]),
        ("-1e-3\t+.5\n2.\t3\n", [[-1e-3, 0.5], [2, 3]]),
        ("1\x012\n3\x014\n", [[1, 2], [3, 4]]),
        ("1, 2\n3, 4\n", [[1, 2], [3, 4]]),
    ],
)
def test_a_line_of_numbers_shows_what_parts_them(text: str, expected: Any) -> None:
    found = delimited.read(text.encode(), "x", missing=True, any_delimiter=True)
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))


@pytest.mark.parametrize("text", ["1;2\n3,4\n", "1;2\n3;4,5\n", "1,5;2,5\n3;4\n", "0:1\n"])
def test_a_text_with_two_delimiters_is_not_guessed_at(text: str) -> None:
    with pytest.raises(FormatError, match=r"line [12]"):
        delimited.read(text.encode(), "x", missing=True, any_delimiter=True)


@pytest.mark.parametrize("name", DELIMITERS)
def test_other_algorithms_name_the_delimiter_that_they_found(name: str) -> None:
    body = ROWS.replace(",", DELIMITERS[name]).encode()
    with pytest.raises(FormatError) as refused:
        delimited.read(body, "train/a.csv")
    sentence = f"train/a.csv, line 1: the columns are parted by {name}; commas are needed"
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        ("text/csv; label_size=1", True),
        ("text/csv;label_size=0", True),
        ("text/csv", True),
        ("text/csv; label_size=2", False),
    ],
)
def test_xgboost_reads_all_columns_of_a_request_as_features(
    kind: str, allowed: bool, new_job: NewJob
) -> None:
    model = module("xgboost").load(trained(new_job, ROWS).model)
    if allowed:
        found = invoke(model, b"0.05,18", kind, None, batch=False)
        assert found == invoke(model, b"0.05,18", "text/csv", None, batch=False)
        return
    with pytest.raises(Refusal, match="label_size=2: a request has no labels"):
        invoke(model, b"0.05,18", kind, None, batch=False)


def record(values: list[float], keys: list[int], label: float | None = None) -> bytes:
    found = record_class()()
    tensor = found.features["values"].float32_tensor
    tensor.values.extend(values)
    tensor.keys.extend(keys)
    if label is not None:
        found.label["values"].float32_tensor.values.append(label)
    return recordio.frame(found.SerializeToString())


SHAPELESS = record([1, 2], [0, 5], 1) + record([], [], 0) + record([3], [2], 1)
DENSE = np.array([[1, 0, 0, 0, 0, 2], [0] * 6, [0, 0, 3, 0, 0, 0]], dtype=np.float32)


def test_records_without_a_shape_are_as_wide_as_is_known() -> None:
    table = recordio.read(SHAPELESS, "x")
    np.testing.assert_array_equal(table.dense(), DENSE)
    wide = recordio.read(SHAPELESS, "x", width=9)
    assert wide.width == 9
    np.testing.assert_array_equal(wide.dense()[:, :6], DENSE)
    # The first one says nothing at all, and of other kinds of numbers none can be read at once.
    turned = record([], [], 0) + record([1, 2], [0, 5], 1)
    np.testing.assert_array_equal(recordio.read(turned, "x").dense(), DENSE[[1, 0]])


def test_a_record_with_a_shape_tells_it_for_those_without() -> None:
    body = recordio.write(Table(csr_matrix(DENSE))) + record([4], [1])
    assert recordio.read(body, "x", width=9).width == 6


@pytest.mark.parametrize(
    ("body", "width", "sentence"),
    [
        (
            record([1], [6]),
            6,
            "x, record 1, feature 'values': key 6, where a record has 6 features",
        ),
        (
            recordio.write(Table(csr_matrix(DENSE))) + record([4], [6]),
            None,
            "x, record 4, feature 'values': key 6, where a record has 6 features",
        ),
        (record([1], [2**40]), None, "record 1, feature 'values': key 1099511627776 is beyond"),
        (record([1, 2], [3]), None, "record 1, feature 'values': 1 keys for 2 values"),
        (record([1, 2], [3, 3]), None, "record 1, feature 'values': key 3 is there twice"),
        (record([1], [0]) + record([1, 2], []), None, "record 2: dense, unlike"),
    ],
)
def test_a_key_that_cannot_be_is_named_with_its_record(
    body: bytes, width: int | None, sentence: str
) -> None:
    with pytest.raises(FormatError) as refused:
        recordio.read(body, "x", width=width)
    assert sentence in str(refused.value)


SETTINGS: dict[str, Mapping[str, Any]] = {
    "factorization-machines": {"num_factors": 2, "predictor_type": "binary_classifier"},
    "linear-learner": {"predictor_type": "binary_classifier", "mini_batch_size": 3},
    "kmeans": {"k": 2},
    "pca": {"num_components": 2, "mini_batch_size": 3},
    "knn": {"k": 1, "sample_size": 3, "predictor_type": "classifier"},
    "lda": {"num_topics": 2, "mini_batch_size": 3},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_records_without_a_shape_have_feature_dim_features(name: str, new_job: NewJob) -> None:
    job = new_job(name)
    job.channel("train", RECORDIO, {"a.rec": SHAPELESS * 20})
    settings = {"feature_dim": 12, **SETTINGS[name]}
    assert job.train(**settings) == 0, job.failure
    model = module(name).load(job.model)
    body = record([1, 2], [0, 5])
    full = recordio.write(Table(csr_matrix(DENSE[:1]).copy()))
    assert invoke(model, body, RECORDIO, None, batch=False)[0] == 200
    with pytest.raises(Refusal, match="wrong width: 6 values, the model takes 12"):
        invoke(model, full, RECORDIO, None, batch=False)


def test_xgboost_takes_records_without_a_shape(new_job: NewJob) -> None:
    job = new_job("xgboost")
    job.channel("train", RECORDIO, {"a.rec": SHAPELESS * 4, "b.rec": record([1], [7], 0)})
    assert job.train(num_round=1) == 0, job.failure
    model = module("xgboost").load(job.model)
    assert invoke(model, record([1], [0]), RECORDIO, None, batch=False)[0] == 200
    with pytest.raises(Refusal, match="key 8, where a record has 8 features"):
        invoke(model, record([1], [8]), RECORDIO, None, batch=False)
