"""Images that the tests build, on the base that scripts/base_image.py makes."""

import functools
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from local.containers.engine import LABEL, Engine, address
from scripts import base_image

PROGRAM = Path(__file__).with_name("program.py")


@functools.cache
def missing() -> str:
    """Why no container test can run here; empty when all can."""
    engine = Engine(address(), Path("/nowhere"))
    try:
        if reason := engine.refusal():
            return reason
    finally:
        engine.close()
    if not base_image.present():
        return "Docker has no base image: run .venv/bin/python scripts/base_image.py as root."
    return ""


def need() -> None:
    if reason := missing():
        pytest.skip(reason)


def docker(*arguments: str | Path, stdin: str | None = None) -> str:
    done = subprocess.run(
        ["docker", *map(str, arguments)], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def containers(state: Path, folder: str) -> list[str]:
    """The containers of a platform into which something of a folder is mounted; ended ones, too.

    By the folder of a job or an endpoint they are told from those of other tests.
    """
    options = ["--all", "--no-trunc", "--filter", f"label={LABEL}={state}"]
    lines = docker("ps", *options, "--format", "{{.ID}} {{.Mounts}}").splitlines()
    return [line.split()[0] for line in lines if f"/{folder}/" in line]


@functools.cache
def program() -> str:
    """The image that trains and serves as its hyperparameters and variables say."""
    need()
    tag = f"sagemaker-platform/test-program:{hashlib.sha256(PROGRAM.read_bytes()).hexdigest()[:12]}"
    return build(
        tag,
        f"FROM {base_image.IMAGE}\n"
        "COPY program.py /program.py\n"
        'ENTRYPOINT ["python3", "-u", "/program.py"]\n',
        PROGRAM.parent,
    )


def build(tag: str, dockerfile: str, context: Path) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".Dockerfile") as file:
        file.write(dockerfile)
        file.flush()
        docker("build", "--quiet", "--tag", tag, "--file", file.name, context)
    return tag


def foreign() -> str:
    """An image for a kind of machine that this one is not, with nothing in it."""
    need()
    tag = "sagemaker-platform/test-foreign:1"
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w"):
        pass
    digest = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    config = {
        "architecture": "s390x",
        "os": "linux",
        "config": {"Entrypoint": ["/program"]},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        with tarfile.open(file.name, "w") as tar:
            for name, content in (
                ("config.json", json.dumps(config).encode()),
                ("manifest.json", json.dumps(manifest).encode()),
                ("layer.tar", layer.getvalue()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        docker("load", "--input", file.name)
    return tag
