"""Connections to the server: so many, each for so long while it waits for its client, and no more.

asyncio's own loop of accepting prints a traceback for each connection that it finds no file for,
hundreds of times a second; and hypercorn waits for a body for as long as its client likes.
"""

import asyncio
import errno
import json
import logging
import os
import resource
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import h11
from hypercorn.asyncio import run as hypercorn_run
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.config import Config, Sockets
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol

Application = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]

# So many files as a server of many connections, jobs and functions needs; more would only let a
# leak grow.
OPEN_FILES = 65_536
# What macOS lets a process have whose hard limit says "unlimited".
_OPEN_FILES_MACOS = 10_240
# A call takes more files than its connection's. A quarter of them is for connections, and never
# more than a laptop's clients ever open.
_PART_OF_FILES = 4
MOST_CONNECTIONS = 4_096
# For the head of a request, from its first byte; AWS's own services wait for 20 to 60 seconds.
HEAD_SECONDS = 30.0
# Without a byte of the body; and in all, a second more for each KiB that has come.
BODY_SECONDS = 60.0
_SLOWEST = 1_024
# A request may have so many lines in its head; they have 16 KiB together.
HEADERS = 100
HEAD_BYTES = 16_384
_LOG_SECONDS = 60.0
_PAUSE = 0.01
_NO_FILE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BUSY_TEXT = b'{"__type": "ServiceUnavailable", "message": "Too many connections: close some."}'
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
    b"connection: close\r\nretry-after: 1\r\ncontent-length: %d\r\n\r\n%s"
) % (len(_BUSY_TEXT), _BUSY_TEXT)
_logger = logging.getLogger("smp")


def raise_open_files(wanted: int = OPEN_FILES) -> int:
    """Let this process have as many files open as its hard limit allows, up to `wanted`.

    What it starts may have as many: a container of SageMaker's has more.

    Returns:
        How many it may have now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return wanted if soft == unlimited else soft
    for limit in (wanted if hard == unlimited else min(hard, wanted), _OPEN_FILES_MACOS):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, soft), hard))
        except (ValueError, OSError):
            continue
        return max(limit, soft)
    return soft


def counted(listener: socket.socket) -> "Listener":
    """Take over a socket that listens, for as many connections as files allow."""
    most = min(MOST_CONNECTIONS, raise_open_files() // _PART_OF_FILES)
    connections = Connections(most)
    install(connections)
    return Listener(listener, connections)


class Connections:
    """Who is connected, and which of them waits for nothing that the server does."""

    def __init__(self, most: int) -> None:
        self.most = most
        # What was accepted, and of it what is served, the oldest first.
        self._accepted: set[socket.socket] = set()
        self._served: dict[Connection, None] = {}
        self._next_log = 0.0

    def wait(self) -> bool:
        """Whether to accept nothing until those that were accepted last are served.

        Many are accepted at once, and none of them can give way before it has begun.
        """
        if len(self._accepted) >= self.most:
            self._accepted = {one for one in self._accepted if one.fileno() >= 0}
        beginning = len(self._accepted) > len(self._served)
        full = len(self._accepted) >= self.most
        return full and beginning and not any(one.idle for one in self._served)

    def accepted(self, found: socket.socket) -> bool:
        """Count one more, and say whether there is room for it.

        The longest idle goes for it, when there is one.
        """
        if len(self._accepted) >= self.most:
            self.log(f"{len(self._accepted)} connections are open, as many as are served at once")
            if not any(one.give_up() for one in [*self._served]):
                return False
        self._accepted.add(found)
        return True

    def add(self, connection: "Connection") -> None:
        """Note one that is served."""
        self._served[connection] = None

    def remove(self, connection: "Connection") -> None:
        """Forget one that is closed."""
        self._served.pop(connection, None)

    def log(self, text: str) -> None:
        """Log a sentence, once a minute at most."""
        now = time.monotonic()
        if now >= self._next_log:
            self._next_log = now + _LOG_SECONDS
            _logger.warning("%s. Others are refused or closed until some have ended.", text)


class Listener(socket.socket):
    """A listening socket whose `accept` never fails for want of files, nor gives one too many."""

    def __init__(self, listener: socket.socket, connections: Connections) -> None:
        super().__init__(fileno=listener.detach())
        self.connections = connections
        # A file to let go of, so that a connection can be accepted and closed when none is left.
        self._spare = -1
        self._keep_spare()

    def accept(self) -> tuple[socket.socket, Any]:
        """Give the next connection.

        Raises:
            BlockingIOError: There is none, or none that can be served.
        """
        while True:
            if self.connections.wait():
                raise BlockingIOError
            try:
                found, address = super().accept()
            except OSError as error:
                if error.errno not in _NO_FILE:
                    raise
                self.connections.log("No file is left for a connection")
                self._refuse_one()
                raise BlockingIOError from None
            if self.connections.accepted(found):
                return found, address
            found.setblocking(False)
            with found, suppress(OSError):
                found.send(_BUSY)

    def _keep_spare(self) -> None:
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _refuse_one(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        try:
            found, _ = super().accept()
            found.close()
        except OSError:
            # Another thread has taken the file: a moment's pause, and no busy loop.
            time.sleep(_PAUSE)
        self._keep_spare()


class Connection(TCPServer):
    """hypercorn's connection, which waits for its client for a bounded time."""

    connections: Connections

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.idle = True
        self._head_until = 0.0
        self._waited = 0.0
        self._received = 0

    async def run(self) -> None:
        """Serve it until one side closes it."""
        self.connections.add(self)
        try:
            await super().run()
        finally:
            self.connections.remove(self)

    def give_up(self) -> bool:
        """Close it when no request is in progress, and say whether that was so."""
        if self.idle:
            self.connections.remove(self)
            self.writer.transport.abort()
        return self.idle

    async def protocol_send(self, event: Event) -> None:
        """As hypercorn's; whether a request is in progress is noted."""
        if isinstance(event, Updated):
            self.idle = event.idle
            self._head_until = self._waited = 0.0
            self._received = 0
        await super().protocol_send(event)

    async def _read_data(self) -> None:
        while not self.reader.at_eof():
            began = time.monotonic()
            try:
                data = await asyncio.wait_for(self.reader.read(MAX_RECV), self._patience(began))
            except (OSError, TimeoutError):
                break
            now = time.monotonic()
            self._waited += now - began
            self._received += len(data)
            if self.idle and not self._head_until:
                self._head_until = now + HEAD_SECONDS
            await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())
        # Else the connection stays until it would have been idle for too long.
        await self.idle_task.stop()

    def _patience(self, now: float) -> float | None:
        """For how long to wait for more; None for as long as hypercorn does."""
        if self.idle:
            return max(0.0, self._head_until - now) if self._head_until else None
        # A WebSocket's has a state of its own, and may be silent.
        connection = self.protocol.protocol.connection
        if getattr(connection, "their_state", None) is not h11.SEND_BODY:
            return None
        left = BODY_SECONDS + self._received / _SLOWEST - self._waited
        return max(0.0, min(BODY_SECONDS, left))


