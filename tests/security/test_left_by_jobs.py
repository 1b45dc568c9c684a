"""What the platform reads and writes in a folder that a job has written to."""

import errno
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from local.sagemaker.training import left
from local.sagemaker.training.artifacts import pack
from local.sagemaker.training.pipes import Pipe

BASE = PurePosixPath("model")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "person"
    (folder / "data").mkdir(parents=True)
    (folder / "secret").write_text("secret")
    (folder / "data" / "secret").write_text("secret")
    return folder


@pytest.fixture
def host(tmp_path: Path) -> Path:
    host = tmp_path / "algo-1"
    (host / "model").mkdir(parents=True)
    (host / "model" / "mine").write_text("mine")
    return host


def packed(host: Path, inside: str) -> dict[str, str]:
    archive = host.with_name("out.tar.gz")
    pack([host], inside, archive)
    with tarfile.open(archive) as tar:
        return {
            member.name: file.read().decode()
            if (file := member.isreg() and tar.extractfile(member))
            else ""
            for member in tar
        }


@pytest.mark.holds(
    "What a job links to, whatever the link stands for, is in no artifact, checkpoint or reason."
)
def test_a_link_in_the_place_of_a_folder_is_not_followed(host: Path, secret: Path) -> None:
    (host / "model" / "file").symlink_to(secret / "secret")
    (host / "model" / "folder").symlink_to(secret)
    assert packed(host, "model") == {"mine": "mine", "file": "", "folder": ""}
    (host / "model").rename(host / "gone")
    (host / "model").symlink_to(secret)
    (host / "output").symlink_to(secret)
    assert packed(host, "model") == {}
    assert packed(host, "output/data") == {}
    with pytest.raises(FileNotFoundError), left.opened(host, BASE):
        pass


def test_what_is_exchanged_for_a_link_after_it_was_seen_is_not_followed(
    host: Path, secret: Path
) -> None:
    (host / "model" / "deep").mkdir()
    (host / "model" / "deep" / "secret").write_text("mine")
    with left.opened(host, BASE) as folder:
        names = [name for name, _ in folder.entries()]
        assert names == [PurePosixPath(name) for name in ("deep", "deep/secret", "mine")]
        (host / "model" / "mine").unlink()
        (host / "model" / "mine").symlink_to(secret / "secret")
        (host / "model" / "deep").rename(host / "model" / "was")
        (host / "model" / "deep").symlink_to(secret)
        for name in names[1:]:
            with pytest.raises(FileNotFoundError), folder.file(name):
                pass


def test_a_pipe_in_the_place_of_a_file_makes_nobody_wait(host: Path) -> None:
    os.mkfifo(host / "model" / "pipe")
    assert packed(host, "model") == {"mine": "mine"}
    with (
        left.opened(host, BASE) as folder,
        pytest.raises(FileNotFoundError) as refused,
        folder.file(PurePosixPath("pipe")),
    ):
        pass
    assert refused.value.errno == errno.ENOENT


@pytest.mark.parametrize("kind", ["link", "file"])
@pytest.mark.holds("Data that is streamed to a job goes into its pipe, and into nothing else.")
def test_a_stream_is_not_written_into_what_stands_in_the_place_of_its_pipe(
    tmp_path: Path, kind: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    target = tmp_path / "persons"
    target.write_text("before")
    given = threading.Event()

    def content(_: int) -> Iterator[bytes]:
        given.set()
        yield b"after"

    stranger = tmp_path / "stranger"
    if kind == "link":
        stranger.symlink_to(target)
    else:
        os.link(target, stranger)
    pipe = Pipe(data, "train", content, lambda *_: None)  # type: ignore[arg-type]
    # At once: at no moment is there nothing of that name.
    stranger.replace(data / "train_0")
    pipe._thread.join(10)
    pipe.close()
    assert not given.is_set()
    assert target.read_text() == "before"
