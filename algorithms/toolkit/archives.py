"""Unpacks archives of others: bounded before anything is written, and read to their end.

A reader of its own, since the standard library's reads headers of any size into memory, writes out
the holes of sparse files and never looks at what follows an archive's end. The standard library
alone is imported, so that what starts the containers may use it, too.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from algorithms.toolkit.tar import Content, Member, TarError, members

GIB = 1 << 30
CHUNK = 1 << 20
# Window size and header of zlib: gzip alone.
_GZIP = 31
# What a file system takes of a name; a path is kept so short that a folder's own fits before it.
_NAME_BYTES = 255
_PATH_BYTES = 1024
_DEPTH = 64

# What the standard library raises at a zip that is broken in one way or another.
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error),
    *(EOFError, OSError, ValueError, NotImplementedError, OverflowError, RuntimeError),
)


class ArchiveError(Exception):
    """The archive is none, or holds what must not be unpacked; the message says what."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may unpack to.

    `volume`: all of it, in bytes. SageMaker gives an instance that hosts a model 30 GB of disk
    where the instance type has none of its own. `members`: an environment of Python with every
    library of deep learning has about 40,000 files. `ratio`: gzip packs zeros 1,000 to 1, weights
    hardly 2 to 1, and text 10 to 1; below `free` bytes any ratio is let pass, so that a small model
    of many zeros is none's business.
    """

    volume: int = 30 * GIB
    members: int = 50_000
    ratio: int = 100
    free: int = GIB
    # What stays free of the disk for all else.
    reserve: int = 256 << 20


LIMITS = Limits()


def extract(archive: Path, folder: Path, limits: Limits = LIMITS) -> None:
    """Unpack the regular files and folders of a .tar.gz into `folder`, all or none of them.

    Raises:
        ArchiveError: It is no whole .tar.gz; a member leaves the folder or is a link, a device, a
            pipe or a file with holes; or it unpacks to more than the limits allow. Nothing of it
            is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir()
        with _opened(archive) as reader:
            budget = _Budget(archive, draft, limits)
            for member, content in members(reader):
                _write(content, member, draft, budget)
            reader.finish()
        for made in [*draft.iterdir()]:
            made.replace(folder / made.name)
    except TarError as error:
        raise ArchiveError(f"it is no readable .tar.gz ({error})") from error
    except OSError as error:
        # Without the paths of this machine, which are nothing to who sent the archive.
        raise ArchiveError(f"it cannot be unpacked ({error.strerror or error})") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def extract_one(archive: Path, name: str, folder: Path, limits: Limits = LIMITS) -> Path | None:
    """Unpack one file of a .tar.gz, read to its end; None when it has no file of this name.

    Raises:
        ArchiveError: As of `extract`.
    """
    target = None
    try:
        with _opened(archive) as reader:
            budget = _Budget(archive, folder, limits)
            for member, content in members(reader):
                if member.kind == "file" and member.name.removeprefix("./") == name:
                    _write(content, member, folder, budget)
                    target = folder / name
                else:
                    budget.count(member)
            reader.finish()
    except TarError as error:
        raise ArchiveError(f"it is no readable .tar.gz ({error})") from error
    except OSError as error:
        raise ArchiveError(f"it cannot be unpacked ({error.strerror or error})") from error
    return target


def names(archive: Path, at_most: int = 20) -> list[str]:
    """The names of the first members of a .tar.gz, for a message."""
    found: list[str] = []
    try:
        with _opened(archive) as reader:
            for member, _ in members(reader):
                if len(found) == at_most:
                    return [*found, "..."]
                found.append(member.name)
    except (TarError, OSError):
        pass
    return found


