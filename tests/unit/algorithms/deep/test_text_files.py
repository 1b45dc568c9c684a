"""Text files that are neither records nor requests: lists, vocabularies, vectors and series."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from algorithms.deepar import reading
from algorithms.deepar.series import Wanted
from algorithms.image_classification import data as classes
from algorithms.ipinsights.pairs import Reader
from algorithms.ntm.job import vocabulary
from algorithms.object2vec import pairs as tokens
from algorithms.object2vec import vectors
from algorithms.object_detection import data as boxes
from algorithms.semantic_segmentation.data import paired, table_of
from algorithms.seq2seq.vocabulary import Vocabulary
from algorithms.toolkit.content import ContentType
from algorithms.toolkit.formats.sniffing import MARK
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.images import imagerecord, pixels
from algorithms.toolkit.job import Channel

SERIES = json.dumps({"start": "2024-01-01", "target": [1, 2, 3]}).encode() + b"\n"
PAIR = b'{"label": 1, "in0": [0, 1], "in1": [1]}\n'
NOTE = json.dumps(
    {
        "file": "a.jpg",
        "image_size": [{"width": 8, "height": 4, "depth": 3}],
        "annotations": [{"class_id": 0, "left": 0, "top": 0, "width": 4, "height": 2}],
    }
).encode()
WORDS = json.dumps({"<pad>": 0, "<unk>": 1, "<s>": 2, "</s>": 3, "a": 4}).encode()


def channel(folder: Path, kind: str | None = None, **files: bytes) -> Channel:
    folder.mkdir(exist_ok=True)
    for name, body in files.items():
        (folder / name.replace("_", ".")).write_bytes(body)
    return Channel("train", folder, ContentType(kind) if kind else None, "File")


def images(body: bytes, folder: Path) -> Any:
    (folder / "images").mkdir()
    (folder / "images" / "a.jpg").write_bytes(b"x")
    (folder / "images" / "b.jpg").write_bytes(b"y")
    train = Channel("train", folder / "images", None, "File")
    found = classes.listed(train, channel(folder / "lists", a_lst=body), classes.Labels(3, False))
    return [(entry().place, entry().label.tolist()) for entry in found]


def pretrained(body: bytes, folder: Path, numbers: bytes = b'{"alpha": 0, "b\xc2\xa0c": 1}') -> Any:
    files = {"vectors_txt": body, "vocab_json": numbers}
    settings = {
        "enc0_pretrained_embedding_file": "vectors.txt",
        "enc0_vocab_file": "vocab.json",
    }
    job: Any = SimpleNamespace(
        hyperparameters=settings, channels={"auxiliary": channel(folder / "aux", None, **files)}
    )
    found = vectors.pretrained(job, "enc0", 2, 2) or {}
    return {number: vector.tolist() for number, vector in found.items()}


def series(body: bytes, folder: Path) -> Any:
    found = reading.read(channel(folder / "train", "json", a_json=body), Wanted())
    return [each.target.tolist() for each in found]


def sequences(body: bytes, folder: Path) -> Any:
    sides = (tokens.Vocabulary(2, 5), tokens.Vocabulary(2, 5))
    found = tokens.read(channel(folder / "t", a_jsonl=body), sides, lambda label, _: float(label))
    return found.labels.tolist()


def words(body: bytes, folder: Path) -> Any:
    (folder / "vocab").write_bytes(body)
    return Vocabulary.read(folder / "vocab", "train/vocab").words


# A text, and what reads it.
TEXTS: dict[str, tuple[bytes, Callable[[bytes, Path], Any]]] = {
    "a list of images": (b"0\t1\ta.jpg\n1\t2\tb.jpg\n", images),
    "words of topics": (
        b"alpha\nbeta\n",
        lambda body, folder: vocabulary(channel(folder / "v", vocab_txt=body), 2),
    ),
    "words of a language": (WORDS, words),
    "vectors of words": (b"2 2\nalpha 1 2\nb\xc2\xa0c 3 4\n", pretrained),
    "numbers of words": (
        b'{"alpha": 0, "b\xc2\xa0c": 1}',
        lambda body, folder: pretrained(b"alpha 1 2\nb\xc2\xa0c 3 4\n", folder, body),
    ),
    "time series": (SERIES * 2, series),
    "pairs of sequences": (PAIR * 2, sequences),
    "pairs of addresses": (
        b"user,192.168.1.2\nother,192.168.1.3\n",
        lambda body, folder: (
            Reader(100).channel(channel(folder / "p", "text/csv", a_csv=body)).entities.tolist()
        ),
    ),
    "boxes": (NOTE, lambda body, _: boxes.of_json(body, "x", boxes.Limits(1, 350)).tolist()),
    "a label map": (b'{"map": {"0": 5}}', lambda body, _: table_of(body, "x").tolist()),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_mark_before_a_file_is_passed_over(kind: str, tmp_path: Path) -> None:
    body, read = TEXTS[kind]
    (tmp_path / "plain").mkdir()
    (tmp_path / "marked").mkdir()
    assert read(MARK + body, tmp_path / "marked") == read(body, tmp_path / "plain")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("kind", TEXTS)
def test_a_file_of_wider_letters_is_refused_by_name(
    kind: str, encoding: str, tmp_path: Path
) -> None:
    body, read = TEXTS[kind]
    with pytest.raises(FormatError, match=encoding.upper()):
        read(body.decode().encode(encoding), tmp_path)


@pytest.mark.parametrize("kind", ["time series", "pairs of sequences", "boxes"])
@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"1,2,3\n", "text/csv"),
        (b"1 0:1 1:2\n", "text/libsvm"),
        (b"PAR1" + bytes(50), "application/x-parquet"),
        (b"\n#\xd7\xce" + bytes(50), "application/x-recordio-protobuf"),
    ],
)
def test_a_file_that_is_no_json_is_told_what_it_is(
    kind: str, body: bytes, named: str, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=f"seems to be {named}"):
        TEXTS[kind][1](body, tmp_path)


def test_a_list_with_other_delimiters_is_told_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"train/a\.lst, line 1: 1 columns with tabs"):
        images(b"0,1,a.jpg\n", tmp_path)


@pytest.mark.parametrize(
    ("sign", "name"), [(";", "a semicolon"), ("\t", "a tab"), (" ", "a space")]
)
def test_pairs_with_other_delimiters_are_told_what_parts_them(
    sign: str, name: str, tmp_path: Path
) -> None:
    body = f"user{sign}192.168.1.2\n".encode()
    with pytest.raises(FormatError, match=f"line 1: 1 columns.*commas are needed.*by {name}"):
        TEXTS["pairs of addresses"][1](body, tmp_path)


@pytest.mark.parametrize("sign", ["\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_a_word_of_a_vocabulary_may_hold_what_ends_no_line(sign: str, tmp_path: Path) -> None:
    body = f"al{sign}pha\nbeta\n".encode()
    assert TEXTS["words of topics"][1](body, tmp_path) == [f"al{sign}pha", "beta"]


def test_a_word_twice_is_refused_where_one_would_be_lost(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="'alpha' is there twice"):
        TEXTS["numbers of words"][1](b'{"alpha": 0, "alpha": 1}', tmp_path)
    with pytest.raises(FormatError, match="'a' is there twice"):
        words(WORDS.replace(b'"a": 4', b'"a": 5, "a": 4'), tmp_path)
    with pytest.raises(FormatError, match="'0' is there twice"):
        table_of(b'{"map": {"0": 5, "0": 6}}', "x")


def test_a_list_of_images_is_cut_at_its_line_ends_alone(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"line 2: channel train has no image 'b\\u2028\.jpg'"):
        images("0\t1\ta.jpg\n1\t2\tb\u2028.jpg\n".encode(), tmp_path)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"1,2\n", "text/csv"),
        (b"1,2,3,4,5\n6,7,8,9,10\n", "text/csv"),
        (b"\xff\xd8\xff" * 9, "image/jpeg"),
    ],
)
def test_a_stream_of_images_that_is_none_is_told_what_it_is(body: bytes, named: str) -> None:
    with pytest.raises(FormatError) as refused:
        [*imagerecord.messages(io.BytesIO(body), "train/a.rec")]
    assert str(refused.value).startswith("train/a.rec, record 1, byte 0: ")
    assert f"seems to be {named}" in str(refused.value)


def test_what_is_said_twice_of_an_image_is_refused(tmp_path: Path) -> None:
    image = pixels.encoded(np.zeros((4, 8, 3), np.uint8), "JPEG")
    train = channel(tmp_path / "images", a_jpg=image)
    notes = channel(tmp_path / "notes", a_json=NOTE, b_json=NOTE)
    with pytest.raises(FormatError, match=r"b\.json: 'file' is 'a\.jpg', which train/a\.json has"):
        boxes.annotated(train, notes, boxes.Limits(1, 350))
    both = channel(tmp_path / "both", a_jpg=image, a_png=image)
    masks = channel(tmp_path / "masks", a_png=image)
    with pytest.raises(FormatError, match=r"train/a\.png and train/a\.jpg differ in their ending"):
        paired(both, masks)
