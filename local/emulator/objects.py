"""Contents of objects lie in files of the state, once, and are read when they are asked for."""

import functools
from typing import Any

from local.emulator.state_keeper import Keeper
from local.emulator.state_stores import CONTENT


def install(keeper: Keeper) -> None:
    """Read contents from the files that records name, and let versions share them."""
    from ministack.services import s3

    body_of = s3._read_body
    version_body_of = s3._version_body
    from_version = s3._object_record_from_version
    from_record = s3._version_entry_from_record

    @functools.wraps(body_of)
    def read_body(bucket: str, key: str, record: dict[str, Any]) -> Any:
        name = record.get(CONTENT)
        if name and record.get("body") is None:
            return keeper.content(name)
        return body_of(bucket, key, record)

    @functools.wraps(version_body_of)
    def version_body(bucket: Any, name: str, key: str, version: dict[str, Any]) -> Any:
        file = version.get(CONTENT)
        if file and version.get("data") is None:
            return keeper.content(file)
        return version_body_of(bucket, name, key, version)

    @functools.wraps(from_version)
    def record_from_version(version: dict[str, Any]) -> dict[str, Any]:
        return _named(from_version(version), version)

    @functools.wraps(from_record)
    def version_from_record(record: dict[str, Any], version: str, data: Any) -> dict[str, Any]:
        if CONTENT in record:
            return _named(from_record(record, version, None), record)
        made: dict[str, Any] = from_record(record, version, data)
        return made

    s3._read_body = read_body
    s3._version_body = version_body
    s3._object_record_from_version = record_from_version
    s3._version_entry_from_record = version_from_record


def _named(made: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    if CONTENT in source:
        made[CONTENT] = source[CONTENT]
    return made
