"""What a job has left in its folder, read without following links that it may have put there.

The platform reads as its user what a job wrote: a link in the place of a folder or a file, also of
one that was looked at before, must not make it read what the job could not.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without waiting for whoever would write into a pipe.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_THERE = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO)


class Folder:
    """A folder that a job could write to, held open."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def entries(self) -> list[tuple[PurePosixPath, os.stat_result]]:
        """Name all that is in it, and below, with what each is itself."""
        found = []
        for parent, folders, files, descriptor in os.fwalk(
            ".", follow_symlinks=False, dir_fd=self.descriptor
        ):
            for name in (*folders, *files):
                try:
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                found.append((PurePosixPath(parent, name), status))
        return sorted(found)

    @contextmanager
    def file(self, name: PurePosixPath) -> Iterator[BinaryIO]:
        """Open a regular file in it.

        Raises:
            FileNotFoundError: when there is none of this name, or something else is.
        """
        with _below(self.descriptor, name.parent) as parent:
            try:
                descriptor = os.open(name.name, _FILE, dir_fd=parent)
            except OSError as error:
                raise _missing(error, name) from error
            with os.fdopen(descriptor, "rb") as opened:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise FileNotFoundError(errno.ENOENT, "no regular file", str(name))
                yield opened

    def target(self, name: PurePosixPath) -> str:
        """Read where a link in it points to."""
        with _below(self.descriptor, name.parent) as parent:
            return os.readlink(name.name, dir_fd=parent)


@contextmanager
def opened(base: Path, inside: PurePosixPath) -> Iterator[Folder]:
    """Open a folder below one that is the platform's own.

    Raises:
        FileNotFoundError: when there is none, or a link in its place.
    """
    descriptor = os.open(base, _FOLDER)
    try:
        with _below(descriptor, inside) as found:
            yield Folder(found)
    finally:
        os.close(descriptor)


@contextmanager
def _below(descriptor: int, inside: PurePosixPath) -> Iterator[int]:
    current = os.dup(descriptor)
    try:
        for part in inside.parts:
            try:
                following = os.open(part, _FOLDER, dir_fd=current)
            except OSError as error:
                raise _missing(error, inside) from error
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def _missing(error: OSError, name: PurePosixPath) -> OSError:
    if error.errno in _NOT_THERE:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(name))
    return error
