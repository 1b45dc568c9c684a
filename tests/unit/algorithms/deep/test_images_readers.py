"""Images and what is said of them, from the forms in which they come."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.recordio import HEADER, MAGIC, frame
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.images import imagerecord, pixels, samples
from algorithms.toolkit.job import Channel

BLACK = pixels.encoded(np.zeros((2, 3, 3), np.uint8))


def channel(folder: Path, **bodies: bytes) -> Channel:
    (folder / "train").mkdir()
    for name, body in bodies.items():
        (folder / "train" / f"{name}.rec").write_bytes(body)
    return Channel("train", folder / "train", None, "File")


class Streams(Channel):
    """A channel whose every epoch is the same stream."""

    def __init__(self, body: bytes, *, sharded: bool = False) -> None:
        super().__init__("train", Path("train"), None, "Pipe", sharded)
        object.__setattr__(self, "body", body)

    def pipe(self, epoch: int) -> Any:
        return io.BytesIO(self.body)  # type: ignore[attr-defined]


def numbers(found: Iterator[samples.Sample]) -> list[float]:
    return [float(sample.label[0]) for sample in found]


def test_image_records_read_as_they_were_packed() -> None:
    one = imagerecord.pack([3], b"image", number=7)
    many = imagerecord.pack([2, 5, 0.5], b"other")
    found = [
        imagerecord.unpack(message, "here")
        for _, message in imagerecord.messages(io.BytesIO(one + many), "there")
    ]
    assert [(each.labels.tolist(), each.image) for each in found] == [
        ([3.0], b"image"),
        ([2.0, 5.0, 0.5], b"other"),
    ]
    # The layout of MXNet's IRHeader: flag, label, id, id2.
    assert one[HEADER.size :][:24] == struct.pack("<IfQQ", 0, 3.0, 7, 0)
    assert many[HEADER.size :][:36] == struct.pack("<IfQQ3f", 3, 0.0, 0, 0, 2, 5, 0.5)


def test_a_record_in_parts_is_joined_at_the_magic_number() -> None:
    parts = [b"begin...", b"middle..", b"end"]
    body = b"".join(
        HEADER.pack(MAGIC, kind << 29 | len(part)) + part + bytes(-len(part) % 4)
        for kind, part in zip((1, 2, 3), parts, strict=True)
    )
    found = list(imagerecord.messages(io.BytesIO(frame(b"first") + body + frame(b"last")), "x"))
    assert found == [
        (0, b"first"),
        (16, struct.pack("<I", MAGIC).join(parts)),
        (16 + len(body), b"last"),
    ]


def cut(size: int) -> bytes:
    return imagerecord.pack([1], BLACK)[:size]


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        (cut(5), r"train/a\.rec, record 2, byte \d+: truncated in the header of the record"),
        (cut(60), r"record 2, byte \d+: truncated: the record says \d+ bytes, 52 are left"),
        (b"PK\3\4....", "record 2, byte .*: not RecordIO: found 0x04034B50 in place of 0xCED7230A"),
        (HEADER.pack(MAGIC, 3 << 29), "record 2, byte .*: the parts of the record are in disorder"),
        (HEADER.pack(MAGIC, 1 << 29), "record 2, byte .*: the end of the record is lost"),
    ],
    ids=["header", "body", "foreign", "disorder", "unfinished"],
)
def test_a_broken_recordio_file_is_told_with_file_record_and_byte(
    tmp_path: Path, second: bytes, sentence: str
) -> None:
    with pytest.raises(FormatError, match=sentence):
        samples.recorded(channel(tmp_path, a=imagerecord.pack([0], BLACK) + second))


def test_a_record_that_is_no_image_record_is_told_with_its_place(tmp_path: Path) -> None:
    broken = [frame(b"short"), frame(struct.pack("<IfQQ", 9, 0, 0, 0))]
    entries = samples.recorded(channel(tmp_path, a=b"".join(broken)))
    with pytest.raises(FormatError, match=r"train/a\.rec, record 1: 5 bytes are no image record"):
        entries[0]()
    with pytest.raises(FormatError, match=r"train/a\.rec, record 2: says 9 labels"):
        entries[1]()


def test_files_give_every_sample_in_order_and_in_any_order(tmp_path: Path) -> None:
    bodies = [b"".join(imagerecord.pack([n], BLACK) for n in part) for part in ((0, 1, 2), (3, 4))]
    entries = samples.recorded(channel(tmp_path, a=bodies[0], b=bodies[1]))
    filed = samples.Filed(entries)
    assert numbers(filed.ordered()) == [0, 1, 2, 3, 4]
    shuffled = numbers(filed.shuffled(np.random.default_rng(0)))
    assert sorted(shuffled) == [0, 1, 2, 3, 4] != shuffled
    assert [sample.place for sample in filed.ordered()][3] == "train/b.rec, record 1"


def test_hosts_share_what_each_of_them_got_and_keep_what_the_platform_shared(
    tmp_path: Path,
) -> None:
    whole = channel(tmp_path)
    parts = [samples.share([0, 1, 2, 3, 4], whole, rank, 2) for rank in (0, 1)]
    assert parts == [[0, 2, 4], [1, 3]]
    shared = Channel("train", whole.folder, None, "File", sharded=True)
    assert samples.share([0, 1], shared, 1, 2) == [0, 1]
    with pytest.raises(CustomerError, match="Channel train has 1 images for 2 hosts"):
        samples.share([0], whole, 0, 2)
    body = b"".join(imagerecord.pack([n], BLACK) for n in range(5))
    assert numbers(samples.Piped(Streams(body), 1, 2).ordered()) == [1, 3]
    assert numbers(samples.Piped(Streams(body, sharded=True), 1, 2).ordered()) == [0, 1, 2, 3, 4]


def test_a_pipe_of_image_records_is_mixed_within_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"".join(imagerecord.pack([n], bytes(100)) for n in range(40))
    monkeypatch.setattr(samples, "WINDOW_BYTES", 1000)
    found = numbers(samples.Piped(Streams(body)).shuffled(np.random.default_rng(0)))
    assert sorted(found) == list(range(40)) != found
    # No more than about ten of these are held at a time.
    assert max(abs(place - number) for place, number in enumerate(found)) < 10


def test_an_augmented_manifest_gives_images_each_with_what_is_said_of_it() -> None:
    body = frame(BLACK) + frame(b'{"a": 1}') + frame(b"\xff\xd8\xff..") + frame(b"{}")
    found = list(samples.Piped(Streams(body)).ordered())
    assert [(each.image, each.label) for each in found] == [
        (BLACK, b'{"a": 1}'),
        (b"\xff\xd8\xff..", b"{}"),
    ]
    with pytest.raises(FormatError, match="epoch 0, record 3: not a JPEG or PNG image; Attribute"):
        list(samples.Piped(Streams(frame(BLACK) + frame(b"{}") * 2)).ordered())
    with pytest.raises(FormatError, match="the last image has nothing said of it"):
        list(samples.Piped(Streams(frame(BLACK))).ordered())
    with pytest.raises(CustomerError, match="No data in channel train, epoch 0"):
        list(samples.Piped(Streams(b"")).ordered())


def huge() -> bytes:
    """A PNG of a few bytes that says it has 20,000 x 20,000 pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    head = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + head + struct.pack(">I", 9) + b"IDAT" + bytes(9)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"text", "here: not a JPEG or PNG image"),
        (pixels.encoded(np.zeros((99, 99, 3), np.uint8), "JPEG")[:400], "here: not a readable"),
        (pixels.encoded(np.eye(99, dtype=np.uint8))[:80], "here: not a readable image"),
        (b"GIF89a" + bytes(100), "here: not a JPEG or PNG image"),
        (huge(), "here: (20000 x 20000 pixels; 100000000 are allowed|not a readable image: .*)"),
    ],
    ids=["text", "jpeg", "png", "gif", "huge"],
)
def test_what_is_no_image_is_refused_with_its_place(body: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=sentence):
        pixels.loaded(body, "here")


def test_images_of_any_kind_become_three_channels() -> None:
    grey = pixels.encoded(np.full((2, 3), 7, np.uint8))
    assert pixels.array(pixels.loaded(grey, "here")).tolist() == [[[7, 7, 7]] * 3] * 2
    assert pixels.array(pixels.loaded(grey, "here", "L")).shape == (2, 3)
