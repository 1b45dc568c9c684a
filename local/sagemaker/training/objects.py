"""What a channel holds: the objects of a prefix or a manifest, in their order."""

import json
from dataclasses import dataclass
from pathlib import Path

from local.sagemaker import s3


@dataclass(frozen=True)
class Object:
    """An object in S3, and where it lies below the folder of its channel."""

    bucket: str
    key: str
    relative: str = ""

    @property
    def uri(self) -> str:
        """The object as an S3 URI."""
        return f"s3://{self.bucket}/{self.key}"


def of_prefix(uri: str, storage: s3.Storage) -> list[Object]:
    """Name the objects under a prefix by where they go: below the prefix, or below its folder.

    Raises:
        CallFailed: when they cannot be listed.
        ValueError: when there is none.
    """
    bucket, prefix = s3.parse(uri)
    found = []
    for key in storage.keys(bucket, prefix):
        # A key that ends in a slash is the marker that consoles leave for a folder.
        if not key.endswith("/"):
            inside = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
            start = len(inside) if key.startswith(inside) else prefix.rfind("/") + 1
            found.append(Object(bucket, key, key[start:]))
    if not found:
        raise ValueError(f"No S3 objects found under S3 URL {uri!r}.")
    return found


def of_manifest(uri: str, storage: s3.Storage, path: Path) -> list[Object]:
    """Read a manifest, `[{"prefix": "s3://BUCKET/"}, "KEY", ...]`, and name what it lists.

    The container finds the manifest itself under `path`.

    Raises:
        CallFailed: when it cannot be read.
        ValueError: when it is not of that form.
    """
    storage.download(*s3.parse(uri), path)
    try:
        manifest = json.loads(path.read_bytes())
        prefix, names = manifest[0]["prefix"], manifest[1:]
        well_formed = isinstance(prefix, str) and all(isinstance(name, str) for name in names)
    except (ValueError, LookupError, TypeError, RecursionError):
        well_formed = False
    if not well_formed or not names:
        raise ValueError(
            f"The manifest {uri} is not of the form "
            '[{"prefix": "s3://BUCKET/PREFIX/"}, "KEY", ...] with at least one key.'
        )
    return [Object(*s3.parse(prefix + name), name) for name in names]
