"""A byte order mark is no letter, and lines end where lines end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms.blazingtext.corpus import prepared
from algorithms.blazingtext.similarity import read as read_pairs
from algorithms.toolkit.content import ContentType
from algorithms.toolkit.formats import delimited, instances, libsvm
from algorithms.toolkit.formats.sniffing import MARK
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_of, lines, unmarked
from algorithms.toolkit.job import Channel
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]
WIDE = ["utf-16", "utf-32"]
# What str.splitlines takes for the end of a line, and nobody else does.
WITHIN_LINES = ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]

TEXTS: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    "csv": (b"1,2\n3,4\n", lambda body: delimited.read(body, "x").tolist()),
    "libsvm": (b"1 0:1 2:3\n0 1:2\n", lambda body: libsvm.read(body, "x").dense().tolist()),
    "json": (
        b'{"instances": [{"features": [1, 2]}]}',
        lambda body: instances.read_json(body, "x").dense().tolist(),
    ),
    "json lines": (
        b'{"features": [1, 2]}\n{"features": [3, 4]}\n',
        lambda body: instances.read_jsonlines(body, "x").dense().tolist(),
    ),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_mark_before_a_text_is_passed_over(kind: str) -> None:
    body, read = TEXTS[kind]
    assert read(MARK + body) == read(body)


@pytest.mark.parametrize("kind", sorted(set(TEXTS) - {"json"}))
def test_a_mark_before_a_line_of_joined_files_is_passed_over(kind: str) -> None:
    body, read = TEXTS[kind]
    assert read(MARK + body + MARK + body) == read(body + body)


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_of_wider_letters_is_refused_by_name(kind: str, encoding: str) -> None:
    body, read = TEXTS[kind]
    with pytest.raises(FormatError, match=f"^x: .*{encoding.upper()}; UTF-8 is needed"):
        read(body.decode().encode(encoding))


def corpus(folder: Path, *bodies: bytes) -> Channel:
    for number, body in enumerate(bodies):
        (folder / "train").mkdir(exist_ok=True)
        (folder / "train" / f"{number}.txt").write_bytes(body)
    return Channel("train", folder / "train", ContentType("text/plain"), "File")


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_the_first_word_of_a_corpus_has_no_mark(labelled: bool, count: int, tmp_path: Path) -> None:
    text = b"__label__1 alpha beta\n__label__0 gamma\n"
    channel = corpus(tmp_path, *[MARK + text] * count)
    (tmp_path / "made").mkdir()
    found = prepared(channel, tmp_path / "made", labelled=labelled)
    assert found.path.read_bytes() == text * count
    assert found.size == len(text) * count


def test_a_mark_before_a_manifest_is_no_part_of_it(tmp_path: Path) -> None:
    line = json.dumps({"source": "alpha beta", "label": 1}).encode()
    (tmp_path / "made").mkdir()
    found = prepared(corpus(tmp_path, MARK + line), tmp_path / "made", labelled=True)
    assert found.path.read_bytes() == b"__label__1 alpha beta\n"


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("encoding", WIDE)
def test_a_corpus_of_wider_letters_is_refused(
    encoding: str, labelled: bool, tmp_path: Path
) -> None:
    channel = corpus(tmp_path, "__label__1 alpha\n".encode(encoding))
    with pytest.raises(FormatError, match=encoding.upper()):
        prepared(channel, tmp_path, labelled=labelled)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"source": "alpha", "label": 1}\n', "application/jsonlines, which is read in mode sup"),
        (b"1 0:0.5 3:1\n", "seems to be text/libsvm"),
        (b"PAR1" + bytes(40), "seems to be application/x-parquet"),
        (b"\x1f\x8b\x08" + bytes(40), "seems to be gzip"),
    ],
)
def test_words_are_learnt_from_plain_text_alone(body: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=f"train/0.txt, line 1.*{sentence}"):
        prepared(corpus(tmp_path, body), tmp_path, labelled=False)


def test_a_classifier_does_not_learn_from_columns(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"line 1: no label.*seems to be text/csv"):
        prepared(corpus(tmp_path, b"1,0.5\n"), tmp_path, labelled=True)


@pytest.mark.parametrize("sign", WITHIN_LINES)
def test_a_sign_within_a_line_does_not_end_it(sign: str) -> None:
    assert lines(f"a{sign}b\nc\r\nd\re\n") == [f"a{sign}b", "c", "d", "e"]
    text = f"# remark{sign}more\none\ttwo{sign}\t3\n"
    assert read_pairs(text) == [("one", f"two{sign}", 3.0)]


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029"])
def test_a_sign_within_a_line_of_json_does_not_end_it(sign: str) -> None:
    body = json.dumps({"features": [1], "remark": sign}, ensure_ascii=False).encode()
    assert instances.read_jsonlines(body + b"\n" + body, "x").rows == 2


def test_the_end_of_the_last_line_begins_no_other() -> None:
    assert lines("") == []
    assert lines("a\n") == ["a"]
    assert lines("a\n\n") == ["a", ""]


def test_a_mark_within_a_line_stays() -> None:
    body = b"a" + MARK + b"b"
    assert unmarked(body, "x") == body


def test_a_name_twice_is_refused_where_one_would_be_lost() -> None:
    assert json_of(b'{"a": 1, "b": {"a": 2}}', "x", unique=True) == {"a": 1, "b": {"a": 2}}
    with pytest.raises(FormatError, match="x: 'a' is there twice"):
        json_of(b'{"a": 1, "a": 2}', "x", unique=True)


def test_xgboost_reads_marked_files_as_plain_ones(new_job: NewJob) -> None:
    job = new_job("xgboost")
    job.channel("train", None, {"a": MARK + b"1 0:1\n0 0:2\n", "b": MARK + b"1 0:3\n"})
    assert job.train(num_round=1) == 0, job.failure


SPARSE = '{"instances": [{"data": {"features": {"keys": [%s], "shape": [4], "values": [1, 2]}}}]}'


def test_an_index_counts_once() -> None:
    np.testing.assert_array_equal(
        libsvm.read(b"1 3:1 0:2\n0 0:1\n", "x").dense(), [[2, 0, 0, 1], [1, 0, 0, 0]]
    )
    for body in (b"1 0:1\n0 1:1 0:2 1:3\n", b"1:2 0:1\n0:1 1:1 0:2 1:3\n"):
        with pytest.raises(FormatError, match="x, line 2, pair 3: index 1 is there twice"):
            libsvm.read(body, "x")
    with pytest.raises(FormatError, match="x, line 1, pair 2: index 7 is there twice"):
        libsvm.read(b"7:1 7:1", "x", labelled=False)
    with pytest.raises(FormatError, match="x, instance 1: key 2 is there twice"):
        instances.read_json((SPARSE % "2, 2").encode(), "x")
    instances.read_json((SPARSE % "2, 1").encode(), "x")


def test_json_that_is_nested_too_deeply_is_refused_with_its_place() -> None:
    # Far beyond Python's limit of recursion, which libraries of other tests raise.
    depth = 100_000
    body = b'{"a":' * depth + b"1" + b"}" * depth
    with pytest.raises(FormatError, match=r"^x: not JSON"):
        json_of(body, "x", unique=True)
