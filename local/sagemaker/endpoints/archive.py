"""Unpacks model.tar.gz without trusting it."""

import shutil
import tarfile
from pathlib import Path, PurePosixPath


class ArchiveError(Exception):
    """The archive is none, or holds what must not be unpacked; the message says what."""


def extract(archive: Path, folder: Path) -> None:
    """Unpack the regular files and folders of an archive below `folder`.

    Raises:
        ArchiveError: for a member that leaves the folder, or is a link, a device or a pipe; what
            came before it has been unpacked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _extract(tar, member, folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveError(f"it is no readable .tar.gz ({error})") from error


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\0" in member.name:
        raise ArchiveError(f"its member {member.name!r} would leave the model folder")
    if member.issym() or member.islnk():
        raise ArchiveError(
            f"its member {member.name!r} is a link (to {member.linkname!r}); "
            "only files and folders are allowed"
        )
    target = folder.joinpath(name)
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isfile() else None
    if source is None:
        raise ArchiveError(
            f"its member {member.name!r} is a device or pipe; only files and folders are allowed"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    if member.mode & 0o100:
        target.chmod(0o755)
