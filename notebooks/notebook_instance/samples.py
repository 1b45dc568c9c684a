"""Puts sample notebooks where JupyterLab shows them, and never over somebody's work."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

LEDGER = ".delivered.json"
EXAMPLES = "SageMaker Examples"


def place(source: Path, target: Path) -> list[str]:
    """Copy what is new or was never touched since its last delivery; gives the copied names.

    What somebody changed or took away stays so. The hashes of what was delivered are kept beside
    it, in a file that begins with a dot.
    """
    target.mkdir(parents=True, exist_ok=True)
    ledger = target / LEDGER
    delivered: dict[str, str] = {}
    if ledger.is_file():
        delivered = json.loads(ledger.read_text(encoding="utf-8"))
    copied = []
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        name = path.relative_to(source).as_posix()
        to = target / name
        new = _hash(path)
        if delivered.get(name) == new or not _untouched(to, delivered.get(name)):
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
        delivered[name] = new
        copied.append(name)
    ledger.write_text(json.dumps(delivered, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return copied


def link_examples(home: Path, volume: Path) -> bool:
    """Show AWS's own samples, which lie outside of the folder that JupyterLab shows."""
    examples, link = home / "sample-notebooks", volume / EXAMPLES
    if not examples.is_dir() or link.exists():
        return False
    if link.is_symlink():
        # It points nowhere, since the samples moved.
        link.unlink()
    link.symlink_to(examples, target_is_directory=True)
    return True


def _untouched(path: Path, delivered: str | None) -> bool:
    if delivered is None:
        return not path.exists()
    return path.is_file() and _hash(path) == delivered


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
