"""The templates of the local environment: staged functions and `cdk synth`, made when needed."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from local.platform.commands import Commands
from local.platform.home import CHECKOUT, ENVIRONMENT, cdk, tool_environment

ASSEMBLY = CHECKOUT / "cdk.out" / ENVIRONMENT
FUNCTIONS = CHECKOUT / "build" / "functions" / "local"
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


def make(commands: Commands) -> str:
    """Stage the functions and synthesize unless that was done from the same files."""
    wanted = fingerprint()
    stamp = ASSEMBLY.with_suffix(".inputs")
    made = ASSEMBLY / "manifest.json"
    if made.is_file() and FUNCTIONS.is_dir() and stamp.is_file() and stamp.read_text() == wanted:
        return wanted
    stamp.unlink(missing_ok=True)
    environment = tool_environment()
    commands.run(
        "stage the functions",
        [sys.executable, "scripts/build_functions.py"],
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
            *("-o", str(ASSEMBLY)),
        ],
        environment,
        remedy="Correct what it names; alone it runs with: make synth ENVIRONMENTS=local",
    )
    stamp.write_text(wanted)
    return wanted
