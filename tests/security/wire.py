"""Requests as bytes: signed by hand, so that each part of a signature can be wrong alone."""

import hashlib
import hmac
import http.client
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

EMPTY = hashlib.sha256(b"").hexdigest()
EVIL = "https://evil.example"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


def send(
    url: str,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | Iterable[bytes] = b"",
    seconds: float = 60,
) -> Answer:
    """Send exactly these headers, in this order, and read the answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        given = [*headers]
        if not any(name.lower() == "host" for name, _ in given):
            connection.putheader("Host", parts.netloc)
        for name, value in given:
            connection.putheader(name, value)
        names = {name.lower() for name, _ in given}
        if isinstance(body, bytes) and body and not names & {"content-length", "transfer-encoding"}:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        for part in [body] if isinstance(body, bytes) else body:
            if part:
                connection.send(part)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@dataclass
class Request:
    """A request that signs itself; what is set here is what is said, right or wrong."""

    key: Any
    service: str
    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    host: str = ""
    region: str = "us-east-1"
    terminator: str = "aws4_request"
    age: timedelta = timedelta()
    day: str = ""
    payload: str = ""
    token: str = ""
    # Names that are sent and not signed.
    unsigned: Sequence[str] = ()
    signed_query: str | None = None

    @property
    def timestamp(self) -> str:
        return (datetime.now(UTC) - self.age).strftime("%Y%m%dT%H%M%SZ")

    def signed(self, url: str) -> list[tuple[str, str]]:
        """All headers, with the signature."""
        timestamp = self.timestamp
        payload = self.payload or hashlib.sha256(self.body).hexdigest()
        headers = [("host", self.host or urlsplit(url).netloc), ("x-amz-date", timestamp)]
        if self.service == "s3" or self.payload:
            headers.append(("x-amz-content-sha256", payload))
        if self.token:
            headers.append(("x-amz-security-token", self.token))
        headers += self.headers
        names = sorted({name.lower() for name, _ in headers} - {*self.unsigned})
        scope, value = self.signature(timestamp, names, headers, payload)
        credential = f"{self.key.access_key}/{scope}"
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={';'.join(names)}, "
            f"Signature={value}"
        )
        return [*headers, ("Authorization", authorization)]

    def signature(
        self,
        timestamp: str,
        names: Sequence[str],
        headers: Sequence[tuple[str, str]],
        payload: str,
        query: str | None = None,
    ) -> tuple[str, str]:
        """The scope and the signature."""
        path = self.path if self.service == "s3" else quote(self.path, safe="/-_.~")
        asked = self.query if query is None else query
        pairs = sorted(
            (quote(k, safe="-_.~"), quote(v, safe="-_.~"))
            for k, v in parse_qsl(asked, keep_blank_values=True)
        )
        values = {n: ",".join(v for k, v in headers if k.lower() == n) for n in names}
        canonical = "\n".join(
            [
                self.method,
                path,
                "&".join(f"{k}={v}" for k, v in pairs),
                *(f"{name}:{values[name]}" for name in names),
                "",
                ";".join(names),
                payload,
            ]
        )
        scope = f"{self.day or timestamp[:8]}/{self.region}/{self.service}/{self.terminator}"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256", timestamp, scope, hashed])
        return scope, sign(self.signing_key(timestamp), text)

    def signing_key(self, timestamp: str) -> bytes:
        key = f"AWS4{self.key.secret_key}".encode()
        for part in (self.day or timestamp[:8], self.region, self.service, self.terminator):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key

    def presigned(self, url: str, expires: int | str = 60) -> str:
        """The target, with the signature in its query."""
        timestamp = self.timestamp
        scope = f"{self.day or timestamp[:8]}/{self.region}/{self.service}/{self.terminator}"
        fields = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.key.access_key}/{scope}",
            "X-Amz-Date": timestamp,
            "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": "host",
        }
        asked = "&".join(f"{k}={quote(v, safe='')}" for k, v in fields.items())
        asked = f"{self.query}&{asked}" if self.query else asked
        host = [("host", self.host or urlsplit(url).netloc)]
        payload = "UNSIGNED-PAYLOAD" if self.service == "s3" else EMPTY
        _, value = self.signature(timestamp, ["host"], host, payload, asked)
        return f"{self.path}?{asked}&X-Amz-Signature={value}"

    def send(self, url: str) -> Answer:
        """Send it, signed."""
        target = f"{self.path}?{self.query}" if self.query else self.path
        return send(url, self.method, target, self.signed(url), self.body)


def sign(key: bytes, text: str) -> str:
    """A signature of a text."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
