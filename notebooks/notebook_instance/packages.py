"""Packages for the kernel `conda_python3`, from wheels that lie in the bucket.

AWS replaces its environments at each start, so they are installed at each start.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

REQUIREMENTS = "requirements.txt"


def kernel(home: Path) -> Path:
    """The Python of the kernel `conda_python3`, where AWS has it."""
    return home / "anaconda3" / "envs" / "python3" / "bin" / "python"


def fetch(bucket: Any, prefix: str, folder: Path) -> int:  # noqa: ANN401 - no types of boto3 here
    """Bring wheels and `requirements.txt` from below `prefix`; gives how many wheels there were."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wheels = 0
    for summary in bucket.objects.filter(Prefix=prefix):
        name = summary.key[len(prefix) :]
        # What lies deeper is not meant, and nothing of a key becomes a path.
        if "/" not in name and (name == REQUIREMENTS or name.endswith(".whl")):
            bucket.download_file(summary.key, str(folder / name))
            wheels += name != REQUIREMENTS
    return wheels


def install(python: Path, folder: Path) -> bool:
    """Install what `requirements.txt` asks for, from the wheels beside it and from nowhere else.

    Returns:
        Whether there was a `requirements.txt`.

    Raises:
        RuntimeError: With what pip says, such as which wheel is missing.
    """
    requirements = folder / REQUIREMENTS
    if not requirements.is_file():
        return False
    # Isolated: no configuration, of a user or an image, may name an index.
    command = [str(python), "-m", "pip", "--isolated", "--disable-pip-version-check", "install"]
    command += ["--no-index", "--find-links", str(folder), "--requirement", str(requirements)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the kernel's packages were not installed: {done.stderr.strip()}")
    return True
