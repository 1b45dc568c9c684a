"""What the images of the algorithms hold: the code, and the packages that it needs."""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.platform.errors import PlatformError
from local.platform.home import CHECKOUT

ALGORITHMS = CHECKOUT / "algorithms"
DOCKERFILE = ALGORITHMS / "Dockerfile"
LIGHT, DEEP = "light", "deep"
# The dependency groups of each kind of image; deep comes on top of light.
GROUPS = {LIGHT: ("algorithms",), DEEP: ("algorithms", "deep")}
# What comes from an index of its own, in builds for CPUs; those of PyPI bring CUDA along.
_TORCH = {"torch", "torchvision"}
_CUDA = re.compile(r"nvidia-|cuda-|triton$")
# What no program reads: tests, and what compilers need.
_FOLDERS = {"tests", "include", "__pycache__"}
_SUFFIXES = {".pyi", ".pyx", ".pxd", ".h", ".hpp", ".c", ".cpp", ".a", ".cmake"}
# Services that no algorithm calls.
_UNUSED = ("libarrow_flight*", "_flight*", "libarrow_s3*", "_s3fs*")
_FOLDER = CHECKOUT / "build" / "images"
_STEP = "bring the packages of the images"


@dataclass(frozen=True)
class Base:
    """What the packages of an image must fit: its Python, and its machine as uv calls it."""

    image: str
    python: str
    machine: str


def kind(name: str) -> str:
    """Which kind of image an algorithm needs, by all that its modules import."""
    from algorithms.toolkit.algorithm import DEEP_PACKAGES

    module = name.replace("-", "_")
    return DEEP if _reached(f"algorithms.{module}") & DEEP_PACKAGES else LIGHT


def _reached(start: str) -> set[str]:
    """The packages from elsewhere that a module of `algorithms` imports, and those it imports."""
    found: set[str] = set()
    seen: set[Path] = set()
    waiting = [*_files(start)]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for module in _imports(path):
            if module.partition(".")[0] == "algorithms":
                waiting += _files(module)
            else:
                found.add(module.partition(".")[0])
    return found


def _files(module: str) -> Iterator[Path]:
    """The file of a module of `algorithms`, or all of a package's; nothing for other names.

    Packages that several algorithms share are not taken as a whole.
    """
    path = CHECKOUT.joinpath(*module.split("."))
    if path.with_suffix(".py").is_file():
        yield path.with_suffix(".py")
    elif path.is_dir() and path.name not in {"algorithms", "toolkit", "catalog", "formats"}:
        yield from sorted(path.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def prepared(what: str, base: Base, torch_index: str | None = None) -> Path:
    """The build context of a kind of image, with its packages and the code as it is now."""
    wanted = {each: requirements(each) for each in GROUPS if each in {LIGHT, what}}
    told = repr((sorted(wanted.items()), base.python, base.machine, torch_index))
    folder = _FOLDER / f"{what}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    before: Mapping[str, str] = {}
    for each, needed in wanted.items():
        new = {name: text for name, text in needed.items() if name not in before}
        if not (folder / each).is_dir():
            _install(folder / each, new, base, torch_index)
        before = needed
    _copy_code(folder / "program")
    return folder


def requirements(what: str) -> dict[str, str]:
    """What uv.lock names for a kind of image, by name, each with its version and hashes."""
    groups = [argument for group in GROUPS[what] for argument in ("--group", group)]
    command = ["export", "--frozen", "--quiet", "--no-default-groups", "--no-emit-project"]
    return parsed(_uv(*command, "--no-annotate", "--no-header", *groups))


def parsed(text: str) -> dict[str, str]:
    """The requirements of an export, by the name of the package; one may be there per Python."""
    found: dict[str, str] = {}
    for block in re.split(r"\n(?=\S)", text.strip()):
        name = re.split(r"[=;\s]", block, maxsplit=1)[0]
        found[name] = f"{found[name]}\n{block}" if name in found else block
    return found


def split(needed: Mapping[str, str], torch_index: str | None) -> tuple[list[str], list[str]]:
    """What comes from PyPI by its hashes, and what from the index of torch by its version."""
    if torch_index is None:
        return [*needed.values()], []
    locked = [
        text for name, text in needed.items() if name not in _TORCH and _CUDA.match(name) is None
    ]
    return locked, [
        re.split(r"[\s;\\]", needed[name])[0] for name in sorted(_TORCH & needed.keys())
    ]


def _install(folder: Path, needed: Mapping[str, str], base: Base, torch_index: str | None) -> None:
    """Install packages into a folder, complete or not at all."""
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    locked, others = split(needed, torch_index)
    listing = draft / "requirements.txt"
    listing.write_text("\n".join(locked) + "\n")
    common = ["pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
    common += ["--no-compile-bytecode", "--python", sys.executable, "--target", str(draft)]
    common += ["--python-version", base.python, "--python-platform", base.machine]
    _uv(*common, "--link-mode", "copy", "--require-hashes", "--requirement", str(listing))
    if others and torch_index:
        _uv(*common, "--link-mode", "copy", "--index-url", torch_index, *others)
    listing.unlink()
    shutil.rmtree(draft / "bin", ignore_errors=True)
    _trim(draft)
    draft.rename(folder)


def _trim(folder: Path) -> None:
    """Take away what no program reads."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and path.name in _FOLDERS:
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in _SUFFIXES:
            path.unlink()
    for pattern in _UNUSED:
        for path in folder.joinpath("pyarrow").glob(pattern):
            path.unlink(missing_ok=True)


def _copy_code(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "Dockerfile", "entrypoint")
    shutil.copytree(ALGORITHMS, folder / "algorithms", ignore=ignored)
    shutil.copy(ALGORITHMS / "entrypoint", folder)


def _uv(*arguments: str) -> str:
    uv = shutil.which("uv") or str(CHECKOUT / ".uv" / "bin" / "uv")
    try:
        done = subprocess.run(
            [uv, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise PlatformError(_STEP, f"uv does not run: {error}", "Run: make setup") from error
    if done.returncode:
        raise PlatformError(
            _STEP,
            done.stderr.strip()[-2000:],
            "uv takes them from PyPI, or from the index that --torch-index names.",
        )
    return done.stdout


def platform(machine: str, glibc: str) -> str:
    """A machine as uv names it: packages for an older C library fit a newer one."""
    known = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
    minor = int(glibc.split(".")[1])
    fitting = [each for each in known if each <= minor]
    if not fitting:
        raise PlatformError(
            _STEP,
            f"The base image has glibc {glibc}; no packages are made for one that old.",
            "Choose another base image with --base.",
        )
    return f"{machine}-manylinux_2_{fitting[-1]}"


def listed(names: Iterable[str]) -> list[str]:
    """The algorithms meant: those named, or all that have code here."""
    from algorithms.toolkit import available

    known, wanted = available(), [*dict.fromkeys(names)]
    if unknown := [name for name in wanted if name not in known]:
        raise PlatformError(
            "choose the algorithms",
            f"There is no algorithm {', '.join(unknown)} here.",
            f"There are: {', '.join(known)}.",
        )
    return wanted or [*known]