def checked_path(name: str) -> PurePosixPath:
    """A member's name as a path below the folder where it is unpacked.

    Raises:
        ArchiveError: It leaves the folder, or no file system takes it.
    """
    path = PurePosixPath(name)
    shown = name if len(name) <= 80 else f"{name[:80]}..."
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ArchiveError(f"its member {shown!r} would leave the model folder")
    size = len(os.fsencode(name))
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    for found, allowed, what in (
        (size, _PATH_BYTES, "a name of {} bytes"),
        (longest, _NAME_BYTES, "a part of {} bytes in its name"),
        (len(path.parts), _DEPTH, "a name of {} folders"),
    ):
        if found > allowed:
            raise ArchiveError(
                f"its member {shown!r} has {what.format(f'{found:,}')}; {allowed:,} are allowed"
            )
    return path


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack a gzip of one or several members, at most `CHUNK` bytes at a time.

    Raises:
        TarError: It is none, its checksum is wrong, it ends in the middle, or is followed by
            something else than zeros.
    """
    decoder = zlib.decompressobj(_GZIP)
    begun = ended = False
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if decoder.eof:
                    # Zeros may fill up what follows the last member.
                    data = data.lstrip(b"\0")
                    if data:
                        decoder, ended = zlib.decompressobj(_GZIP), True
                    continue
                begun = True
                if piece := decoder.decompress(data, CHUNK):
                    yield piece
                data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        while begun and not decoder.eof and (piece := decoder.decompress(b"", CHUNK)):
            yield piece
    except zlib.error as error:
        what = "is followed by what is no gzip" if ended else "is no gzip"
        raise TarError(f"it {what}: {str(error).rpartition(': ')[2]}") from None
    if begun and not decoder.eof:
        raise TarError("it ends in the middle")


class _Reader:
    """What a gzip holds, read forward only."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pieces = gunzip(iter(lambda: file.read(CHUNK), b""))
        self._held = b""
        self._at = 0

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        parts = []
        while size > 0:
            if self._at == len(self._held):
                self._held, self._at = next(self._pieces, b""), 0
                if not self._held:
                    break
            part = self._held[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def finish(self) -> None:
        """Read what is left, so that the checksum is compared; nothing but zeros may be.

        Raises:
            TarError: There is more, or it is damaged.
        """
        limit = GIB
        while piece := self.read(CHUNK):
            if piece.strip(b"\0"):
                raise TarError("something follows the end of the archive")
            limit -= len(piece)
            if limit < 0:
                raise TarError(f"more than {GIB:,} zeros follow the end of the archive")


def _opened(archive: Path) -> _Reader:
    return _Reader(archive.open("rb"))


class _Budget:
    """What is left of the limits, by what the headers announce; and the folders made so far."""

    def __init__(self, archive: Path, folder: Path, limits: Limits) -> None:
        self._packed = archive.stat().st_size
        self._free = shutil.disk_usage(folder).free
        self._limits = limits
        self._folder = folder
        self._made = {folder}
        self._bytes = 0
        self._members = 0

    def count(self, member: Member) -> None:
        """Take one member into account.

        Raises:
            ArchiveError: It is one too many.
        """
        if member.kind == "sparse":
            raise ArchiveError(
                f"its member {member.name[:80]!r} is a sparse file, whose holes would be written "
                "out; pack it without --sparse"
            )
        limits = self._limits
        self._members += 1
        self._bytes += member.size
        if self._members > limits.members:
            raise ArchiveError(
                f"it has more than {limits.members:,} members, the last of them "
                f"{member.name[:80]!r}; {limits.members:,} are allowed"
            )
        if self._bytes > limits.volume:
            raise ArchiveError(
                f"with its member {member.name[:80]!r} it unpacks to {self._bytes:,} bytes; "
                f"{limits.volume:,} are allowed, as large as the volume of an instance"
            )
        if self._bytes > limits.free and self._bytes > limits.ratio * self._packed:
            raise ArchiveError(
                f"with its member {member.name[:80]!r} it unpacks to {self._bytes:,} bytes from "
                f"{self._packed:,}; above {limits.free:,} bytes, {limits.ratio} to 1 is allowed"
            )
        if self._bytes > self._free - limits.reserve:
            raise ArchiveError(
                f"with its member {member.name[:80]!r} it unpacks to {self._bytes:,} bytes, and "
                f"the disk has {self._free:,} left, of which {limits.reserve:,} stay free; "
                "free some space and try again"
            )

    def make(self, target: Path, name: str) -> None:
        """Make a folder for the member of this name.

        Raises:
            ArchiveError: An earlier member is a file there.
        """
        if target in self._made:
            return
        try:
            target.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            above = next(one for one in (target, *target.parents) if one.exists())
            raise ArchiveError(
                f"its member {name!r} needs a folder where its member "
                f"{above.relative_to(self._folder).as_posix()!r} is a file"
            ) from None
        self._made.add(target)


def _write(content: Content, member: Member, folder: Path, budget: _Budget) -> None:
    budget.count(member)
    if member.kind == "folder" and not member.name.strip("/"):
        # The folder itself, as the SageMaker Python SDK names it in what it packs again.
        return
    name = checked_path(member.name)
    if member.kind == "link":
        raise ArchiveError(
            f"its member {member.name!r} is a link (to {member.link!r}); "
            "only files and folders are allowed"
        )
    if member.kind == "other":
        raise ArchiveError(
            f"its member {member.name!r} is a device or pipe, or of an unknown type; "
            "only files and folders are allowed"
        )
    target = folder.joinpath(name)
    if member.kind == "folder":
        budget.make(target, member.name)
        return
    budget.make(target.parent, member.name)
    # The right to run it is all that is taken over: no set-user-id, and nobody else may write.
    mode = 0o755 if member.mode & 0o100 else 0o644
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    except IsADirectoryError:
        raise ArchiveError(f"its member {member.name!r} is a file where a folder is") from None
    with os.fdopen(descriptor, "wb") as file:
        while piece := content.read(CHUNK):
            file.write(piece)


def check_zip(body: bytes, limits: Limits = LIMITS) -> None:
    """Refuse a zip that cannot be unpacked whole: read to its end, and nothing is written.

    Raises:
        ArchiveError: It is none, is damaged or encrypted, a member leaves the folder, or there is
            too much in it. What is above `limits.volume` is not read.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as packed:
            _check_members(packed, limits)
    except _ZIP_ERRORS as error:
        raise ArchiveError(f"it is no whole zip ({error})") from error


def _check_members(packed: zipfile.ZipFile, limits: Limits) -> None:
    found = packed.infolist()
    if len(found) > limits.members:
        raise ArchiveError(f"it has {len(found):,} members; {limits.members:,} are allowed")
    total = sum(member.file_size for member in found)
    if total > limits.volume:
        raise ArchiveError(f"it unpacks to {total:,} bytes; {limits.volume:,} are allowed")
    for member in found:
        checked_path(member.filename)
        if member.flag_bits & 1:
            raise ArchiveError(f"its member {member.filename[:80]!r} is encrypted")
        with packed.open(member) as content:
            while content.read(CHUNK):
                pass
