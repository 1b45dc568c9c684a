"""S3's limits of keys and metadata, which ministack does not have."""

import functools
from typing import Any

# Both in bytes of UTF-8, as S3 counts them.
_KEY_BYTES = 1024
_METADATA_BYTES = 2048
_METADATA = "x-amz-meta-"


def install() -> None:
    """Refuse what S3 refuses, before an object is looked for or made."""
    from ministack.services import s3

    handle = s3.handle_request

    @functools.wraps(handle)
    async def handled(
        method: str, path: str, headers: dict[str, str], *given: Any, **named: Any
    ) -> Any:
        bucket, key = s3._parse_bucket_key(path, headers)
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
        return await handle(method, path, headers, *given, **named)

    s3.handle_request = handled
