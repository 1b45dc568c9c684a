"""Make a minimal Debian image with Python, for machines without a registry to pull from.

`python scripts/base_image.py` as root imports it into Docker as sagemaker-platform/debian-python.
The archive stays in build/images, so that only the first run takes long.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
IMAGE = f"sagemaker-platform/debian-python:{SUITE}"
ARCHIVE = Path(__file__).resolve().parents[1] / "build" / "images" / f"{SUITE}-python.tar"
# Interpreter and standard library, without what installs packages.
PACKAGES = "python3-minimal,libpython3-stdlib,ca-certificates"
# What a container never reads, and folders that Docker mounts.
LEFT_OUT = (
    *("./dev/*", "./proc/*", "./sys/*", "./var/cache/apt", "./var/lib/apt/lists"),
    *("./usr/share/doc", "./usr/share/locale", "./usr/share/man", "./var/log/*"),
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main() -> int:
    """Import the image, made first when it is not there yet; the exit code is 1 without means."""
    if present():
        return 0
    problem = _missing()
    if problem:
        sys.stderr.write(f"base image: {problem}\n")
        return 1
    if not ARCHIVE.exists():
        _make()
    subprocess.run(
        ["docker", "import", "--change", f"ENV PATH={PATH}", str(ARCHIVE), IMAGE], check=True
    )
    return 0


def present() -> bool:
    """Whether Docker has the image already."""
    if not shutil.which("docker"):
        return False
    found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    return found.returncode == 0


def _missing() -> str:
    if not shutil.which("docker"):
        return "there is no docker command. Install it: apt-get install docker.io"
    if ARCHIVE.exists():
        return ""
    if not shutil.which("debootstrap"):
        return "there is no debootstrap. Install it: apt-get install debootstrap"
    if os.geteuid() != 0:
        return "debootstrap must be root: run this with sudo"
    return ""


def _make() -> None:
    """Write the archive, complete or not at all."""
    ARCHIVE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ARCHIVE.parent) as folder:
        root, draft = Path(folder) / "root", Path(folder) / "draft.tar"
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root, MIRROR],
            check=True,
        )
        excluded = [f"--exclude={pattern}" for pattern in LEFT_OUT]
        subprocess.run(["tar", "-C", root, *excluded, "-cf", draft, "."], check=True)
        draft.rename(ARCHIVE)


if __name__ == "__main__":
    sys.exit(main())
