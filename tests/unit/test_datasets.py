import zipfile
from pathlib import Path

import pytest

from datasets import wheels
from datasets.wheels import Wheel

# The smallest wheel that the project installs anyway.
KNOWN = Wheel(
    "iniconfig", "2.3.1", "9121e2c1fdb355232495be3194c8dfe87ccc2d5dee45947b78e68f499790d7a7"
)


def test_a_file_is_read_out_of_a_wheel_of_the_right_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "FOLDER", tmp_path)
    found = KNOWN.read("iniconfig/__init__.py")
    assert b"IniConfig" in found["iniconfig/__init__.py"]
    assert zipfile.is_zipfile(KNOWN.path())


def test_a_wheel_of_another_hash_is_refused_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match=r"iniconfig 2\.3\.1 could not be downloaded"):
        Wheel("iniconfig", "2.3.1", "0" * 64).path()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
