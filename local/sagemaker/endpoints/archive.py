"""Unpacks model.tar.gz without trusting it, within what an instance that hosts it would hold."""

from pathlib import Path

from algorithms.toolkit import archives
from algorithms.toolkit.archives import ArchiveError

__all__ = ["ArchiveError", "extract"]


def extract(archive: Path, folder: Path) -> None:
    """Unpack the regular files and folders of a model's archive into `folder`, all or none.

    Raises:
        ArchiveError: It is no whole .tar.gz, holds what must not be unpacked, or too much.
    """
    archives.extract(archive, folder)
