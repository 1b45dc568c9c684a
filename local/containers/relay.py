"""Lets containers reach one port of this machine's loopback, and nobody else."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from ipaddress import IPv4Network, ip_address
from typing import Any, TypeVar

T = TypeVar("T")
_CHUNK = 1 << 16
_OPEN_SECONDS = 10.0
_open: set[str] = set()


def addresses() -> frozenset[str]:
    """The addresses, HOST:PORT, at which containers reach the platform now."""
    return frozenset(_open)


class Relays:
    """TCP relays, all served by one thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def open(
        self, host: str, peers: IPv4Network, target: tuple[str, int], port: int = 0
    ) -> "Relay":
        """Listen at an address for peers of one network, and pass each connection on.

        Raises:
            OSError: when the address cannot be listened at.
        """
        relay = Relay(self, peers, target)
        relay.server = self.do(asyncio.start_server(relay.serve, host, port))
        relay.port = int(relay.server.sockets[0].getsockname()[1])
        relay.address = f"{host}:{relay.port}"
        _open.add(relay.address)
        return relay

    def close(self) -> None:
        """End every relay and the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_OPEN_SECONDS)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the relays' thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result(_OPEN_SECONDS)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run, args=(self._loop,), name="container-relays", daemon=True
                )
                self._thread.start()
            return self._loop


class Relay:
    """One listening address and where its connections go."""

    def __init__(self, relays: Relays, peers: IPv4Network, target: tuple[str, int]) -> None:
        self.port = 0
        self.address = ""
        self.server: asyncio.Server | None = None
        self._relays = relays
        self._peers = peers
        self._target = target
        self._connections: set[asyncio.StreamWriter] = set()

    def close(self) -> None:
        """Listen no more, and end what is connected."""
        _open.discard(self.address)
        self._relays.do(self._close())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on in both directions."""
        outward: asyncio.StreamWriter | None = None
        self._connections.add(writer)
        try:
            # The address that is listened at belongs to this machine: another one that routes
            # packets to it must not get in.
            if ip_address(writer.get_extra_info("peername")[0]) not in self._peers:
                return
            back, out = await asyncio.wait_for(
                asyncio.open_connection(*self._target), _OPEN_SECONDS
            )
            outward = out
            self._connections.add(out)
            await asyncio.gather(_copy(reader, out), _copy(back, writer))
        except (OSError, TimeoutError):
            pass
        finally:
            for each in (writer, outward):
                if each is not None:
                    self._connections.discard(each)
                    each.close()

    async def _close(self) -> None:
        if self.server is not None:
            self.server.close()
        for each in [*self._connections]:
            each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
