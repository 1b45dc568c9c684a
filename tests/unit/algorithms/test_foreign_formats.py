"""Each reader takes its own format alone, and says what a foreign file seems to be."""

import gzip
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from algorithms.toolkit.formats import delimited, instances, libsvm, recordio
from algorithms.toolkit.formats import parquet as parquet_format
from algorithms.toolkit.formats.sniffing import likely
from algorithms.toolkit.formats.table import FormatError, Table
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]


def as_parquet() -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"a": [1.0], "b": [2.0]}), sink)
    return bytes(sink.getvalue())


def as_numpy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


# A body of each kind, and what it is said to be.
BODIES: dict[str, tuple[bytes, str]] = {
    "csv": (b"1,0.5,2\n0,1.5,3\n", "text/csv"),
    "csv with quotes": (b'"1","0.5"\n"0","1"\n', "text/csv"),
    "libsvm": (b"1 0:0.5 3:2\n0 1:1.5\n", "text/libsvm"),
    "libsvm with groups": (b"1 qid:3 0:0.5\n0 qid:3 1:1.5\n", "text/libsvm"),
    "json lines": (b'{"features": [1, 2]}\n{"features": [3, 4]}\n', "application/jsonlines"),
    "json": (b'{"instances": [{"features": [1]}]}', "application/json"),
    "json over lines": (b"[\n 1,\n 2\n]\n", "application/json"),
    "recordio": (
        recordio.write(Table(np.ones((2, 3), np.float32), np.ones(2, np.float32))),
        "application/x-recordio-protobuf",
    ),
    "parquet": (as_parquet(), "application/x-parquet"),
    "gzip": (gzip.compress(b"1,2\n"), "gzip, which is not unpacked here"),
    "utf-16": ("1,2\n".encode("utf-16"), "text in UTF-16; UTF-8 is needed"),
    "utf-16 without a mark": ("1,2\n3,4\n".encode("utf-16-le"), "text in UTF-16; UTF-8 is needed"),
    "utf-32": ("1,2\n".encode("utf-32"), "text in UTF-32; UTF-8 is needed"),
    "fasttext": (b"__label__1 a good day\n", "text/plain with labels of fastText"),
    "tabs": (b"1\t0.5\n0\t1.5\n", "text whose columns are parted by a tab"),
    "decimal commas": (
        b"1,5;0,5\n0,5;1,5\n",
        "text whose decimal mark is a comma and whose columns are parted by semicolons",
    ),
    "html": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "HTML or XML"),
    "numpy": (as_numpy(), "a NumPy file"),
    "pickle": (pickle.dumps([1, 2]), "a pickle of Python"),
    "workbook": (b"PK\x03\x04" + bytes(40), "a zip archive, or a workbook such as .xlsx"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(40), "image/jpeg"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(40), "image/png"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_is_told_by_how_it_begins(kind: str) -> None:
    body, expected = BODIES[kind]
    assert likely(body) == expected


@pytest.mark.parametrize("body", [b"", b"5", b"\n\n", b"some words of a text", b"caf\xe9 au lait"])
def test_what_may_be_anything_is_told_to_be_nothing(body: bytes) -> None:
    assert likely(body) is None


READERS: dict[str, tuple[Callable[[bytes], Any], set[str]]] = {
    "text/csv": (
        lambda body: delimited.read(body, "train/x", missing=True, any_delimiter=True),
        {"csv", "csv with quotes", "tabs"},
    ),
    "text/libsvm": (
        lambda body: libsvm.read(body, "train/x"),
        {"libsvm", "libsvm with groups"},
    ),
    "a request of text/libsvm": (
        lambda body: libsvm.read(body, "train/x", labelled=False),
        {"libsvm", "libsvm with groups"},
    ),
    "application/x-recordio-protobuf": (
        lambda body: recordio.read(body, "train/x"),
        {"recordio"},
    ),
    "application/x-parquet": (lambda body: parquet_format.read(body, "train/x"), {"parquet"}),
    "application/json": (lambda body: instances.read_json(body, "train/x"), {"json"}),
    "application/jsonlines": (
        lambda body: instances.read_jsonlines(body, "train/x"),
        {"json lines"},
    ),
}
# What is JSON all the same is refused for what it holds.
JSON = {"json", "json lines", "json over lines"}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", BODIES)
def test_a_reader_takes_its_own_format_and_names_any_other(reader: str, kind: str) -> None:
    read, own = READERS[reader]
    body, named = BODIES[kind]
    if kind in own:
        read(body)
        return
    with pytest.raises(FormatError) as refused:
        read(body)
    assert str(refused.value).startswith("train/x")
    if not (kind in JSON and "json" in reader):
        assert named.split(";")[0] in str(refused.value)


@pytest.mark.parametrize("kind", sorted(set(BODIES) - {"libsvm", "libsvm with groups"}))
def test_xgboost_without_a_content_type_learns_from_libsvm_alone(
    kind: str, new_job: NewJob
) -> None:
    job = new_job("xgboost")
    job.channel("train", None, {"a": BODIES[kind][0]})
    assert job.train(num_round=1) == 1
    assert job.failure.startswith("ClientError: train/a")
    assert BODIES[kind][1].split(";")[0] in job.failure


def test_labels_alone_teach_nothing(new_job: NewJob) -> None:
    job = new_job("xgboost")
    job.channel("train", None, {"a": b"1\n0\n1\n"})
    assert job.train(num_round=1) == 1
    assert "channel train: no line has an index:value" in job.failure


def test_a_line_of_labels_alone_is_a_row_of_zeros_among_others(new_job: NewJob) -> None:
    job = new_job("xgboost")
    job.channel("train", None, {"a": b"1\n0\n", "b": b"1 0:2\n0\n"})
    assert job.train(num_round=1) == 0, job.failure


@pytest.mark.parametrize(
    "line", ["1 0:\u0661", "\u0661 0:1", "1 0:1_0", "1 0:1\u20281:2", "1 " + "9" * 5000 + ":1"]
)
def test_what_only_python_takes_for_a_number_is_none(line: str) -> None:
    with pytest.raises(FormatError, match="line 1"):
        libsvm.read(line.encode(), "x")


@pytest.mark.parametrize("body", [b"5", b"5\n0\n", b"0.25"])
def test_a_request_of_numbers_alone_has_no_features(body: bytes) -> None:
    with pytest.raises(FormatError, match="payload: no line has an index:value"):
        libsvm.read(body, "payload", labelled=False)
