"""Of S3: limits of keys and metadata, owners that a request expects, and ACLs that it ignores."""

import functools
from typing import Any

# Both in bytes of UTF-8, as S3 counts them.
_KEY_BYTES = 1024
_METADATA_BYTES = 2048
_METADATA = "x-amz-meta-"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
_OWNER = "x-amz-expected-bucket-owner"
_SOURCE_OWNER = "x-amz-source-expected-bucket-owner"
_SOURCE = "x-amz-copy-source"
_ACL = "x-amz-acl"
# "If you specify this canned ACL when creating a bucket, Amazon S3 ignores it."
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl
_IGNORED_BY_BUCKETS = ("bucket-owner-read", "bucket-owner-full-control")


def install() -> None:
    """Refuse what S3 refuses, before an object is looked for or made."""
    from ministack.services import s3

    handle = s3.handle_request

    @functools.wraps(handle)
    async def handled(
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, Any],
        *given: Any,
        **named: Any,
    ) -> Any:
        bucket, key = s3._parse_bucket_key(path, headers)
        source = headers.get(_SOURCE, "").lstrip("/").partition("/")[0]
        for expected, name in ((_OWNER, bucket), (_SOURCE_OWNER, source)):
            refused = _refusal(_said(headers, query, expected), s3._bucket_owner_account(name))
            if refused is not None:
                return s3._error(*refused, f"/{name}")
        size = len(key.encode("utf-8", "surrogatepass"))
        if size > _KEY_BYTES:
            return s3._error("KeyTooLongError", "Your key is too long", 400, f"/{bucket}")
        metadata = sum(
            len(name.removeprefix(_METADATA).encode()) + len(value.encode())
            for name, value in headers.items()
            if name.startswith(_METADATA)
        )
        if method in ("PUT", "POST") and metadata > _METADATA_BYTES:
            text = "Your metadata headers exceed the maximum allowed metadata size"
            return s3._error("MetadataTooLarge", text, 400, path)
        creates = method == "PUT" and bucket and not key and query.keys() <= {"x-id"}
        if creates and headers.get(_ACL) in _IGNORED_BY_BUCKETS:
            headers = {name: value for name, value in headers.items() if name != _ACL}
        return await handle(method, path, headers, body, query, *given, **named)

    s3.handle_request = handled


def _said(headers: dict[str, str], query: dict[str, Any], name: str) -> str:
    """A header, which a presigned link has in its query."""
    hoisted = next((value for key, value in query.items() if key.lower() == name), "")
    return headers.get(name) or (hoisted[0] if isinstance(hoisted, list) else hoisted)


def _refusal(expected: str, owner: str | None) -> tuple[str, str, int] | None:
    if not expected:
        return None
    if not (len(expected) == 12 and expected.isdecimal()):
        text = "The value of the expected bucket owner parameter must be an AWS account ID."
        return "InvalidBucketOwnerAWSAccountID", text, 400
    return ("AccessDenied", "Access Denied", 403) if owner not in (None, expected) else None
