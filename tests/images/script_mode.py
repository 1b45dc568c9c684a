"""An image with the training toolkit of PyPI, in which a user's script runs."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import base_image
from tests import images

TOOLKIT = "sagemaker-training==5.1.4"
# The interpreter of the image's Debian, which the packages must be made for.
PYTHON = (3, 11)
IMAGE = f"sagemaker-platform/test-script-mode:{TOOLKIT.rpartition('=')[2]}"
_ROOT = Path(__file__).resolve().parents[2]
_CONTEXT = _ROOT / "build" / "images" / "script-mode"
_DOCKERFILE = f"""\
FROM {base_image.IMAGE}
COPY packages /packages
ENV PYTHONPATH=/packages PATH=/packages/bin:/usr/local/bin:/usr/bin:/bin
ENTRYPOINT ["python3", "/packages/bin/train"]
"""


@functools.cache
def built() -> str:
    """Build the image, once; this machine's uv brings its packages, Docker needs no network."""
    images.need()
    try:
        images.docker("image", "inspect", IMAGE)
    except AssertionError:
        _build()
    return IMAGE


def _build() -> None:
    if sys.version_info[:2] != PYTHON:
        pytest.skip(f"The image has Python {PYTHON}, and only the same builds packages for it.")
    uv = shutil.which("uv") or str(_ROOT / ".uv" / "bin" / "uv")
    shutil.rmtree(_CONTEXT, ignore_errors=True)
    _CONTEXT.mkdir(parents=True)
    target = ["--target", str(_CONTEXT / "packages"), "--python", sys.executable]
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--no-compile-bytecode", *target, TOOLKIT],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"The training toolkit cannot be had from PyPI: {done.stderr[-300:]}")
    images.build(IMAGE, _DOCKERFILE, _CONTEXT)
    shutil.rmtree(_CONTEXT)
