"""A call that fails inside of the platform is answered in its own protocol, and says why."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from botocore.parsers import create_parser

from local.emulator.durable import durable
from local.emulator.state_keeper import Keeper

S3 = {"authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"}
FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
JSON = {"content-type": "application/x-amz-json-1.1"}


async def fails(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("the table <a> is gone")


def answered(keeper: Keeper, headers: dict[str, str]) -> dict[str, Any]:
    """What a client makes of the answer to a call with these headers."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/called",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(durable(fails, keeper)(scope, None, send))
    start, body = sent
    return {
        "status_code": start["status"],
        "headers": {name.decode(): value.decode() for name, value in start["headers"]},
        "body": body["body"],
    }


@pytest.mark.parametrize(
    ("protocol", "headers", "code"),
    [
        ("rest-xml", S3, "InternalError"),
        ("query", FORM, "InternalFailure"),
        ("json", JSON, "InternalFailure"),
    ],
)
def test_a_call_that_fails_inside_says_so_to_its_client(
    protocol: str,
    headers: dict[str, str],
    code: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "smp"):
        found = answered(Keeper(tmp_path), headers)
    parser: Any = create_parser(protocol)
    error = parser.parse(found, None)["Error"]
    assert (found["status_code"], error["Code"]) == (500, code)
    assert "RuntimeError: the table <a> is gone" in error["Message"]
    assert caplog.records[0].exc_info and caplog.records[0].message == "POST /called"
