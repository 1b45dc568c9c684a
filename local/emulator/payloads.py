"""Bodies on their way in: bounded, compared with what was signed, inflated within bounds."""

import asyncio
import hashlib
import hmac
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from local.emulator.authentication import (
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_AND_TRAILER,
    UNSIGNED,
    UNSIGNED_CHUNKS,
    Signed,
)
from local.emulator.refusals import Failure, Refused

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
# The largest body of one request, as AWS bounds it, or a little above.
S3_BYTES = 5 << 30
_BYTES = {
    "s3": S3_BYTES,
    "lambda": 70 << 20,
    "ecr": 30 << 20,
    "sagemaker": 26 << 20,
    "smp": 1 << 20,
    # What comes without a signature.
    "an address of CloudFormation": 64 << 10,
    "this path": 0,
}
_OTHERS = 16 << 20
# Bodies that wait in memory for the end that tells whether they are signed, all together.
_WAITING_BYTES = 256 << 20
_BLOCK = 1 << 20
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER_BYTES = 8 << 10
_EMPTY = hashlib.sha256(b"").hexdigest()


def limit_of(service: str) -> int:
    """The largest body that a service takes."""
    return _BYTES.get(service, _OTHERS)


def check_length(headers: Mapping[str, Any], service: str) -> None:
    """Refuse a body by the length that its head announces.

    Raises:
        Refused: It is longer than the service takes, or no number.
    """
    said = (headers.get("content-length") or ["0"])[0]
    if not (said.isascii() and said.isdigit()):
        raise Refused(Failure.MALFORMED, "Content-Length is no number.")
    # More digits than any limit has: what they say need not be read.
    if len(said) > 12 or int(said) > limit_of(service):
        raise _too_large(service)


def _too_large(service: str) -> Refused:
    limit = limit_of(service)
    return Refused(Failure.TOO_LARGE, f"A request to {service} has at most {limit} bytes.")


class Waiting:
    """How much is held for requests whose signature is not decided yet."""

    def __init__(self, most: int = _WAITING_BYTES) -> None:
        self._most = most
        self._held = 0

    async def whole(self, receive: Receive, service: str) -> bytes:
        """Read a body to its end.

        Raises:
            Refused: It is too large, or too much waits already.
            ConnectionResetError: The client went away.
        """
        chunks: list[bytes] = []
        size, limit = 0, limit_of(service)
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ConnectionResetError
                chunk = message.get("body", b"")
                size += len(chunk)
                self._held += len(chunk)
                if size > limit:
                    raise _too_large(service)
                if self._held > self._most:
                    raise Refused(Failure.BUSY, "Please reduce your request rate.")
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
        finally:
            self._held -= size


async def digest(body: bytes) -> str:
    """The SHA-256 of a body; of a large one, off the event loop."""
    if len(body) < _BLOCK:
        return hashlib.sha256(body).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())


async def inflated(body: bytes, service: str) -> bytes:
    """What was compressed with gzip, off the event loop and within the service's limit.

    Raises:
        Refused: It is no gzip, or larger than the service takes.
    """
    return await asyncio.to_thread(_inflate, body, service)


def _inflate(body: bytes, service: str) -> bytes:
    limit = limit_of(service)
    parts: list[bytes] = []
    size = 0
    while body:
        member = zlib.decompressobj(31)
        try:
            part = member.decompress(body, limit - size + 1)
        except zlib.error as error:
            raise Refused(Failure.MALFORMED, f"The body is no gzip: {error}.") from error
        size += len(part)
        if size > limit:
            raise _too_large(service)
        if not member.eof:
            raise Refused(Failure.MALFORMED, "The gzip of the body ends too early.")
        parts.append(part)
        body = member.unused_data
    return b"".join(parts)


def streamed(signed: Signed | None, receive: Receive, most: int = S3_BYTES) -> Receive:
    """The body of an object as it comes in; its last part is given once all of it is right."""
    payload = signed.payload if signed else UNSIGNED
    checked: _Plain | _Chunks
    if signed and payload in {SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER, UNSIGNED_CHUNKS}:
        checked = _Chunks(signed)
    else:
        checked = _Plain("" if payload == UNSIGNED else payload)
    size = 0

    async def received() -> Message:
        nonlocal size
        message = await receive()
        if message["type"] == "http.request":
            chunk = message.get("body", b"")
            size += len(chunk)
            # What signs the chunks is no part of the object.
            if size > most + most // 64:
                raise _too_large("s3")
            await checked.feed(chunk)
            if not message.get("more_body", False):
                await checked.end()
        return message

    return received


