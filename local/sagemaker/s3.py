"""S3 in the name of an execution role."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from local.sagemaker.roles import CALL_ERRORS, Role
from local.sagemaker.s3_uris import parse

__all__ = ["Body", "Storage", "arn", "local_path", "parse"]

_MULTIPART = 64 * 1024 * 1024
_CHUNK = 1 << 20
# Of the file systems of hosts, here as on AWS.
_NAME_BYTES = 255


def arn(bucket: str, key: str = "") -> str:
    """Give the ARN of a bucket or an object."""
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


def local_path(folder: Path, relative: str) -> Path:
    """Find the place of an object below a folder.

    Raises:
        ValueError: when its key would leave the folder or name no file.
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in relative:
        raise ValueError(
            f"The key {relative!r} cannot become a file: its parts must not be empty, '.' or '..'."
        )
    longest = max(len(os.fsencode(part)) for part in parts)
    if longest > _NAME_BYTES:
        raise ValueError(
            f"File name too long: a part of the key has {longest} bytes, and a file's name has "
            f"at most {_NAME_BYTES}: {relative!r}."
        )
    return folder.joinpath(PurePosixPath(relative))


class Storage:
    """Lists, reads and writes objects as a role."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._keys_allowed: set[tuple[str, str]] = set()

    def keys(self, bucket: str, prefix: str, limit: int = 0) -> Iterator[str]:
        """List the keys below a prefix, in S3's order.

        Raises:
            CallFailed: when the bucket cannot be listed.
        """
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        if limit:
            asked["MaxKeys"] = limit
        client = self._role.client("s3")
        while True:
            try:
                answer = client.list_objects_v2(**asked)
            except CALL_ERRORS as error:
                raise self._role.failure(error, "s3:ListBucket", arn(bucket)) from error
            for found in answer.get("Contents", []):
                yield found["Key"]
            if limit or not answer.get("IsTruncated"):
                return
            asked["ContinuationToken"] = answer["NextContinuationToken"]

    @contextmanager
    def read(self, bucket: str, key: str) -> Iterator["Body"]:
        """Open an object; its content comes as it is iterated over.

        Raises:
            CallFailed: when it cannot be read, or its key cannot be used to decrypt it; also while
                its content comes.
        """
        try:
            answer = self._role.client("s3").get_object(Bucket=bucket, Key=key)
        except CALL_ERRORS as error:
            raise self._role.failure(error, "s3:GetObject", arn(bucket, key)) from error
        # A body that is not read to its end keeps its connection until it is closed.
        with closing(answer["Body"]) as stream:
            self._use_key("kms:Decrypt", answer)
            yield Body(self._role, arn(bucket, key), answer["ContentLength"], stream)

    def download(self, bucket: str, key: str, path: Path) -> None:
        """Fetch an object into a file.

        Raises:
            CallFailed: when it cannot be read, or its key cannot be used to decrypt it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.read(bucket, key) as body, path.open("wb") as file:
            for chunk in body:
                file.write(chunk)

    def upload(self, path: Path, bucket: str, key: str, kms_key: str = "") -> None:
        """Store a file as an object, encrypted with the key if one is named.

        Raises:
            CallFailed: when it cannot be written, or the key cannot be used to encrypt it.
        """
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        if kms_key:
            self._use_key("kms:GenerateDataKey", encryption)
        client = self._role.client("s3")
        try:
            if path.stat().st_size > _MULTIPART:
                client.upload_file(str(path), bucket, key, ExtraArgs=encryption)
                return
            with path.open("rb") as file:
                answer = client.put_object(Bucket=bucket, Key=key, Body=file, **encryption)
        except Exception as error:
            if not isinstance(error, CALL_ERRORS) and type(error).__module__.split(".")[0] not in (
                "boto3",
                "s3transfer",
            ):
                raise
            raise self._role.failure(error, "s3:PutObject", arn(bucket, key)) from error
        self._use_key("kms:GenerateDataKey", answer)

    def _use_key(self, action: str, encryption: dict[str, Any]) -> None:
        """Evaluate the key that S3 uses for an object; the bucket's default may have chosen it."""
        key = encryption.get("SSEKMSKeyId")
        if encryption.get("ServerSideEncryption") != "aws:kms" or not key:
            return
        if (action, key) not in self._keys_allowed and not key.endswith("alias/aws/s3"):
            self._role.use_key(action, key, "s3")
            self._keys_allowed.add((action, key))


class Body:
    """The content of an object while it comes."""

    def __init__(self, role: Role, name: str, length: int, stream: Any) -> None:  # noqa: ANN401 (botocore's)
        self._role = role
        self._name = name
        self._stream = stream
        self.length = length

    def __iter__(self) -> Iterator[bytes]:
        while True:
            try:
                chunk = self._stream.read(_CHUNK)
            except CALL_ERRORS as error:
                raise self._role.failure(error, "s3:GetObject", self._name) from error
            if not chunk:
                return
            yield chunk
