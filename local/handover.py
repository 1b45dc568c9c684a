"""What `smp` hands to the server that it starts: a socket that listens already, and a secret.

The socket is what claims the port: of two that want one, exactly one can listen, whenever they
start, and it does so before it has touched anything else. The secret proves later who answers.
Both go through inherited file descriptors, since a command line is everybody's to read, and the
environment of a process that of all that it starts.
"""

import hashlib
import hmac
import os
import secrets
import socket
from dataclasses import dataclass

BACKLOG = 512
READY = "/_smp/ready"
_SECRET_BYTES = 32


def listen(host: str, port: int) -> socket.socket:
    """Claim a port.

    Raises:
        OSError: It cannot be had; with EADDRINUSE, another process listens there.
    """
    listener = socket.socket()
    try:
        # A connection that lingers from a platform just ended is no hindrance. Two sockets may be
        # bound to one port by this; that one of them listens is what keeps the other out.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def new_secret() -> str:
    """A secret for one start of a server."""
    return secrets.token_hex(_SECRET_BYTES)


def new_challenge() -> str:
    """Something that no server has been asked to prove itself with before."""
    return secrets.token_hex(16)


def proof(secret: str, port: int, challenge: str) -> str:
    """What the server on `port` that knows `secret` answers to a challenge.

    The port is part of it: whoever answers on another one cannot have this one prove it for them.
    Empty without a secret.
    """
    if not secret:
        return ""
    message = f"smp-ready:{port}:{challenge}".encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def proves(given: object, secret: str, port: int, challenge: str) -> bool:
    """Whether an answer came from the server that knows `secret`."""
    wanted = proof(secret, port, challenge)
    return bool(wanted) and isinstance(given, str) and _equal(given, wanted)


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())


@dataclass(frozen=True)
class Handover:
    """The two ends of one start: made by `smp`, taken by the server."""

    listener: socket.socket
    secret: str

    def arguments(self, pipe: int) -> list[str]:
        """The numbers of the descriptors, for the server's command line."""
        return ["--listener", str(self.listener.fileno()), "--secret", str(pipe)]

    def pipe(self) -> int:
        """A descriptor from which the secret can be read once."""
        reader, writer = os.pipe()
        os.write(writer, self.secret.encode())
        os.close(writer)
        return reader

    @classmethod
    def taken(cls, listener: int, pipe: int) -> "Handover":
        """What was handed to this process, out of reach of those that it starts."""
        # Before all else, since whoever is started inherits what is inheritable.
        for descriptor in (listener, pipe):
            os.set_inheritable(descriptor, False)
        with os.fdopen(pipe, "rb") as file:
            secret = file.read().decode()
        return cls(socket.socket(fileno=listener), secret)
