"""Connections to the server."""

import asyncio
import contextlib
import errno
import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.emulator import connections
from local.handover import listen
from tests.platform import free_port

# A server of connections alone: all of the platform's own would take seconds to start.
SERVER = """
import asyncio, resource, sys
from hypercorn.asyncio import serve
from local.emulator import connections
from local.handover import listen

port, files, head, body = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
connections.HEAD_SECONDS, connections.BODY_SECONDS = head, body

async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * max(head, body))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["http_version"].encode()})

listener = connections.counted(listen("127.0.0.1", port))
config = connections.ListeningConfig(listener)
# Longer than any test: what is closed here is closed by the bounds under test.
config.keep_alive_timeout = 600
asyncio.run(serve(connections.bounded(application), config))
"""


HALF_A_REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\nx"


class Server:
    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def asked(self, path: str = "/", **headers: str) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(client):
            client.request("GET", path, headers=headers)
            answer = client.getresponse()
            return answer.status, answer.read()


@contextlib.contextmanager
def serving(
    folder: Path, files: int = 1024, head: float = 30, body: float = 60
) -> Iterator[Server]:
    log, port = folder / "log", free_port()
    given = [str(one) for one in (port, files, head, body)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *given], stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(port, log)
    try:
        while True:
            with contextlib.suppress(OSError), server.connected():
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.mark.holds("More connections than there are files for leave the server answering.")
def test_more_connections_than_files_are_served_in_turn(tmp_path: Path) -> None:
    with serving(tmp_path, files=64) as server:
        idle = [server.connected() for _ in range(200)]
        assert server.asked()[0] == 200
        # The longest idle went for others.
        assert idle[0].recv(1) == b""
        for one in idle:
            one.close()
        assert server.asked()[0] == 200
        log = server.log.read_text()
    assert "Traceback" not in log
    assert log.count("\n") < 5


@pytest.mark.holds("Where all connections are busy, one more is told so at once.")
def test_one_connection_too_many_is_refused_while_all_are_busy(tmp_path: Path) -> None:
    with serving(tmp_path, files=64) as server:
        busy = [server.connected() for _ in range(64 // 4)]
        for one in busy:
            one.sendall(HALF_A_REQUEST)
            # Its head has been read, and its body is to come.
            assert b" 100 " in one.recv(100)
        with server.connected() as one:
            assert b"Too many connections" in one.recv(1000)
        busy[0].sendall(b"12345678")
        assert b" 200 " in busy[0].recv(100)
        for one in busy:
            one.close()
        assert server.asked()[0] == 200


@pytest.mark.holds("A request's head and body are waited for, but not for ever.")
@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nhost: a\r\nx-a: ",
        b"P",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\nx",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    ],
    ids=["head", "first byte", "body", "chunk"],
)
def test_a_client_that_sends_no_more_is_closed(tmp_path: Path, sent: bytes) -> None:
    with serving(tmp_path, head=0.3, body=0.3) as server, server.connected() as client:
        client.sendall(sent)
        assert client.recv(1) == b""


def test_a_client_that_drips_is_closed(tmp_path: Path) -> None:
    for sent in (
        b"POST / HTTP/1.1\r\nhost: a\r\nx-a: ",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n",
    ):
        with serving(tmp_path, head=0.5, body=0.5) as server, server.connected() as client:
            client.sendall(sent)
            with pytest.raises(ConnectionError):
                while True:
                    client.sendall(b"x")
                    time.sleep(0.05)


def test_an_answer_that_takes_longer_than_that_is_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path, head=0.3, body=0.3) as server:
        assert server.asked("/slow") == (200, b"1.1")


def test_an_offer_of_http_2_is_not_taken(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        upgrade = {"Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": ""}
        assert server.asked("/", Upgrade="h2c", **upgrade) == (200, b"1.1")
        with server.connected() as client:
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            assert not client.recv(100).startswith(bytes(3))


@pytest.mark.holds("A head of too many lines, or too long, is refused.")
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {f"x-{i}": "v" for i in range(50)}, 200),
        ("/?a=%C3%A4", {}, 200),
        ("/", {f"x-{i}": "v" for i in range(101)}, 431),
        ("/", {"x": "v" * 17_000}, 431),
        ("/?" + "v" * 17_000, {}, 431),
        ("/?a=%FF", {}, 400),
    ],
    ids=["some lines", "a query", "too many lines", "a long line", "a long query", "no text"],
)
def test_a_head_beyond_the_bounds_is_refused(
    path: str, headers: dict[str, str], status: int
) -> None:
    raw, _, query = path.partition("?")
    scope = {
        "type": "http",
        "path": raw,
        "raw_path": raw.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Any] = []

    async def application(*_: Any) -> None:
        sent.append({"status": 200})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(connections.bounded(application)(scope, None, send))
    assert sent[0]["status"] == status
    if status != 200:
        assert json.loads(sent[1]["body"])["message"]


def test_no_file_for_a_connection_is_no_error_of_accepting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listener = connections.Listener(listen("127.0.0.1", 0), connections.Connections(10))
    with listener, contextlib.ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(socket.create_connection(listener.getsockname()))

        def full(_: socket.socket) -> Any:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "accept", full)
            for _ in range(5):
                with pytest.raises(BlockingIOError):
                    listener.accept()
        assert caplog.text.count("No file is left for a connection") == 1
        found, _ = listener.accept()
        found.close()
        assert client.fileno() >= 0


@pytest.mark.holds("The server may open as many files as its hard limit allows, within a bound.")
def test_the_limit_of_open_files_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    for found, allowed in (
        ((1024, 4096), 4096),
        ((1024, 1 << 20), 65_536),
        ((1024, resource.RLIM_INFINITY), 65_536),
        ((100, 100), 100),
        ((1 << 20, 1 << 20), 1 << 20),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, found=found: found)
        assert connections.raise_open_files() == allowed
    assert asked == [(4096, 4096), (65_536, 1 << 20), (65_536, resource.RLIM_INFINITY), (100, 100)]
