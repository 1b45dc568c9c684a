"""Artifacts of plain arrays: a zip that says what it is, and that runs nothing when it is read."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.toolkit.errors import CustomerError


def save(path: Path, kind: str, version: int, **arrays: Any) -> None:
    """Write arrays with the name and version of their format."""
    with path.open("wb") as file:
        np.savez(file, format=np.array(kind), format_version=np.array(version), **arrays)


def load(path: Path, kind: str, version: int, title: str) -> dict[str, Any]:
    """The arrays that `save` wrote.

    Raises:
        CustomerError: The file is missing, foreign, or of a newer format.
    """
    if not path.is_file():
        found = ", ".join(sorted(p.name for p in path.parent.glob("*"))) or "nothing"
        hint = (
            ". model_algo-1 is the MXNet file of AWS's own image, which this one does not read"
            if (path.parent / "model_algo-1").exists()
            else ""
        )
        raise CustomerError(f"the model has no file {path.name}; it holds {found}{hint}")
    try:
        _check_size(path)
        with np.load(path, allow_pickle=False) as archive:
            found_kind, found_version = str(archive["format"]), int(archive["format_version"])
            known = (found_kind, found_version) == (kind, version)
            parts = {name: archive[name] for name in archive.files} if known else {}
    except (ValueError, KeyError, OSError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise CustomerError(f"{path.name} is not a {title} model of this image: {error}") from None
    if found_kind != kind:
        raise CustomerError(f"{path.name} holds {found_kind}, where {kind} is expected")
    if found_version > version:
        raise CustomerError(
            f"{path.name} has format version {found_version}; this image reads up to {version}. "
            "Serve it with the image that trained it, or a newer one"
        )
    return parts


def _check_size(path: Path) -> None:
    """Refuse a zip that unpacks to more than the file itself: `save` compresses nothing."""
    with zipfile.ZipFile(path) as packed:
        unpacked = sum(member.file_size for member in packed.infolist())
    size = path.stat().st_size
    if unpacked > size:
        raise ValueError(f"it unpacks to {unpacked:,} bytes from {size:,}, and is to be stored")
