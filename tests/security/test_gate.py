"""The gate: what it refuses, nothing behind it ever sees."""

import asyncio
import html
from typing import Any

import pytest

from local.emulator import payloads
from local.emulator.gate import gate
from local.emulator.hosts import Hosts
from local.emulator.payloads import Waiting
from local.emulator.refusals import Failure, Refused
from local.emulator.routes import Way, way_of

HOST = (b"host", b"127.0.0.1:4566")


def served(scope: dict[str, Any], *messages: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """What got through, and what was answered."""
    through: list[Any] = []
    sent: list[Any] = []
    waiting = [*messages]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        through.append(scope)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(gate(application, Hosts(4566), application)(scope, receive, send))
    return through, sent


def request(path: str, *headers: tuple[bytes, bytes], method: str = "GET") -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*headers],
    }


@pytest.mark.holds("No WebSocket is opened.")
def test_no_websocket_gets_through() -> None:
    scope = {"type": "websocket", "path": "/", "headers": [HOST]}
    through, sent = served(scope, {"type": "websocket.connect"})
    assert through == []
    assert sent == [{"type": "websocket.close", "code": 1008}]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no Host": (request("/_smp/ready"), "A request names one Host."),
    "two Hosts": (request("/_smp/ready", HOST, HOST), "The header 'host' is sent 2 times."),
    "another Host": (
        request("/_smp/ready", (b"host", b"evil.example")),
        "The Host 'evil.example' is not served.",
    ),
    "another Origin": (
        request("/_smp/ready", HOST, (b"origin", b"https://evil.example")),
        "web pages of another origin",
    ),
    "another site": (
        request("/_smp/ready", HOST, (b"sec-fetch-site", b"cross-site")),
        "web pages of another origin",
    ),
    "a preflight": (request("/_smp/ready", HOST, method="OPTIONS"), "OPTIONS is refused"),
    "another method": (request("/_smp/ready", HOST, method="POST"), "missing Authentication Token"),
    "an absolute target": (
        request("http://evil.example/_smp/ready", HOST),
        "The request's target is no path.",
    ),
    "ministack's own path": (
        request("/_ministack/reset", HOST, method="POST"),
        "The platform does not serve this path.",
    ),
    "a control": (request("/_smp/faults", HOST, method="POST"), "missing Authentication Token"),
    "an object": (request("/bucket/key", HOST), "missing Authentication Token"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_does_not_get_through(what: str) -> None:
    scope, why = REFUSED[what]
    through, sent = served(scope)
    assert through == []
    assert 400 <= sent[0]["status"] <= 403
    # By the check that is meant, and not by a later one that happens to refuse it as well.
    assert why in html.unescape(sent[1]["body"].decode())


def test_what_is_open_gets_through() -> None:
    through, _ = served(request("/_smp/ready", HOST), {"type": "http.request", "body": b""})
    assert [scope["path"] for scope in through] == ["/_smp/ready"]


@pytest.mark.parametrize("name", ["/_ministack/reset", "/v2/x", "/_smp/ready", "/_alb/x"])
def test_a_bucket_in_the_host_makes_every_path_an_objects(name: str) -> None:
    assert way_of("GET", name, "bucket") is Way.AWS
    assert way_of("GET", name, "") is not Way.AWS
    assert way_of("POST", "/_ministack/rds/iam-auth", "bucket") is Way.CLOSED


def test_relays_of_containers_are_hosts_while_they_are_open() -> None:
    opened = {"172.18.0.1:40000"}
    hosts = Hosts(4566, lambda: opened)
    assert hosts.bucket({"host": ["172.18.0.1:40000"]}) == ""
    opened.clear()
    with pytest.raises(Refused, match="not served"):
        hosts.bucket({"host": ["172.18.0.1:40000"]})


@pytest.mark.holds("Bodies that wait for their signature are bounded all together.")
def test_bodies_that_wait_are_bounded_together() -> None:
    waiting = Waiting(most=100)

    async def both() -> list[Any]:
        first_is_in = asyncio.Event()

        def body(size: int, begun: asyncio.Event | None = None) -> payloads.Receive:
            parts = [b"x" * size, b""]

            async def receive() -> dict[str, Any]:
                if len(parts) == 1 and begun:
                    await asyncio.sleep(0)
                    await second_ended.wait()
                if begun and len(parts) == 2:
                    begun.set()
                part = parts.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(parts)}

            return receive

        second_ended = asyncio.Event()

        async def second() -> bytes:
            await first_is_in.wait()
            try:
                return await waiting.whole(body(60), "sts")
            finally:
                second_ended.set()

        first = waiting.whole(body(60, first_is_in), "sts")
        return [*await asyncio.gather(first, second(), return_exceptions=True)]

    first, refused = asyncio.run(both())
    assert first == b"x" * 60
    assert isinstance(refused, Refused)
    assert refused.failure is Failure.BUSY
    # What is decided waits no longer.
    assert waiting._held == 0
