import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from local.cli import source
from local.platform.errors import PlatformError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    code = tmp_path / "code"
    (code / "package").mkdir(parents=True)
    (code / "train.py").write_text("print(1)\n")
    (code / "package" / "more.py").write_text("")
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "train.pyc").write_bytes(b"no source")
    return code


def members(archive: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_the_same_files_make_the_same_archive_whenever_they_were_written(folder: Path) -> None:
    archive = source.pack(folder)
    assert list(members(archive)) == ["package/more.py", "train.py"]
    os.utime(folder / "train.py", (1, 1))
    assert source.pack(folder) == archive
    (folder / "train.py").write_text("print(2)\n")
    assert source.key(source.pack(folder)) != source.key(archive)


def test_an_archive_tells_nothing_of_who_packed_it(folder: Path) -> None:
    for member in members(source.pack(folder)).values():
        assert (member.uid, member.gid, member.uname, member.mtime) == (0, 0, "", 0)


def test_a_link_is_refused_since_it_could_lead_out(folder: Path) -> None:
    (folder / "secret").symlink_to("/etc/hostname")
    with pytest.raises(PlatformError, match="secret is a link"):
        source.pack(folder)


def test_what_is_no_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlatformError, match="is no folder"):
        source.pack(tmp_path / "nowhere")
    with pytest.raises(PlatformError, match="holds no files"):
        source.pack(tmp_path)
    monkeypatch.setattr(source, "_LIMIT", 3)
    (tmp_path / "data.csv").write_text("1,2,3")
    with pytest.raises(PlatformError, match="Put data into channels"):
        source.pack(tmp_path)


def test_a_commit_is_told_with_whether_files_differ_from_it(folder: Path) -> None:
    assert source.commit(folder) == {}

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
        subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)

    git("init", "--quiet")
    git("add", "train.py", "package")
    git("commit", "--quiet", "--message", "one")
    git("remote", "add", "origin", "https://ann:secret@example.com/code.git")
    (folder / "__pycache__" / "train.pyc").unlink()
    told = source.commit(folder)
    assert len(told["commit"]) == 40 and told["modified"] is False
    assert told["repository"] == "https://example.com/code.git"
    (folder / "train.py").write_text("print(2)\n")
    assert source.commit(folder)["modified"] is True
