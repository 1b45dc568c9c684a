"""Packs what a training job leaves behind, and stores it in S3."""

import tarfile
from pathlib import Path

MODEL = "model.tar.gz"
OUTPUT = "output.tar.gz"
_LEVEL = 6


def pack(folder: Path, archive: Path) -> None:
    """Write the content of a folder, without the folder itself, into a .tar.gz."""
    with tarfile.open(archive, "w:gz", compresslevel=_LEVEL) as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
