"""Brings the channels of a training job from S3 into its folder, in File mode."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local.sagemaker import s3
from local.sagemaker.roles import CallFailed

_AT_ONCE = 16


class InputError(Exception):
    """The data of a channel cannot be had; the message says which and why."""


def download(channels: Sequence[Mapping[str, Any]], storage: s3.Storage, data: Path) -> None:
    """Fetch every object of every channel.

    Raises:
        InputError: when one cannot be read or cannot become a file.
    """
    wanted: dict[Path, tuple[str, str]] = {}
    for channel in channels:
        folder = data / channel["ChannelName"]
        folder.mkdir(parents=True)
        source = channel["DataSource"]["S3DataSource"]
        try:
            if source["S3DataType"] == "ManifestFile":
                manifest = data / f"{channel['ChannelName']}-manifest"
                found = _of_manifest(source["S3Uri"], storage, manifest)
            else:
                found = _of_prefix(source["S3Uri"], storage)
            for relative, (bucket, key) in found.items():
                wanted[s3.local_path(folder, relative)] = bucket, key
        except (CallFailed, ValueError) as error:
            raise InputError(f"Channel {channel['ChannelName']}: {error}") from error
    folders = {folder for path in wanted for folder in path.parents}
    for path, (bucket, key) in wanted.items():
        if path in folders:
            raise InputError(
                f"Cannot download s3://{bucket}/{key}, a previously downloaded file/folder "
                "clashes with it."
            )

    def fetch(item: tuple[Path, tuple[str, str]]) -> None:
        path, (bucket, key) = item
        storage.download(bucket, key, path)

    try:
        if len(wanted) == 1:
            fetch(next(iter(wanted.items())))
        else:
            with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
                for _ in pool.map(fetch, wanted.items()):
                    pass
    except CallFailed as error:
        raise InputError(str(error)) from error


def _of_prefix(uri: str, storage: s3.Storage) -> dict[str, tuple[str, str]]:
    """Name the objects under a prefix by where they go: below the prefix, or below its folder."""
    bucket, prefix = s3.parse(uri)
    found = {}
    for key in storage.keys(bucket, prefix):
        # A key that ends in a slash is the marker that consoles leave for a folder.
        if not key.endswith("/"):
            inside = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
            start = len(inside) if key.startswith(inside) else prefix.rfind("/") + 1
            found[key[start:]] = bucket, key
    if not found:
        raise ValueError(f"No S3 objects found under S3 URL {uri!r}.")
    return found


def _of_manifest(uri: str, storage: s3.Storage, path: Path) -> dict[str, tuple[str, str]]:
    """Read a manifest, `[{"prefix": "s3://BUCKET/"}, "KEY", ...]`, and name what it lists."""
    storage.download(*s3.parse(uri), path)
    try:
        manifest = json.loads(path.read_bytes())
        prefix, names = manifest[0]["prefix"], manifest[1:]
        well_formed = isinstance(prefix, str) and all(isinstance(name, str) for name in names)
    except (ValueError, LookupError, TypeError):
        well_formed = False
    if not well_formed or not names:
        raise ValueError(
            f"The manifest {uri} is not of the form "
            '[{"prefix": "s3://BUCKET/PREFIX/"}, "KEY", ...] with at least one key.'
        )
    found = {}
    for name in names:
        found[name] = s3.parse(prefix + name)
    return found
