"""What the service remembers: JSON documents by kind and name in one SQLite file."""

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID
"""


class Store:
    """A thread-safe store of documents; what a call returns is the caller's own copy."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Reads share the writer's connection and lock: each takes microseconds, and a reader
        # never sees half of what a writer changes.
        self._lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        # What has been answered must be there after any end of the process or the machine.
        self._database.execute("PRAGMA synchronous=FULL")
        # A full disk has no room for temporary files, and lists are still to be sorted.
        self._database.execute("PRAGMA temp_store=MEMORY")
        self._database.execute(_SCHEMA)

    def close(self) -> None:
        """Close the file; the store cannot be used any more."""
        with self._lock:
            self._database.close()

    def add(self, kind: str, name: str, document: Document) -> bool:
        """Keep a new document, or answer False when the name is taken."""
        with self._lock:
            cursor = self._database.execute(
                "INSERT OR IGNORE INTO documents VALUES (?, ?, ?)",
                (kind, name, json.dumps(document)),
            )
            return cursor.rowcount == 1

    def add_unless(
        self, kind: str, name: str, document: Document, conflicts: Callable[[Document], bool]
    ) -> bool:
        """Keep a new document, or answer False when one of its kind conflicts with it."""
        with self._lock:
            if any(conflicts(other) for other in self.all(kind)):
                return False
            return self.add(kind, name, document)

    def get(self, kind: str, name: str) -> Document | None:
        """Find the document, or None."""
        with self._lock:
            row = self._database.execute(
                "SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, kind: str, name: str, document: Document) -> None:
        """Keep the document in place of what the name held."""
        with self._lock:
            self._database.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)",
                (kind, name, json.dumps(document)),
            )

    def change(self, kind: str, name: str, edit: Callable[[Document], object]) -> Document | None:
        """Edit the document while no other thread can, and return it; None when there is none."""
        with self._lock:
            document = self.get(kind, name)
            if document is not None:
                edit(document)
                self.put(kind, name, document)
            return document

    def delete(self, kind: str, name: str) -> bool:
        """Forget the document; False when there was none."""
        with self._lock:
            cursor = self._database.execute(
                "DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name)
            )
            return cursor.rowcount == 1

    def all(self, kind: str) -> list[Document]:
        """List every document of a kind, by name."""
        with self._lock:
            rows = self._database.execute(
                "SELECT body FROM documents WHERE kind = ? ORDER BY name", (kind,)
            ).fetchall()
        return [json.loads(row[0]) for row in rows]

    def having(self, kind: str, member: str, values: Sequence[str]) -> list[Document]:
        """List the documents of a kind whose `member` has one of the values, by name.

        SQLite looks into the documents, so that the many others are never parsed here.
        """
        wanted = ", ".join("?" * len(values))
        with self._lock:
            rows = self._database.execute(
                "SELECT body FROM documents WHERE kind = ? "  # noqa: S608 - question marks alone
                f"AND json_extract(body, '$.' || ?) IN ({wanted}) ORDER BY name",
                (kind, member, *values),
            ).fetchall()
        return [json.loads(row[0]) for row in rows]
