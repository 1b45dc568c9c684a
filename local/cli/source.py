"""The code that a job is made with: packed, uploaded, and told from which commit it is."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.platform.errors import PlatformError

ARCHIVE = "sourcedir.tar.gz"
_LIMIT = 64 * 1024 * 1024
_SKIPPED = {".git", ".venv", "__pycache__", ".ipynb_checkpoints", "node_modules"}
_PACK = "pack the source"


def pack(folder: Path) -> bytes:
    """A tar.gz of a folder's files: the same bytes for the same content, whoever packs it when.

    Raises:
        PlatformError: For what is no folder, holds nothing or too much, or has a link in it.
    """
    if not folder.is_dir():
        raise PlatformError(_PACK, f"{folder} is no folder.", "Name the folder of the code.")
    packed, total = io.BytesIO(), 0
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in _files(folder):
            body = path.read_bytes()
            total += len(body)
            if total > _LIMIT:
                raise PlatformError(
                    _PACK,
                    f"{folder} holds more than {_LIMIT >> 20} MiB.",
                    "Put data into channels, and only code into the source.",
                )
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = len(body)
            member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            tar.addfile(member, io.BytesIO(body))
    if not total:
        raise PlatformError(_PACK, f"{folder} holds no files.", "Name the folder of the code.")
    return packed.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in _SKIPPED:
            continue
        if path.is_symlink():
            raise PlatformError(
                _PACK,
                f"{path} is a link, which could lead out of the folder.",
                "Put the file itself there, or leave the link out.",
            )
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path
        else:
            raise PlatformError(
                _PACK,
                f"{path} is neither a file nor a folder, but a pipe, a socket or a device.",
                "Leave it out of the folder of the code.",
            )


def key(archive: bytes) -> str:
    """Where an archive lies in the data bucket: by its content, so that it is there once."""
    return f"sources/{hashlib.sha256(archive).hexdigest()[:32]}/{ARCHIVE}"


def commit(folder: Path) -> dict[str, Any]:
    """What git tells of a folder, as `provenance` of a request has it; nothing outside of git."""
    found = _git(folder, "rev-parse", "HEAD")
    if not found:
        return {}
    told: dict[str, Any] = {
        "commit": found,
        "modified": bool(_git(folder, "status", "--porcelain", "--", ".")),
    }
    if remote := _git(folder, "config", "--get", "remote.origin.url"):
        # A URL may carry a password, which has no place in a registry.
        told["repository"] = re.sub(r"//[^/@]*@", "//", remote)[:256]
    return told


def _git(folder: Path, *arguments: str) -> str:
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - whichever git its user has
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
