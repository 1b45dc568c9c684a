"""What is kept beside a job's model: its request, its metrics and a sample of what it answers."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

JSON = "application/json"


def write(
    s3: "S3Client", bucket: str, job: str, name: str, body: bytes, content_type: str = JSON
) -> str:
    """Put one object below the job's prefix; returns its URI. Writing it again changes nothing."""
    key = f"jobs/{job}/{name}"
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)
    return f"s3://{bucket}/{key}"


def keep_source(s3: "S3Client", bucket: str, job: str, source: str) -> str:
    """Copy the archive of a job's code below the job's prefix; returns its URI.

    What lies in the data bucket may be replaced or expire; what a model was made from must not.
    """
    origin, _, key = source.removeprefix("s3://").partition("/")
    target = f"jobs/{job}/source/sourcedir.tar.gz"
    s3.copy_object(Bucket=bucket, Key=target, CopySource={"Bucket": origin, "Key": key})
    return f"s3://{bucket}/{target}"


def text(document: Mapping[str, Any]) -> bytes:
    """A document as people read it, always in the same order."""
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def archive(name: str, body: bytes) -> bytes:
    """A tar.gz with one file, the same bytes for the same content."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        member = tarfile.TarInfo(name)
        member.size = len(body)
        tar.addfile(member, io.BytesIO(body))
    return packed.getvalue()
