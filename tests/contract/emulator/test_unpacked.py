import zipfile
from pathlib import Path

import pytest

from local.confinement import offered
from local.emulator.unpacked import Unpacked

from .conftest import Server
from .test_functions import LOGS, made

CODE = """
import os
def handler(event, context):
    try:
        open(__file__, "a").close()
    except OSError as error:
        refused = type(error).__name__
    return [os.stat(__file__).st_nlink, refused]
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    made = tmp_path / "code.zip"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("index.py", "one")
        archive.writestr("deep/er/two.py", "two")
        archive.writestr("empty/", "")
    return made


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def test_two_workers_have_all_of_a_package_by_the_same_files(package: Path, tmp_path: Path) -> None:
    unpacked, one, other = Unpacked(), tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        unpacked.link(package, folder)
        assert content(folder) == {
            "index.py": "one",
            "deep": "",
            "deep/er": "",
            "deep/er/two.py": "two",
            "empty": "",
        }
    assert (one / "index.py").samefile(other / "index.py")


def test_what_a_worker_changed_of_its_files_reaches_no_other(package: Path, tmp_path: Path) -> None:
    unpacked, one, other = Unpacked(), tmp_path / "one", tmp_path / "other"
    unpacked.link(package, one)
    (one / "index.py").chmod(0o600)
    (one / "index.py").write_text("changed")
    unpacked.link(package, other)
    assert (other / "index.py").read_text() == "one"
    (other / "index.py").chmod(0)
    unpacked.link(package, tmp_path / "third")
    assert (tmp_path / "third/index.py").stat().st_mode & 0o777 == 0o444


def test_a_function_runs_from_linked_files_that_it_cannot_write(server: Server) -> None:
    if offered().landlock < 3:
        pytest.skip("this kernel's Landlock does not keep files from being cut off")
    links, refused = made(server, "fn-linked", CODE, LOGS)()
    assert (links, refused) == (2, "PermissionError")
