"""Code of functions is unpacked once, and linked into the folder of each worker.

All functions of the training platform have one package of 20 MB, which ministack would unpack for
each worker of each of them: most of what a cold start takes.
"""

import hashlib
import os
import shutil
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from local.confinement import Offer

# Since this version of Landlock nothing confined can cut a file off that it may only read.
_TRUNCATION = 3
_KEPT = 8
_READABLE = 0o444


class Unpacked:
    """The packages that were unpacked last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._kept: OrderedDict[str, dict[Path, tuple[int, ...]]] = OrderedDict()

    def link(self, package: Path, folder: Path) -> None:
        """Give a folder all that a package holds; whoever has it may read it and no more."""
        with package.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with self._lock:
            self._unpack(digest, package)
            root = self._place(digest)
            for inner, _, names in os.walk(root):
                to = folder / Path(inner).relative_to(root)
                to.mkdir(parents=True, exist_ok=True)
                for name in names:
                    os.link(Path(inner, name), to / name)

    def _unpack(self, digest: str, package: Path) -> None:
        """Have the files of a package here, as they were in it."""
        known = self._kept.get(digest)
        # Who can read a file that is its user's can still change its mode.
        if known is not None and all(_state(path) == state for path, state in known.items()):
            self._kept.move_to_end(digest)
            return
        root = self._place(digest)
        shutil.rmtree(root, ignore_errors=True)
        with zipfile.ZipFile(package) as archive:
            archive.extractall(root)
        found = {}
        for path in _files(root):
            path.chmod(_READABLE)
            found[path] = _state(path)
        self._kept[digest] = found
        while len(self._kept) > _KEPT:
            oldest, _ = self._kept.popitem(last=False)
            shutil.rmtree(self._place(oldest), ignore_errors=True)

    def _place(self, digest: str) -> Path:
        if self._folder is None:
            # Beside those of the workers: a link does not leave a file system.
            self._folder = Path(tempfile.mkdtemp(prefix="function-code-"))
        return self._folder / digest


def install(offer: Offer) -> None:
    """Let workers get their code and layers so, where they are kept from changing them."""
    if offer.landlock < _TRUNCATION:
        return
    from ministack.core import lambda_runtime

    unpacked = Unpacked()

    class Package(zipfile.ZipFile):
        def extractall(self, path: Any = None, *args: Any, **more: Any) -> None:
            """As of a zip, into the folder of a worker."""
            name = self.filename
            if not (name and path and Path(name).is_absolute()) or args or more:
                super().extractall(path, *args, **more)
                return
            try:
                unpacked.link(Path(name), Path(path))
            except OSError:
                # Where files cannot be linked, for example.
                shutil.rmtree(path, ignore_errors=True)
                super().extractall(path)

    shim = {name: getattr(zipfile, name) for name in dir(zipfile) if name[0] != "_"}
    replaced: Any = lambda_runtime
    replaced.zipfile = SimpleNamespace(**shim | {"ZipFile": Package})


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield Path(folder, name)


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return ()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns
