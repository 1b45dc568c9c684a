"""Archives."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from algorithms.toolkit import archives, arrays
from algorithms.toolkit.archives import ArchiveError, Limits
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.images import weights
from local.sagemaker.endpoints import archive
from local.sagemaker.training import content

Fill = Callable[[tarfile.TarFile], object]


def packed(fill: Fill, kind: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        fill(tar)
    return buffer.getvalue()


def member(name: str, body: bytes = b"", **attributes: object) -> Fill:
    info = tarfile.TarInfo(name)
    info.size = len(body)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return lambda tar: tar.addfile(info, io.BytesIO(body))


def both(*fills: Fill) -> Fill:
    return lambda tar: [fill(tar) for fill in fills]


def refusal(tmp_path: Path, body: bytes, limits: Limits = archives.LIMITS) -> str:
    """Why an archive is refused, after a look that nothing of it is left."""
    file, folder = tmp_path / "model.tar.gz", tmp_path / "model"
    file.write_bytes(body)
    with pytest.raises(ArchiveError) as caught:
        archives.extract(file, folder, limits)
    assert [*folder.iterdir()] == []
    assert {one.name for one in tmp_path.iterdir()} == {"model.tar.gz", "model"}
    return str(caught.value)


def sparse_1_0(size: int) -> bytes:
    info = tarfile.TarInfo("sparse")
    body = f"1\n{size}\n0\n".encode().ljust(512, b"\0")
    info.size = len(body)
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "big",
        "GNU.sparse.realsize": str(size),
    }
    return packed(lambda tar: tar.addfile(info, io.BytesIO(body)))


def sparse_0(keys: dict[str, str]) -> bytes:
    info = tarfile.TarInfo("big")
    info.pax_headers = keys
    return packed(lambda tar: tar.addfile(info))


def sparse_old(size: int) -> bytes:
    block = bytearray(tarfile.TarInfo("big").tobuf(tarfile.GNU_FORMAT))
    block[156:157] = b"S"
    block[386:410] = b"%011o\0%011o\0" % (min(size, 8**11 - 1), 0)
    block[483:495] = b"%011o\0" % min(size, 8**11 - 1)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


TERABYTE = 1 << 40


@pytest.mark.holds("The holes of a sparse file in an archive are never written out.")
@pytest.mark.parametrize(
    "body",
    [
        sparse_1_0(TERABYTE),
        sparse_0({"GNU.sparse.map": f"{TERABYTE},0", "GNU.sparse.size": str(TERABYTE)}),
        sparse_0({"GNU.sparse.size": str(TERABYTE), "GNU.sparse.numblocks": "0"}),
        sparse_old(TERABYTE),
    ],
    ids=["pax 1.0", "pax 0.1", "pax 0.0", "old GNU"],
)
def test_a_sparse_file_is_refused_whatever_its_format(tmp_path: Path, body: bytes) -> None:
    assert "'big' is a sparse file" in refusal(tmp_path, gzip.compress(body))


SMALL = Limits(volume=100_000, members=5, ratio=10, free=1000, reserve=0)


@pytest.mark.holds("An archive is refused by what it announces, before it is written.")
@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (member("a", os.urandom(100_001)), "unpacks to 100,001 bytes; 100,000 are allowed"),
        (both(*(member(f"f{i}") for i in range(6))), "more than 5 members, the last of them 'f5'"),
        (both(*(member(f"f{i}/") for i in range(6))), "more than 5 members"),
        (member("a", bytes(50_000)), "above 1,000 bytes, 10 to 1 is allowed"),
        (member("/".join(["d"] * 65)), "a name of 65 folders; 64 are allowed"),
        (member("x" * 256), "a part of 256 bytes in its name; 255 are allowed"),
        (member("/".join(["ä" * 100] * 6)), "a name of 1,205 bytes; 1,024 are allowed"),
        (member("a", b"", pax_headers={"comment": "x" * 70_000}), "65,536 are allowed"),
    ],
    ids=["volume", "members", "folders", "ratio", "depth", "name", "path", "header"],
)
def test_an_archive_beyond_a_limit_is_refused(tmp_path: Path, fill: Fill, words: str) -> None:
    assert words in refusal(tmp_path, gzip.compress(packed(fill)), SMALL)


def test_an_archive_larger_than_the_free_disk_is_refused(tmp_path: Path) -> None:
    limits = Limits(reserve=1 << 60)
    found = refusal(tmp_path, gzip.compress(packed(member("a", b"x"))), limits)
    assert "free some space and try again" in found


def test_a_size_that_is_only_announced_writes_nothing(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.size = 20 << 30
    body = gzip.compress(info.tobuf(tarfile.GNU_FORMAT))
    assert "100 to 1 is allowed" in refusal(tmp_path, body)


@pytest.mark.holds("A member of an archive stays in its folder, and is a file or a folder.")
@pytest.mark.parametrize(
    "fill",
    [
        member("../a", b"x"),
        member("/tmp/a", b"x"),
        member("a/../../b", b"x"),
        member("", b"x"),
        member(".", b"x"),
        member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("a", type=tarfile.LNKTYPE, linkname="../x"),
        member("a", type=tarfile.CHRTYPE),
        member("a", type=tarfile.BLKTYPE),
        member("a", type=tarfile.FIFOTYPE),
        member("a", type=b"V"),
        both(member("a", b"x"), member("a/b", b"x")),
        both(member("a/b", b"x"), member("a", b"x")),
        both(member("good", b"x"), member("../a", b"x")),
        member("a", b"", pax_headers={"path": "../../a"}),
        member("a", b"", pax_headers={"path": "a\0b"}),
        member("../" + "a" * 200, b""),
    ],
)
def test_a_member_that_is_not_below_the_folder_is_refused(tmp_path: Path, fill: Fill) -> None:
    assert "its member" in refusal(tmp_path, gzip.compress(packed(fill)))


@pytest.mark.holds("An archive is read to its end, and its checksum compared, before it is used.")
@pytest.mark.parametrize("place", [0, 1, -1, -5, -9])
def test_a_flipped_byte_of_a_gzip_is_refused(tmp_path: Path, place: int) -> None:
    body = bytearray(gzip.compress(packed(member("weights", b"AAAAA")), 0))
    at = body.find(b"AAAAA") if place == 1 else place % len(body)
    body[at] ^= 1
    assert "it is no readable .tar.gz (it is no gzip" in refusal(tmp_path, bytes(body))


TAR = packed(member("a", b"x"))


def checked(body: bytes) -> bytes:
    """The archive with the checksum of its first header made right."""
    rest = sum(body[:148]) + sum(body[156:512]) + 8 * ord(" ")
    return body[:148] + b"%06o\0 " % rest + body[156:]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"text", "it is no gzip"),
        (b"", "it is empty"),
        (gzip.compress(b""), "it is empty"),
        (gzip.compress(b"text"), "it is no tar archive"),
        (gzip.compress(bytes(1024))[:-4], "it ends in the middle"),
        (gzip.compress(TAR)[:-4], "it ends in the middle"),
        (gzip.compress(TAR[:512]), "it ends in the middle"),
        (gzip.compress(TAR[:600]), "it ends in the middle"),
        (gzip.compress(TAR + b"x"), "something follows the end of the archive"),
        (gzip.compress(TAR + TAR), "something follows the end of the archive"),
        (gzip.compress(TAR) + b"garbage", "it is followed by what is no gzip"),
        (gzip.compress(TAR) + gzip.compress(TAR), "something follows the end"),
        (gzip.compress(TAR[:148] + b"1" + TAR[149:]), "the wrong checksum"),
        (gzip.compress(TAR[:124] + b"\xff" * 12 + TAR[136:]), "the wrong checksum"),
        (gzip.compress(checked(TAR[:124] + b"\xff" * 12 + TAR[136:])), "where a number stands"),
        (zlib.compress(TAR), "it is no gzip"),
    ],
    # The bytes of a gzip hold the time at which it was made.
    ids=[
        *("text", "nothing", "gzip-of-nothing", "gzip-of-text", "cut-gzip", "cut-checksum"),
        *("cut-header", "cut-content", "byte-behind", "archive-behind", "garbage-behind"),
        *("gzip-behind", "wrong-checksum", "broken-number", "broken-number-in-order", "zlib"),
    ],
)
def test_what_is_no_whole_archive_is_refused(tmp_path: Path, body: bytes, words: str) -> None:
    assert words in refusal(tmp_path, body)


def test_honest_archives_of_every_format_are_unpacked(tmp_path: Path) -> None:
    long = f"{'deep' * 20}/{'name' * 20}"
    fill = both(
        member("./run.sh", b"#!/bin/sh\n", mode=0o4777),
        member("folder", type=tarfile.DIRTYPE),
        member(long, b"l" * 1000),
        member("zeros", bytes(1 << 20)),
        member("ä", b"u"),
        member("empty"),
    )
    for number, kind in enumerate((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        body = packed(fill, kind)
        # Members of a gzip may end anywhere, and zeros fill up a tape's last block.
        parts = gzip.compress(body[:700]) + gzip.compress(body[700:]) + bytes(100)
        (tmp_path / "m.tar.gz").write_bytes(parts)
        folder = tmp_path / str(number)
        archive.extract(tmp_path / "m.tar.gz", folder)
        assert (folder / long).read_bytes() == b"l" * 1000
        assert (folder / "zeros").read_bytes() == bytes(1 << 20)
        assert (folder / "ä").read_bytes() == b"u"
        assert (folder / "empty").read_bytes() == b""
        assert (folder / "folder").is_dir()
        assert (folder / "run.sh").stat().st_mode & 0o7777 == 0o755
        assert (folder / long).stat().st_mode & 0o7133 == 0


def test_weights_of_an_earlier_job_are_taken_from_a_whole_archive_alone(tmp_path: Path) -> None:
    fill = both(member("./weights", b"AAAAA"), member("more", b"x"))
    file = tmp_path / "model.tar.gz"
    file.write_bytes(gzip.compress(packed(fill)))
    assert weights._member(file, "t", "weights", tmp_path).read_bytes() == b"AAAAA"
    with pytest.raises(CustomerError, match=r"has no file other, .* it holds ./weights, more"):
        weights._member(file, "t", "other", tmp_path)
    file.write_bytes(gzip.compress(sparse_1_0(TERABYTE)))
    with pytest.raises(CustomerError, match="sparse"):
        weights._member(file, "t", "weights", tmp_path)


def test_arrays_that_unpack_to_more_than_their_file_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "m.npz", x=np.zeros(1 << 20))
    with pytest.raises(CustomerError, match="it unpacks to"):
        arrays.load(tmp_path / "m.npz", "kind", 1, "title")


def test_arrays_that_announce_more_than_the_memory_are_refused(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1125899906842624,), }"
    body = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as file:
        file.writestr("format.npy", body)
    with pytest.raises(CustomerError, match=r"m\.npz is not a title model"):
        arrays.load(tmp_path / "m.npz", "kind", 1, "title")


def test_a_record_of_unknown_length_is_not_spooled_beyond_what_a_record_holds() -> None:
    read = []

    def endless() -> object:
        while True:
            read.append(1)
            yield bytes(1 << 26)

    with pytest.raises(ValueError, match="more than 536870911 bytes"):
        [*content._measured(endless(), "s3://b/k")]  # type: ignore[arg-type]
    assert len(read) == 8


def zipped(entries: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as file:
        for name, body in entries.items():
            file.writestr(name, body)
    return buffer.getvalue()


@pytest.mark.holds("A function's zip is read to its end before it is taken.")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (zipped({"a": b"AAAAA"}).replace(b"AAAAA", b"AAAAB", 1), "Bad CRC-32"),
        (zipped({"../a": b"x"}), "would leave"),
        (zipped({"/a": b"x"}), "would leave"),
        (zipped({str(i): b"" for i in range(6)}), "it has 6 members; 5 are allowed"),
        (zipped({"a": bytes(100_001)}, zipfile.ZIP_DEFLATED), "100,000 are allowed"),
        (b"PK\5\6" + bytes(9), "it is no whole zip"),
        (b"text", "it is no whole zip"),
    ],
)
def test_a_zip_that_cannot_be_unpacked_whole_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        archives.check_zip(body, SMALL)


def test_an_honest_zip_is_taken() -> None:
    archives.check_zip(zipped({"handler.py": b"x = 1", "folder/": b"", "a/b.py": b""}))


def test_the_folder_itself_is_no_member_that_leaves_it(tmp_path: Path) -> None:
    # As the SageMaker Python SDK packs a model again with its script.
    file = tmp_path / "model.tar.gz"
    root = member("/", type=tarfile.DIRTYPE, mode=0o755)
    file.write_bytes(gzip.compress(packed(both(root, member("code/inference.py", b"x = 1")))))
    archives.extract(file, tmp_path / "model")
    assert (tmp_path / "model/code/inference.py").read_bytes() == b"x = 1"
    file.write_bytes(gzip.compress(packed(both(root, member("/escaped", b"x")))))
    with pytest.raises(ArchiveError, match="would leave the model folder"):
        archives.extract(file, tmp_path / "model")