class ListeningConfig(Config):
    """hypercorn's settings, with a socket that listens already."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__()
        self._listener = listener
        self.h11_max_incomplete_size = HEAD_BYTES

    def create_sockets(self) -> Sockets:
        """Give the one socket."""
        return Sockets([], [self._listener], [])


def install(connections: Connections) -> None:
    """Let hypercorn serve connections as they are here: of HTTP/1.1 and WebSockets alone."""
    Connection.connections = connections

    async def unchanged(protocol: H11Protocol, request: h11.Request) -> None:
        """Take no offer of HTTP/2, whose streams these bounds do not know."""

    # Set by their names: neither is there to be replaced.
    vars(hypercorn_run)["TCPServer"] = Connection
    replaced: Any = H11Protocol
    replaced._check_protocol = unchanged


def bounded(application: Application) -> Application:
    """Refuse a request whose head has too many lines, or is too long, or is no text."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        refusal = _refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await application(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        status, code, text = refusal
        body = json.dumps({"__type": code, "message": text}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return served


def _refusal(scope: Any) -> tuple[int, str, str] | None:
    headers = scope.get("headers", [])
    size = sum(len(name) + len(value) for name, value in headers)
    size += len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    if len(headers) > HEADERS or size > HEAD_BYTES:
        text = (
            f"The head of the request has {len(headers)} lines and {size:,} bytes; {HEADERS} "
            f"lines and {HEAD_BYTES:,} bytes are allowed."
        )
        return 431, "RequestHeaderSectionTooLarge", text
    try:
        scope.get("query_string", b"").decode("utf-8")
        unquote(scope.get("query_string", b"").decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        return 400, "InvalidURI", "The query of the request is no UTF-8."
    return None
