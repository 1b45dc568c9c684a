"""The layers and configurations of images, on the disk."""

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

_CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# ECR's own rule for the names of repositories.
_NAME = re.compile(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*")
_UPLOAD = re.compile(r"[0-9a-f]{32}")


class Blobs:
    """Files by repository and digest, complete or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, repository: str, digest: str) -> Path | None:
        """Where a blob of a repository lies; None when it has none."""
        path = self._path(repository, digest)
        return path if path is not None and path.is_file() else None

    def mount(self, source: str, repository: str, digest: str) -> bool:
        """Take a blob over from another repository."""
        found, path = self.find(source, digest), self._path(repository, digest)
        if found is None or path is None:
            return False
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(found)
        return True

    def begin(self, repository: str) -> str:
        """Begin an upload; returns its name."""
        name = secrets.token_hex(16)
        path = self._upload(repository, name)
        if path is None:
            raise ValueError(f"{repository!r} is no name of a repository.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return name

    def size(self, repository: str, upload: str) -> int | None:
        """How much of an upload has come; None when there is no such upload."""
        path = self._upload(repository, upload)
        return path.stat().st_size if path is not None and path.is_file() else None

    async def append(self, repository: str, upload: str, chunks: AsyncIterator[bytes]) -> int:
        """Add to an upload that has begun; returns how much has come in all."""
        path = self._upload(repository, upload)
        if path is None:
            raise ValueError(f"{upload!r} is no upload.")
        with path.open("ab") as file:
            async for chunk in chunks:
                file.write(chunk)
            return file.tell()

    def finish(self, repository: str, upload: str, digest: str) -> str:
        """Make an upload the blob that it claims to be; returns what its digest really is."""
        draft, path = self._upload(repository, upload), self._path(repository, digest)
        if draft is None or path is None:
            return ""
        hashed = hashlib.sha256()
        with draft.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
        actual = f"sha256:{hashed.hexdigest()}"
        if actual == digest:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(path)
        return actual

    def cancel(self, repository: str, upload: str) -> bool:
        """Forget an upload."""
        path = self._upload(repository, upload)
        if path is None or not path.is_file():
            return False
        path.unlink()
        return True

    def _path(self, repository: str, digest: str) -> Path | None:
        if not _NAME.fullmatch(repository) or not _DIGEST.fullmatch(digest):
            return None
        # An underscore begins no part of a repository's name.
        return self._folder / repository / "_blobs" / digest.removeprefix("sha256:")

    def _upload(self, repository: str, name: str) -> Path | None:
        if not _NAME.fullmatch(repository) or not _UPLOAD.fullmatch(name):
            return None
        return self._folder / repository / "_uploads" / name
