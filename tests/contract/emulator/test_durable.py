"""A call that fails inside of the platform is answered in its own protocol, and says why."""

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from botocore.parsers import create_parser

from local.emulator.durable import durable
from local.emulator.state_file import NotWritten
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
    reference = re.search(r"\(reference ([0-9a-f-]{36})\)", error["Message"])
    assert reference
    assert "RuntimeError" not in error["Message"]
    assert "the table" not in error["Message"]
    assert caplog.records[0].exc_info
    assert caplog.records[0].message == f"POST /called (reference {reference[1]})"


class Full:
    """A keeper whose disk takes no more."""

    async def settle(self) -> None:
        raise NotWritten("database or disk is full")


async def answers(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def status_on_a_full_disk(
    method: str, path: str, headers: dict[str, str], body: bytes = b"", query: bytes = b""
) -> int:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    full: Any = Full()
    asyncio.run(durable(answers, full)(scope, receive, send))
    if sent[0]["status"] != 200:
        assert b"Free some space" in sent[1]["body"]
    return int(sent[0]["status"])


@pytest.mark.holds("A full disk refuses what changes something, and reads go on.")
def test_reads_are_answered_on_a_full_disk() -> None:
    target = "x-amz-target"
    invocation = "/endpoints/digits/invocations"
    for status, *asked in (
        (200, "POST", "/", {target: "SageMaker.ListTrainingJobs"}, b"{}"),
        (200, "POST", "/", {target: "DynamoDB_20120810.Query"}, b"{}"),
        (200, "POST", "/", FORM, b"Action=DescribeStacks&Version=1"),
        (200, "POST", "/", FORM, b"Version=1&Action=GetCallerIdentity"),
        (200, "GET", "/", {}, b"", b"Action=ListUsers"),
        (200, "GET", "/bucket/key", S3),
        (200, "HEAD", "/bucket/key", S3),
        (200, "POST", invocation, {"content-type": "text/csv"}, b"1"),
        (200, "POST", "/service/x/operation/ListMetrics", {"smithy-protocol": "rpc-v2-cbor"}),
        (500, "POST", "/", {target: "SageMaker.CreateTrainingJob"}, b"{}"),
        (500, "POST", "/", {target: "X.GetFederationToken"}, b"{}"),
        (500, "POST", "/", FORM, b"Action=CreateStack&Name=a&Action=DescribeStacks"),
        (500, "POST", "/", FORM, b"Name=DescribeStacks"),
        (500, "GET", "/", {}, b"", b"Action=CreateUser"),
        (500, "PUT", "/bucket/key", S3),
        (500, "DELETE", "/bucket/key", S3),
        (500, "POST", "/service/x/operation/PutMetricData", {"smithy-protocol": "rpc-v2-cbor"}),
    ):
        assert status_on_a_full_disk(*asked) == status, asked
