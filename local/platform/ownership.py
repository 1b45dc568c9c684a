"""Whether a folder is its user's alone: nobody else may read it, change it or put another there."""

import os
import pwd
import stat
from pathlib import Path

from local.platform.errors import PlatformError

_STEP = "find a place for the platform"
_OTHER_PLACE = "Let SMP_HOME name a folder of your own, or one that does not exist."


def check(folder: Path, trusted: Path) -> None:
    """Refuse a folder that another user owns or may change, or whose place another may take.

    Nothing is asked of `trusted`, the code that runs, and of the folders above it: who may change
    those needs no other way. The folder may not exist yet.

    Raises:
        PlatformError: It is no folder, or not its user's alone.
    """
    for place in (folder, *folder.parents):
        if place != folder and (place == trusted or place in trusted.parents):
            return
        try:
            found = look(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise PlatformError(
                _STEP, f"{place} cannot be looked at: {error.strerror}.", _OTHER_PLACE
            ) from None
        if not stat.S_ISDIR(found.st_mode):
            raise PlatformError(_STEP, f"{place} is a file and no folder.", _OTHER_PLACE)
        if place == folder:
            _check_folder(folder, found)
        else:
            _check_parent(folder, place, found, trusted)


def look(place: Path) -> os.stat_result:
    """Owner and permissions of what is at a path."""
    return place.stat()


def _check_folder(folder: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise PlatformError(
            _STEP,
            f"{folder} belongs to {_user(found.st_uid)}, and smp runs as {_user(os.geteuid())}.",
            _OTHER_PLACE,
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and any(folder.iterdir()):
        raise PlatformError(
            _STEP,
            f"Others may write into {folder}, so what it holds may be theirs.",
            f"See that it is yours, then: chmod 700 {folder}. {_OTHER_PLACE}",
        )


def _check_parent(folder: Path, place: Path, found: os.stat_result, trusted: Path) -> None:
    owners = {0, os.geteuid(), trusted.stat().st_uid, *_unmapped()}
    if found.st_uid not in owners:
        raise PlatformError(
            _STEP,
            f"{folder} lies in {place} of {_user(found.st_uid)}, who could replace it.",
            _OTHER_PLACE,
        )
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise PlatformError(
            _STEP,
            f"{folder} lies in {place}, where everybody could replace it.",
            f"Let SMP_HOME name a folder elsewhere, or the owner run: chmod o-w {place}",
        )


def _unmapped() -> set[int]:
    """How a user namespace shows the owner of the system's own folders."""
    try:
        return {int(Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii"))}
    except (OSError, ValueError):
        return set()


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def make_private(folder: Path) -> None:
    """Take an own folder's permissions from all but its owner.

    Raises:
        PlatformError: The file system keeps no permissions.
    """
    if not stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return
    folder.chmod(0o700)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise PlatformError(
            _STEP,
            f"The file system of {folder} keeps no permissions, so that others could read it.",
            "Let SMP_HOME name a folder on a disk of this machine, such as ~/.smp.",
        )


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step: nobody sees half of it."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # A write that fails does not say where.
            error.filename = str(path)
        raise
