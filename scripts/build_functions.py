"""Stage the code of the Lambda functions: for AWS, and for the local platform on this machine.

    python scripts/build_functions.py [aws|local ...]

Each target becomes one folder under build/functions, the asset of every function. Nothing is done
when a folder is up to date; the same sources and lock file make the same bytes everywhere.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "build" / "functions"

TARGETS = {
    # AWS runs the functions on its own processor, whatever this machine is.
    "aws": ["--python-platform", "aarch64-manylinux2014", "--python-version", "3.13"],
    # The local platform runs them with this Python.
    "local": ["--python", sys.executable],
}
STAMP = ".content"


def sources() -> list[Path]:
    """Every file of the project that goes into the asset."""
    packages = [path for path in (ROOT / "lambdas").iterdir() if (path / "__init__.py").is_file()]
    folders = [*packages, ROOT / "algorithms" / "catalog"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files.append(ROOT / "algorithms" / "__init__.py")
    return sorted(path for path in files if _wanted(path))


def destination(path: Path) -> Path:
    """Where a source lies in the asset: lambdas/ is a source root, the project another."""
    below = path.relative_to(ROOT)
    return below.relative_to("lambdas") if below.parts[0] == "lambdas" else below


def fingerprint(target: str) -> str:
    """What the folder of a target depends on."""
    digest = hashlib.sha256()
    for path in (*sources(), ROOT / "uv.lock", Path(__file__).resolve()):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    runtime = " ".join(TARGETS[target]) + (sys.version if target == "local" else "")
    return hashlib.sha256(digest.digest() + runtime.encode()).hexdigest()


def build(target: str) -> bool:
    """Make the folder of a target; whether there was anything to do."""
    folder, wanted = OUTPUT / target, fingerprint(target)
    # Beside the folder and not in it: it is no part of the asset.
    stamp = OUTPUT / f"{target}{STAMP}"
    if folder.is_dir() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return False
    # Whoever synthesizes meanwhile sees the old folder or the new one, and never half of it.
    staging = OUTPUT / f".{target}.{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        _install(target, staging)
        for path in sources():
            to = staging / destination(path)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
        _normalize(staging)
        if target == "local":
            _compile(staging)
        stamp.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
        stamp.write_text(wanted, encoding="utf-8")
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return True


def _install(target: str, folder: Path) -> None:
    # The versions of the lock file, so that what was tested is what runs.
    exported = subprocess.run(
        [_uv(), "export", "--locked", "--no-default-groups", "--no-emit-project", "--quiet"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    command = [_uv(), "pip", "install", "--quiet", "--target", str(folder), "--no-deps"]
    command += ["--only-binary", ":all:", "--no-compile-bytecode", "--link-mode", "copy"]
    subprocess.run(
        [*command, "--require-hashes", *TARGETS[target], "--requirements", "-"],
        cwd=ROOT,
        check=True,
        input=exported,
        text=True,
    )


def _normalize(folder: Path) -> None:
    """Take out what differs from machine to machine and what no function needs."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if path.name == "__pycache__":
                shutil.rmtree(path)
            else:
                path.chmod(0o755)
        elif path.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", ".lock"):
            path.unlink()
        else:
            path.chmod(0o644)


def _compile(folder: Path) -> None:
    """Spare each worker of the local platform from compiling what it imports.

    Unchecked, because unpacking an asset loses the times by which Python tells what is stale.
    """
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    # Paths as a function sees them, so that the bytes do not depend on where this checkout lies.
    subprocess.run([*command, "-s", str(folder), str(folder)], check=True)


def _wanted(path: Path) -> bool:
    return "__pycache__" not in path.parts and path.suffix != ".pyc"


def _uv() -> str:
    own = ROOT / ".uv" / "bin" / "uv"
    found = str(own) if own.is_file() else shutil.which("uv")
    if not found:
        sys.exit("uv is neither in .uv/bin nor on PATH: run `make setup`")
    return found


def main(targets: list[str]) -> None:
    """Build the named targets, or both."""
    for target in targets or list(TARGETS):
        if target not in TARGETS:
            sys.exit(f"no target {target!r}; allowed: {', '.join(TARGETS)}")
        made = build(target)
        print(f"functions: build/functions/{target} {'made' if made else 'is up to date'}")


if __name__ == "__main__":
    main(sys.argv[1:])
