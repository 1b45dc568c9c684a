"""Packs what a training job leaves behind, and stores it in S3."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

MODEL = "model.tar.gz"
OUTPUT = "output.tar.gz"
_LEVEL = 6


def pack(folders: Sequence[Path], archive: Path) -> None:
    """Write the content of all folders, without the folders themselves, into one .tar.gz.

    Of files that several hosts call the same, the first host's is kept.
    """
    files: set[Path] = set()
    folders_made: set[Path] = set()
    with tarfile.open(archive, "w:gz", compresslevel=_LEVEL) as tar:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder)
                if name in files or name in folders_made or files.intersection(name.parents):
                    continue
                is_folder = path.is_dir() and not path.is_symlink()
                (folders_made if is_folder else files).add(name)
                tar.add(path, arcname=name.as_posix(), recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
