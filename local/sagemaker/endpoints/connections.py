"""A small HTTP/1.1 client for model servers, which keeps its connections open."""

import asyncio
import weakref
from collections.abc import Mapping
from typing import NamedTuple

_BUFFER = 1 << 20
_IDLE = 32


class Reply(NamedTuple):
    """What a model server answered; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class ReplyTooLarge(Exception):
    """The answer is longer than allowed."""


class NotConnected(Exception):
    """No connection could be made, so nothing was asked."""


class NoReply(Exception):
    """The connection ended before the answer did."""


_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connections:
    """Sends requests to servers of this machine, by port."""

    def __init__(self) -> None:
        # A connection belongs to the event loop that made it.
        self._idle: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[int, list[_Connection]]
        ] = weakref.WeakKeyDictionary()

    async def post(
        self, port: int, path: str, headers: Mapping[str, str], body: bytes, limit: int
    ) -> Reply:
        """Send a POST request and read the whole answer.

        Raises:
            NotConnected: when the server cannot be reached.
            NoReply: when the server ended the connection instead of answering.
            ReplyTooLarge: when the body is longer than `limit`.
        """
        lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        head = "\r\n".join(lines).encode("latin-1")
        ports = self._idle.setdefault(asyncio.get_running_loop(), {})
        idle = ports.setdefault(port, [])
        while idle:
            connection = idle.pop()
            if _ended(connection):
                connection[1].close()
                continue
            try:
                return await self._exchange(connection, head, body, limit, idle)
            except _Stale:
                # The server closed the connection while it was idle: it read nothing of this.
                continue
        _drop_ended(ports)
        try:
            connection = await asyncio.open_connection("127.0.0.1", port, limit=_BUFFER)
        except OSError as error:
            raise NotConnected(str(error)) from error
        try:
            return await self._exchange(connection, head, body, limit, idle)
        except _Stale as error:
            raise NoReply("the connection was closed") from error

    async def _exchange(
        self,
        connection: _Connection,
        head: bytes,
        body: bytes,
        limit: int,
        idle: list[_Connection],
    ) -> Reply:
        reader, writer = connection
        keep = False
        try:
            try:
                writer.write(head + body if len(body) < _BUFFER else head)
                if len(body) >= _BUFFER:
                    writer.write(body)
                await writer.drain()
                first = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise NoReply("the answer broke off") from error
                raise _Stale from error
            except ConnectionError as error:
                raise _Stale from error
            reply, keep = await _read(reader, first, limit)
        except (
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            ConnectionError,
            ValueError,
        ) as error:
            raise NoReply(str(error)) from error
        else:
            return reply
        finally:
            if keep and len(idle) < _IDLE:
                idle.append(connection)
            else:
                writer.close()


def _ended(connection: _Connection) -> bool:
    return connection[1].is_closing() or connection[0].at_eof()


def _drop_ended(ports: dict[int, list[_Connection]]) -> None:
    """Close what servers have closed: one that is gone for good is never asked again."""
    for connections in ports.values():
        for connection in [one for one in connections if _ended(one)]:
            connections.remove(connection)
            connection[1].close()


class _Stale(Exception):
    """The connection was closed before the first byte of an answer."""


async def _read(reader: asyncio.StreamReader, head: bytes, limit: int) -> tuple[Reply, bool]:
    status_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    version, status_text = status_line.split(" ", 2)[:2]
    status = int(status_text)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    if status in (204, 304):
        return Reply(status, headers, b""), keep
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Reply(status, headers, await _chunks(reader, limit)), keep
    if "content-length" in headers:
        length = int(headers["content-length"])
        if length > limit:
            raise ReplyTooLarge
        return Reply(status, headers, await reader.readexactly(length)), keep
    body = await reader.read(limit + 1)
    while not reader.at_eof() and len(body) <= limit:
        body += await reader.read(limit + 1 - len(body))
    if len(body) > limit:
        raise ReplyTooLarge
    return Reply(status, headers, body), False


async def _chunks(reader: asyncio.StreamReader, limit: int) -> bytes:
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        if len(body) + size > limit:
            raise ReplyTooLarge
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while (await reader.readuntil(b"\r\n")) != b"\r\n":
        pass
    return bytes(body)
