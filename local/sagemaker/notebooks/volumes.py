"""What people have put on the volumes of notebook instances, which goes with the platform.

It is read from the disk alone, since a platform can be given up that does not run. Nothing of a
clone's git is run: what a notebook wrote into its settings would run as whoever gives up.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from local.sagemaker.notebooks.home import NotebookHome

SAMPLES = Path(__file__).parents[3] / "notebooks" / "samples"
# The ledger of `notebook_instance.samples`, and the file that it writes anew at each start.
_LEDGER = ".delivered.json"
_WRITTEN = ("platform.json", _LEDGER)
# Kept by Jupyter and Python beside what people write.
_SKIPPED = {".ipynb_checkpoints", ".virtual_documents", "__pycache__", "lost+found"}
_LONGEST_LEDGER = 1 << 20
# What is longer is none, and need not be read.
_LONGEST_SAMPLE = 16 << 20
_MOST = 1000


def changed(notebooks: Path) -> dict[str, list[str]]:
    """By notebook instance, the files on its volume that neither the platform nor a clone brought.

    `notebooks` holds a folder for each instance. At most a thousand files are named of each.
    """
    found: dict[str, list[str]] = {}
    for folder in sorted(notebooks.glob("*")):
        home = NotebookHome(folder)
        if files := [name for name, _ in zip(_changed(home), range(_MOST), strict=False)]:
            found[folder.name] = files
    return found


def _changed(home: NotebookHome) -> Iterator[str]:
    volume = home.volume
    if home.path.is_symlink() or volume.is_symlink():
        return
    cloned = home.cloned()
    hashes = _hashes(SAMPLES)
    for place, folders, files in os.walk(volume):
        here = Path(place)
        folders[:] = sorted(set(folders) - _SKIPPED)
        since = cloned.get(here.relative_to(volume).parts[0]) if here != volume else None
        if ".git" in folders:
            folders.remove(".git")
            if since is None or _newer(here / ".git", since):
                yield f"{here.relative_to(volume)}/.git"
        delivered = hashes | _delivered(here / _LEDGER) if _LEDGER in files else hashes
        for file in sorted(files):
            path = here / file
            if path.is_symlink() or (_LEDGER in files and file in _WRITTEN):
                continue
            ours = path.lstat().st_ctime_ns <= since if since else _hash(path) in delivered
            if not ours:
                yield str(path.relative_to(volume))


def _newer(git: Path, since: int) -> bool:
    """Whether a clone has commits, branches or stashes that it was not made with."""
    paths = [git / "refs" / "stash"]
    for kind in ("heads", "tags"):
        paths += (git / "refs" / kind).rglob("*")
    return any(path.lstat().st_ctime_ns > since for path in paths if path.is_file())


def _hashes(folder: Path) -> set[str]:
    return {_hash(path) for path in folder.rglob("*") if path.is_file()}


def _delivered(ledger: Path) -> set[str]:
    """The hashes of what the platform has put there, of this version of it or of an older one."""
    try:
        with ledger.open("rb") as file:
            document = json.loads(file.read(_LONGEST_LEDGER))
    except (OSError, ValueError, RecursionError):
        return set()
    return {str(one) for one in document.values()} if isinstance(document, dict) else set()


def _hash(path: Path) -> str:
    """The SHA-256 of a file; of one that cannot be read, nothing that any other has."""
    try:
        if not path.is_file() or path.stat().st_size > _LONGEST_SAMPLE:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
