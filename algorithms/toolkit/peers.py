"""The hosts of one training job, as they find and hear one another.

The first host listens, the others connect to it, and whatever they exchange passes through it. A
host that dies closes its connections, so that the others end too, instead of waiting for it.
"""

from __future__ import annotations

import io
import json
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from algorithms.toolkit.errors import AlgorithmError

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

PORT = 9909
# Hosts start within minutes of one another; between two exchanges, one may compute for long.
JOIN_SECONDS = 300.0
PATIENCE_SECONDS = 1800.0
# Whoever loses a peer ends a little later than that, so that its reason is the job's.
GRACE_SECONDS = 2.0
# On AWS the names of hosts resolve. Where they do not, the platform tells their addresses here.
ADDRESSES = "SAGEMAKER_HOST_ADDRESSES"
_LENGTH = struct.Struct(">Q")
_LARGEST = 1 << 34

Arrays = Mapping[str, npt.NDArray[Any]]


class PeerLost(AlgorithmError):
    """Another host of the job has ended, or is not to be reached."""


class Peers:
    """One host among all of its job, with its connections by rank; made by `meet`."""

    def __init__(
        self, host: str, hosts: Sequence[str], links: Mapping[int, socket.socket] | None = None
    ) -> None:
        self.hosts = hosts
        self.rank = hosts.index(host)
        self._links = links or {}

    @property
    def alone(self) -> bool:
        """Whether the job has one host."""
        return len(self.hosts) == 1

    @property
    def first(self) -> bool:
        """Whether this host is the one that writes what all have made."""
        return self.rank == 0

    def gather(self, arrays: Arrays) -> list[dict[str, npt.NDArray[Any]]]:
        """Give every host what all of them brought, by rank; it returns when all have come.

        Raises:
            PeerLost: when one of them has ended.
        """
        if self.alone:
            return [dict(arrays)]
        own = _packed(arrays)
        if self.first:
            parts = [own, *(self._receive(rank) for rank in range(1, len(self.hosts)))]
            for rank in self._links:
                self._send(rank, *parts)
        else:
            self._send(0, own)
            parts = [self._receive(0) for _ in self.hosts]
        return [_unpacked(part) for part in parts]

    def total(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Give every host the sums of what all of them brought.

        Raises:
            PeerLost: when one of them has ended.
        """
        if self.alone:
            return dict(arrays)
        parts = self.gather(arrays)
        return {name: np.sum([part[name] for part in parts], axis=0) for name in arrays}

    @contextmanager
    def watched(self, end: Callable[[str], object]) -> Iterator[None]:
        """Call `end` with the reason when a peer ends while other code talks to it."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over, end), daemon=True)
        if not self.alone:
            watcher.start()
        try:
            yield
        finally:
            over.set()
            if not self.alone:
                watcher.join()

    def check(self, patience: float = 0.0) -> None:
        """Look whether all peers are there.

        Args:
            patience: seconds in which one may still be found to have ended. The connections of one
                that died are closed one after another, and another may have been the first.

        Raises:
            PeerLost: when one has ended.
        """
        ranks = {link: rank for rank, link in self._links.items()}
        for link in select.select([*ranks], [], [], patience if ranks else 0.0)[0]:
            if not _peek(link):
                raise self._lost(ranks[link])

    def _watch(self, over: threading.Event, end: Callable[[str], object]) -> None:
        while not over.wait(0.2):
            try:
                self.check()
            except PeerLost as error:
                if not over.wait(GRACE_SECONDS):
                    end(str(error))
                return

    def _send(self, rank: int, *parts: bytes) -> None:
        try:
            for part in parts:
                self._links[rank].sendall(_LENGTH.pack(len(part)))
                self._links[rank].sendall(part)
        except OSError as error:
            raise self._late(rank, error) from error

    def _receive(self, rank: int) -> bytes:
        try:
            return _message(self._links[rank])
        except OSError as error:
            raise self._late(rank, error) from error

    def _late(self, rank: int, error: OSError) -> PeerLost:
        time.sleep(GRACE_SECONDS)
        return self._lost(rank, error)

    def _lost(self, rank: int, error: OSError | None = None) -> PeerLost:
        because = f": {error}" if error else ""
        return PeerLost(
            f"The host {self.hosts[rank]} ended while {self.hosts[self.rank]} ran{because}"
        )


@contextmanager
def meet(job: Job) -> Iterator[Peers]:
    """Connect the hosts of a job; one host alone needs nobody.

    Raises:
        PeerLost: when one does not come in time.
    """
    hosts = tuple(sorted(job.hosts, key=_order))
    links: dict[int, socket.socket] = {}
    try:
        if len(hosts) > 1:
            deadline = time.monotonic() + JOIN_SECONDS
            if job.host == hosts[0]:
                _await_all(job, hosts, links, deadline)
            else:
                links[0] = _connect(job, hosts, deadline)
            for link in links.values():
                _set_up(link)
        yield Peers(job.host, hosts, links)
    finally:
        for link in links.values():
            link.close()


def address(host: str) -> str:
    """Where a host is reached: by its name, unless the platform has told its address."""
    told = json.loads(os.environ.get(ADDRESSES) or "{}")
    return str(told.get(host, host))


def _order(host: str) -> tuple[int, str]:
    """algo-10 comes after algo-9."""
    number = host.rpartition("-")[2]
    return (int(number) if number.isdecimal() else 0), host


def _await_all(
    job: Job, hosts: tuple[str, ...], links: dict[int, socket.socket], deadline: float
) -> None:
    own = address(job.host)
    # A name is that of an address which others may reach by another way: listen on all of them.
    listener = socket.create_server((own if own != job.host else "", PORT))
    with listener:
        while len(links) < len(hosts) - 1:
            listener.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                link, _ = listener.accept()
                link.settimeout(max(deadline - time.monotonic(), 0.001))
                hello = json.loads(_message(link, largest=1024))
            except TimeoutError:
                missing = [host for rank, host in enumerate(hosts) if rank and rank not in links]
                raise PeerLost(
                    f"{', '.join(missing)} did not come within {JOIN_SECONDS:g} s"
                ) from None
            except (OSError, ValueError):
                continue
            host = hello.get("host") if isinstance(hello, dict) else None
            if host in hosts[1:] and hosts.index(host) not in links:
                links[hosts.index(host)] = link
            else:
                link.close()


def _connect(job: Job, hosts: tuple[str, ...], deadline: float) -> socket.socket:
    """Connect to the first host, which may start, and its name resolve, later than this one."""
    while True:
        try:
            link = socket.create_connection((address(hosts[0]), PORT), timeout=10)
            hello = json.dumps({"host": job.host}).encode()
            link.sendall(_LENGTH.pack(len(hello)) + hello)
        except OSError as error:
            if time.monotonic() > deadline:
                raise PeerLost(
                    f"{hosts[0]} was not reached within {JOIN_SECONDS:g} s: {error}"
                ) from error
            time.sleep(0.02)
        else:
            return link


def _set_up(link: socket.socket) -> None:
    link.settimeout(PATIENCE_SECONDS)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A host that is cut off says nothing: ask it, and give up after half a minute.
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _peek(link: socket.socket) -> bool:
    try:
        return bool(link.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def _message(link: socket.socket, largest: int = _LARGEST) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(link, _LENGTH.size))
    if length > largest:
        raise ConnectionError(f"a message of {length} bytes")
    return bytes(_exactly(link, length))


def _exactly(link: socket.socket, length: int) -> bytearray:
    found = bytearray(length)
    view, at = memoryview(found), 0
    while at < length:
        received = link.recv_into(view[at:])
        if not received:
            raise ConnectionError("the connection was closed")
        at += received
    return found


def _packed(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    # Named apart, since savez takes names as keywords and one of its own is `file`.
    np.savez(buffer, **{f"_{name}": array for name, array in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def _unpacked(body: bytes) -> dict[str, npt.NDArray[Any]]:
    with np.load(io.BytesIO(body), allow_pickle=False) as found:
        return {name[1:]: found[name] for name in found.files}