class _Plain:
    """A body that is signed by its hash, or not at all."""

    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._size = 0
        self._ended = False

    async def feed(self, chunk: bytes) -> None:
        if not self._expected or not chunk:
            return
        self._pending.append(chunk)
        self._size += len(chunk)
        if self._size >= _BLOCK:
            await asyncio.to_thread(self._update)

    def _update(self) -> None:
        for chunk in self._pending:
            self._hash.update(chunk)
        self._pending, self._size = [], 0

    async def end(self) -> None:
        if not self._expected or self._ended:
            return
        self._ended = True
        self._update()
        if not hmac.compare_digest(self._hash.hexdigest(), self._expected):
            raise Refused(
                Failure.BODY,
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )


class _Chunks:
    """A body in aws-chunked form, each chunk signed with the one before it, or only its trailer."""

    def __init__(self, signed: Signed) -> None:
        self._signed = signed
        self._signs_chunks = signed.payload != UNSIGNED_CHUNKS
        self._previous = signed.signature.value
        self._buffer = bytearray()
        self._left = 0
        self._provided = ""
        self._hash = hashlib.sha256()
        self._state = self._size_line
        self._decoded = 0
        self._ended = False

    async def feed(self, chunk: bytes) -> None:
        self._buffer += chunk
        while self._state():
            pass

    async def end(self) -> None:
        if self._ended:
            return
        if self._state != self._trailer:
            raise _broken("it ends before its last chunk")
        self._finish()
        said = self._signed.head.header("x-amz-decoded-content-length")
        if said != str(self._decoded):
            raise _broken(f"x-amz-decoded-content-length is {said!r}, not {self._decoded}")
        self._ended = True

    def _size_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > 256:
                raise _broken("a chunk's first line is too long")
            return False
        found = _SIZE_LINE.fullmatch(bytes(self._buffer[:end]))
        if not found or bool(found[2]) != self._signs_chunks:
            raise _broken("a chunk's first line is not SIZE;chunk-signature=SIGNATURE")
        del self._buffer[: end + 2]
        self._left = int(found[1], 16)
        self._provided = (found[2] or b"").decode()
        self._hash = hashlib.sha256()
        if not self._left:
            self._check_chunk()
            self._state = self._trailer
            return False
        self._state = self._data
        return True

    def _data(self) -> bool:
        if self._left:
            part = self._buffer[: self._left]
            if self._signs_chunks:
                self._hash.update(part)
            self._decoded += len(part)
            self._left -= len(part)
            del self._buffer[: len(part)]
            if self._left:
                return False
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise _broken("a chunk is longer than it says")
        del self._buffer[:2]
        self._check_chunk()
        self._state = self._size_line
        return True

    def _trailer(self) -> bool:
        if len(self._buffer) > _TRAILER_BYTES:
            raise _broken("the trailer is too long")
        return False

    def _check_chunk(self) -> None:
        if self._signs_chunks:
            self._chain(f"{SIGNED_CHUNKS.removeprefix('STREAMING-')}", _EMPTY, self._hash)

    def _chain(self, algorithm: str, middle: str, content: Any) -> None:
        signature = self._signed.signature
        lines = [algorithm, signature.timestamp, signature.scope, self._previous]
        lines += [middle] if middle else []
        expected = self._signed.sign("\n".join([*lines, content.hexdigest()]))
        if not hmac.compare_digest(expected, self._provided):
            raise Refused(Failure.MISMATCH, "The signature of a chunk does not match.")
        self._previous = expected

    def _finish(self) -> None:
        """Check the trailer: what the head announced, and no more."""
        text = bytes(self._buffer)
        if text != b"\r\n" and not text.endswith(b"\r\n\r\n"):
            raise _broken("its trailer does not end")
        fields: dict[str, str] = {}
        for line in text.rstrip(b"\r\n").split(b"\r\n") if text != b"\r\n" else []:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or name.strip().lower() in fields:
                raise _broken("a line of its trailer is not NAME:VALUE, or given twice")
            fields[name.strip().lower()] = value.strip()
        provided = fields.pop("x-amz-trailer-signature", "")
        announced = self._signed.head.header("x-amz-trailer").lower().split(",")
        if {*fields} != {name.strip() for name in announced if name.strip()}:
            raise _broken("its trailer is not the one that x-amz-trailer announces")
        if self._signed.payload == SIGNED_CHUNKS_AND_TRAILER:
            self._provided = provided
            content = "".join(f"{name}:{value}\n" for name, value in sorted(fields.items()))
            hashed = hashlib.sha256(content.encode())
            self._chain("AWS4-HMAC-SHA256-TRAILER", "", hashed)
        elif self._signed.payload == SIGNED_CHUNKS and (fields or provided):
            raise _broken("it has a trailer, and its signature knows of none")


def _broken(how: str) -> Refused:
    return Refused(Failure.CHUNKS, f"The aws-chunked body is not complete: {how}.")
