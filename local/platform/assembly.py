"""The templates of the local environment: staged functions and `cdk synth`, made when needed."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from local.platform.commands import Commands
from local.platform.home import CHECKOUT, ENVIRONMENT, cdk, tool_environment
from local.platform.locking import exclusive

# Not cdk.out/local, which `make synth` may be writing while a platform comes up.
ASSEMBLIES = CHECKOUT / "build" / "assemblies"
KEPT = 4
# All that decides what synth and the staged functions come out as.
SOURCES = (
    "app.py",
    "cdk.json",
    "package-lock.json",
    "uv.lock",
    "algorithms/__init__.py",
    "algorithms/catalog",
    "constructs",
    "environments",
    "lambdas",
    "notebooks",
    "rules",
    "scripts",
    "stacks",
)


def fingerprint() -> str:
    """A hash over every file from which the assembly is made."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(_files()):
        digest.update(f"{path.relative_to(CHECKOUT)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for name in SOURCES:
        path = CHECKOUT / name
        if path.is_file():
            yield path
        for inner in path.rglob("*"):
            if inner.is_file() and "__pycache__" not in inner.parts:
                yield inner


def make(commands: Commands, note: Callable[[str], None]) -> Path:
    """Stage the functions and synthesize, unless that was done from the same files.

    `note` is told when another platform of this checkout is at it.

    An assembly lies in a folder named after what it was made from and is never changed: another
    platform may be deploying from it, or from an older one, at this moment.
    """
    ASSEMBLIES.mkdir(parents=True, exist_ok=True)
    with exclusive(ASSEMBLIES / ".lock", "synthesize", note):
        made = ASSEMBLIES / fingerprint()
        if not made.is_dir():
            _make(commands, made)
        os.utime(made)
        _forget_old()
    return made


def _make(commands: Commands, made: Path) -> None:
    draft = ASSEMBLIES / "draft"
    shutil.rmtree(draft, ignore_errors=True)
    environment = tool_environment()
    commands.run(
        "stage the functions",
        [sys.executable, "scripts/build_functions.py", "local"],
        environment,
        remedy="Alone it runs with: make functions",
    )
    commands.run(
        "synthesize",
        [
            *cdk(),
            "synth",
            *("--quiet", "--strict", "--no-lookups"),
            *("-c", f"environment={ENVIRONMENT}"),
            *("-o", str(draft)),
        ],
        environment,
        remedy="Correct what it names; alone it runs with: make synth ENVIRONMENTS=local",
    )
    draft.rename(made)


def _forget_old() -> None:
    made = [path for path in ASSEMBLIES.iterdir() if path.is_dir()]
    for path in sorted(made, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(path)
