"""The file that the emulator's state lies in: rows in SQLite, long contents in files beside it."""

import hashlib
import importlib.metadata
import json
import os
import re
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.sagemaker.errors import disk_refusal

# To be raised with every change of what rows hold or how.
FORMAT = 3
# A file's name in a row leads nowhere but into the folder of these files.
_BODY_NAME = re.compile(r"[0-9A-Za-z]{1,64}")
_REMEDY = "Begin anew with smp down and then smp up."
_SCHEMA = """
CREATE TABLE IF NOT EXISTS stamp (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rows (
    store TEXT NOT NULL,
    key TEXT NOT NULL,
    part TEXT NOT NULL,
    value BLOB NOT NULL,
    bodies TEXT NOT NULL,
    PRIMARY KEY (store, key, part)
) WITHOUT ROWID;
"""


class StateRefused(Exception):
    """The state of this folder cannot be taken up; the message says why and what to do."""


class NotWritten(Exception):
    """The state could not be written; nothing of it was."""


@dataclass(frozen=True)
class RowId:
    """Where a row belongs: a store, an entry of it, and a part of that entry ('' for the rest)."""

    store: str
    key: str
    part: str = ""


@dataclass(frozen=True)
class Row:
    """A value as bytes, and the files that it refers to."""

    value: bytes
    bodies: tuple[str, ...] = ()

    @property
    def digest(self) -> bytes:
        """Tells two rows apart."""
        seen = hashlib.blake2b(self.value, digest_size=16)
        seen.update(repr(self.bodies).encode())
        return seen.digest()


@dataclass
class Delta:
    """What has changed: rows by their place, None where one is gone, and new files.

    `taken` are the contents that left memory for these files: what held them, and where.
    """

    rows: dict[RowId, Row | None] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    taken: list[tuple[Any, Any, bytes]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows)


class StateFile:
    """Rows and files of one platform; a delta is in it whole or not at all."""

    def __init__(self, folder: Path) -> None:
        """Open the state, or begin one.

        Raises:
            StateRefused: It is of another version, or damaged.
        """
        self.folder = folder
        self._bodies = folder / "bodies"
        self._bodies.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "state.sqlite"
        with _refusing(path):
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            # An answer leaves when what it tells is on the disk, not only on its way there.
            self._database.execute("PRAGMA synchronous=FULL")
            # A full disk has no room for temporary files, and rows are still to be read in order.
            self._database.execute("PRAGMA temp_store=MEMORY")
            self._check(path)
            self._database.executescript(_SCHEMA)
            self._database.executemany("INSERT OR IGNORE INTO stamp VALUES (?, ?)", _stamp())
            self._references = Counter(name for _, row in self.rows() for name in row.bodies)
            self._known = {row_id: row.bodies for row_id, row in self.rows() if row.bodies}
        self._check_bodies()

    def _check(self, path: Path) -> None:
        problem = self._database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master")}
        if not tables:
            return
        stamped = (
            dict(self._database.execute("SELECT name, value FROM stamp"))
            if "stamp" in tables
            else {}
        )
        for name, value in _stamp():
            if stamped.get(name) != value:
                raise StateRefused(
                    f"The state in {path} was written with {name} {stamped.get(name, 'unknown')},"
                    f" and this is {name} {value}. Go back to the version of the checkout that "
                    f"wrote it, or give it up: {_REMEDY}"
                )

    def _check_bodies(self) -> None:
        """Remove files that no row refers to; each that one refers to must be there."""
        there = {file.name for file in self._bodies.iterdir()}
        for name in there - self._references.keys():
            (self._bodies / name).unlink()
        if missing := sorted(self._references.keys() - there):
            raise StateRefused(
                f"The state in {self.folder} is damaged: {self._bodies / missing[0]} is missing. "
                f"Put it back, or give the state up: {_REMEDY}"
            )

    def rows(self) -> Iterator[tuple[RowId, Row]]:
        """Every row.

        Raises:
            ValueError: One is none of this version's.
        """
        query = "SELECT store, key, part, value, bodies FROM rows ORDER BY store, key, part"
        for found in self._database.execute(query):
            yield _checked(found)

    def row(self, row_id: RowId) -> Row | None:
        """One row; None when there is none."""
        found = self._database.execute(
            "SELECT store, key, part, value, bodies FROM rows "
            "WHERE store = ? AND key = ? AND part = ?",
            (row_id.store, row_id.key, row_id.part),
        ).fetchone()
        return _checked(found)[1] if found else None

    def write(self, delta: Delta) -> None:
        """Keep a delta.

        Raises:
            NotWritten: for example because the disk is full; the state is as it was.
        """
        written: list[Path] = []
        try:
            for name, content in delta.bodies.items():
                written.append(self._bodies / name)
                _write_through(written[-1], content)
            if written:
                _sync_folder(self._bodies)
            self._write_rows(delta.rows)
        except (OSError, sqlite3.Error) as error:
            for path in written:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            raise NotWritten(str(error)) from error
        self._forget_bodies(delta.rows)

    def _write_rows(self, rows: Mapping[RowId, Row | None]) -> None:
        database = self._database
        try:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "DELETE FROM rows WHERE store = ? AND key = ? AND part = ?",
                [(i.store, i.key, i.part) for i, row in rows.items() if row is None],
            )
            database.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)",
                [
                    (i.store, i.key, i.part, row.value, json.dumps(row.bodies))
                    for i, row in rows.items()
                    if row is not None
                ],
            )
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
            raise

    def _forget_bodies(self, rows: Mapping[RowId, Row | None]) -> None:
        """Count references anew, and remove the files that lost their last one."""
        lost: set[str] = set()
        for row_id, row in rows.items():
            before = self._known.pop(row_id, ())
            self._references.subtract(before)
            lost.update(before)
            if row is not None and row.bodies:
                self._known[row_id] = row.bodies
                self._references.update(row.bodies)
        for name in lost:
            if self._references[name] <= 0:
                del self._references[name]
                with suppress(OSError):
                    (self._bodies / name).unlink(missing_ok=True)

    def body(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            ValueError: The name is none of such a file.
        """
        if not _BODY_NAME.fullmatch(name):
            raise ValueError(f"a row names the file {name[:80]!r}")
        return (self._bodies / name).read_bytes()

    def close(self) -> None:
        """Close it; what was written stays."""
        self._database.close()


def _checked(found: tuple[Any, ...]) -> tuple[RowId, Row]:
    """A row as it was read: SQLite lets a column hold a value of any type."""
    store, key, part, value, bodies = found
    names = json.loads(bodies)
    if not (
        all(isinstance(text, str) for text in (store, key, part))
        and isinstance(value, bytes)
        and isinstance(names, list)
        and all(isinstance(name, str) and _BODY_NAME.fullmatch(name) for name in names)
    ):
        raise ValueError(f"a row of {str(store)[:80]} is none of this version's")
    return RowId(store, key, part), Row(value, tuple(names))


def new_body_name() -> str:
    """A name that no file has had."""
    return uuid.uuid4().hex


def _stamp() -> list[tuple[str, str]]:
    # Rows hold what these two have in memory.
    versions = [(name, importlib.metadata.version(name)) for name in ("ministack", "moto")]
    return [("format", str(FORMAT)), *versions]


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
        if remedy := disk_refusal(error):
            raise StateRefused(f"{path}: {remedy}") from error
        raise StateRefused(
            f"The state in {path} is damaged or not a platform's ({error}). "
            f"Put back a copy, or give it up: {_REMEDY}"
        ) from error


def _write_through(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
