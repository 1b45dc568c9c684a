"""Building the images in Docker."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from local.containers.engine import address
from local.images import contents
from local.images.contents import Base
from local.platform.errors import PlatformError

REPOSITORY = "sagemaker-platform"
# The version of the containers' contract, by which jobs name the images of this platform.
TAG = "1"
BASE = "public.ecr.aws/docker/library/python:3.12-slim-bookworm"
_SECONDS = 3600
_OLDEST, _NEWEST = (3, 11), (3, 13)
_PROBE = (
    "import json, platform; print(json.dumps([platform.python_version(), platform.machine(), "
    "*platform.libc_ver()]))"
)


def client() -> Any:  # noqa: ANN401 (the library has no types)
    """Docker of this machine.

    Raises:
        PlatformError: There is none, or this user may not use it.
    """
    import docker

    try:
        found = docker.DockerClient(base_url=address(), timeout=_SECONDS)
        found.ping()
    except Exception as error:
        raise PlatformError(
            "reach Docker",
            f"There is no Docker at {address()} that this user may use ({error}).",
            "Install Docker Engine and start it (Debian, Ubuntu: apt-get install docker.io).",
        ) from error
    return found


def local_name(name: str, tag: str = TAG) -> str:
    """How Docker of this machine calls the image of an algorithm."""
    return f"{REPOSITORY}/{name}:{tag}"


def base(docker: Any, image: str) -> Base:  # noqa: ANN401
    """What an image has that packages must fit; it is pulled when it is not here yet.

    Raises:
        PlatformError: It cannot be had, or has no Python that the algorithms run on.
    """
    step, remedy = "look into the base image", "Choose another with --base."
    try:
        told = docker.containers.run(image, ["-c", _PROBE], entrypoint="python3", remove=True)
        python, machine, library, version = json.loads(told)
    except Exception as error:
        raise PlatformError(step, f"{image}: {error}", remedy) from error
    if not _OLDEST <= tuple(map(int, python.split(".")[:2])) <= _NEWEST:
        raise PlatformError(
            step, f"{image} has Python {python}; 3.11, 3.12 or 3.13 is needed.", remedy
        )
    if library != "glibc":
        raise PlatformError(step, f"{image} has no glibc, which packages are made for.", remedy)
    return Base(image, ".".join(python.split(".")[:2]), contents.platform(machine, version))


def build(
    docker: Any,  # noqa: ANN401
    what: str,
    names: list[str],
    found: Base,
    *,
    tag: str = TAG,
    torch_index: str | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Build one image for all of these algorithms of a kind, and from it one for each."""
    context = contents.prepared(what, found, torch_index)
    common = f"{REPOSITORY}/algorithms-{what}:{tag}"
    _build(
        docker,
        told,
        path=str(context),
        dockerfile=str(contents.DOCKERFILE),
        target=what,
        buildargs={"BASE": found.image},
        tag=common,
    )
    made = []
    for name in names:
        lines = (
            f"FROM {common}\nENV ALGORITHM_NAME={name}\nLABEL sagemaker-platform.algorithm={name}"
        )
        image = local_name(name, tag)
        _build(docker, told, fileobj=io.BytesIO(lines.encode()), tag=image)
        made.append(image)
    return made


def _build(docker: Any, told: Callable[[str], None], **arguments: Any) -> None:  # noqa: ANN401
    last: list[str] = []
    for line in docker.api.build(decode=True, rm=True, forcerm=True, **arguments):
        if "error" in line:
            raise PlatformError(
                f"build {arguments['tag']}", f"{line['error']}\n{''.join(last[-10:])}", ""
            )
        if text := line.get("stream"):
            last.append(text)
            if text.startswith("Step "):
                told(text.strip())
