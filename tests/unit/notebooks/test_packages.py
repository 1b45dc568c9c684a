import sys
from pathlib import Path
from typing import Any

import pytest

from notebook_instance import packages
from tests.unit.notebooks.wheels import file_name, wheel


class _Object:
    def __init__(self, key: str) -> None:
        self.key = key


class _Bucket:
    """As much of boto3's bucket as is used."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self._content = content
        self.objects = self

    def filter(self, *, Prefix: str) -> list[_Object]:
        return [_Object(key) for key in self._content if key.startswith(Prefix)]

    def download_file(self, key: str, path: str) -> None:
        Path(path).write_bytes(self._content[key])


def test_wheels_and_requirements_are_fetched_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "stale-1.0-py3-none-any.whl").touch()
    bucket = _Bucket(
        {
            "n/packages/requirements.txt": b"a",
            "n/packages/a-1.0-py3-none-any.whl": b"w",
            "n/packages/../../../evil.whl": b"!",
            "n/packages/deeper/b.whl": b"!",
            "n/packages/read.me": b"!",
            "n/packages/": b"",
        }
    )
    assert packages.fetch(bucket, "n/packages/", folder) == 1
    assert sorted(path.name for path in folder.iterdir()) == [
        "a-1.0-py3-none-any.whl",
        "requirements.txt",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["packages"]


def test_nothing_is_installed_without_requirements(tmp_path: Path) -> None:
    (tmp_path / file_name("alone")).write_bytes(wheel("alone"))
    assert not packages.install(Path(sys.executable), tmp_path)


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """An environment of its own that finds the project's pip, as the kernel's does."""
    import sysconfig
    import venv

    environment = tmp_path / "environment"
    venv.EnvBuilder(symlinks=True, with_pip=False).create(environment)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = environment / "lib" / version / "site-packages"
    (site / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "python"


def test_requirements_are_installed_from_the_wheels(
    tmp_path: Path, kernel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    # Nothing of a user's configuration may send pip elsewhere.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / file_name("smp_sample")).write_bytes(wheel("smp_sample"))
    (folder / "requirements.txt").write_text("smp_sample==1.0\n")
    assert packages.install(kernel, folder)
    said = subprocess.run(
        [str(kernel), "-c", "import smp_sample; print(smp_sample.WORD)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "from the bucket\n"


def test_pip_is_told_of_no_index_and_heeds_no_configuration(tmp_path: Path) -> None:
    pip = tmp_path / "python"
    pip.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/told\n')
    pip.chmod(0o755)
    (tmp_path / "requirements.txt").touch()
    assert packages.install(pip, tmp_path)
    told = (tmp_path / "told").read_text().split()
    assert {"--no-index", "--isolated"} <= set(told)


def test_a_wheel_that_is_missing_is_named(tmp_path: Path, kernel: Path) -> None:
    (tmp_path / "requirements.txt").write_text("smp_missing==1.0\n")
    with pytest.raises(RuntimeError, match="smp_missing"):
        packages.install(kernel, tmp_path)


def test_the_kernel_is_where_aws_has_it() -> None:
    found: Any = packages.kernel(Path("/home/ec2-user"))
    assert str(found) == "/home/ec2-user/anaconda3/envs/python3/bin/python"
