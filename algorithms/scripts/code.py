"""The code of a script: fetched, unpacked without trusting it, and its requirements checked."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path

from algorithms.toolkit import archives
from algorithms.toolkit.archives import ArchiveError

REQUIREMENTS = "requirements.txt"
# Where containers have what SageMaker gives them; a folder of this machine stands for it here.
CONTAINER_BASE = "/opt/ml"
_ARCHIVE = ".sourcedir.tar.gz"
_CHUNK = 1 << 20


class CodeError(Exception):
    """The code cannot be had, or not run; the message says why and what to do."""


def fetch(submitted: str, folder: Path, base: Path) -> None:
    """Put what `sagemaker_submit_directory` names into a folder.

    Args:
        submitted: an s3:// URI of a .tar.gz, or a path of the container; empty for none.
        folder: where the code is to be.
        base: what stands for /opt/ml.

    Raises:
        CodeError: It is not there, may not be read or must not be unpacked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not submitted:
        return
    if submitted.startswith("s3://"):
        archive = folder / _ARCHIVE
        try:
            _download(submitted, archive)
            _unpack(archive, folder, submitted)
        finally:
            archive.unlink(missing_ok=True)
        return
    path = inside(submitted, base)
    if path.is_dir():
        if path != folder:
            shutil.copytree(path, folder, dirs_exist_ok=True)
    elif path.is_file():
        _unpack(path, folder, submitted)
    else:
        raise CodeError(
            f"sagemaker_submit_directory is {submitted!r}, which is not there: name a "
            "sourcedir.tar.gz in S3, or a folder or archive that a channel or the model brings"
        )


def inside(path: str, base: Path) -> Path:
    """The place on this machine of a path of the container."""
    plain = path.removeprefix("file://")
    if plain == CONTAINER_BASE or plain.startswith(f"{CONTAINER_BASE}/"):
        return base / plain.removeprefix(CONTAINER_BASE).lstrip("/")
    return Path(plain)


def check_requirements(folder: Path) -> None:
    """Check that what requirements.txt asks for is installed: nothing is installed here.

    Raises:
        CodeError: Something is missing; the message names it, and what there is instead.
    """
    file = folder / REQUIREMENTS
    if not file.is_file():
        return
    missing = [
        problem
        for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        if (problem := _missing(line.partition(" #")[0].strip()))
    ]
    if missing:
        raise CodeError(
            f"{REQUIREMENTS} asks for {'; '.join(missing)}. The local platform installs nothing "
            "for a script: leave it out, or use an image of your own, which runs in Docker"
        )


def _missing(line: str) -> str:
    """What a line of requirements.txt asks for in vain; empty for nothing."""
    from packaging.requirements import InvalidRequirement, Requirement

    if not line or line.startswith("#"):
        return ""
    try:
        wanted = Requirement(line)
    except InvalidRequirement:
        return f"{line!r}, which names no package of an index"
    if wanted.marker is not None and not wanted.marker.evaluate():
        return ""
    names = [wanted.name]
    # The CPU build is the same library under another name.
    names += ["xgboost-cpu"] if wanted.name.lower() == "xgboost" else []
    for name in names:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if wanted.url or not wanted.specifier.contains(version, prereleases=True):
            return f"{wanted} ({version} is installed)"
        return ""
    return f"{wanted} (not installed)"


def _download(uri: str, target: Path) -> None:
    # Without credentials a call would go out and fail after many seconds of trying.
    if "AWS_ACCESS_KEY_ID" not in os.environ:
        raise CodeError(
            f"{uri} cannot be read: network isolation leaves a container no way to S3. Bring the "
            "code by a channel, or in the model's archive; the SageMaker Python SDK does so by "
            "itself with enable_network_isolation=True"
        )
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    try:
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        with target.open("wb") as file:
            while chunk := body.read(_CHUNK):
                file.write(chunk)
    except (BotoCoreError, ClientError) as error:
        raise CodeError(f"{uri} cannot be read: {error}") from error


def _unpack(archive: Path, folder: Path, named: str) -> None:
    try:
        archives.extract(archive, folder)
    except ArchiveError as error:
        raise CodeError(f"{named} cannot be unpacked: {error}") from error
