"""The HTTP server of every algorithm: /ping, /invocations and /execution-parameters."""

from __future__ import annotations

import asyncio
import ctypes
import hmac
import logging
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from algorithms.toolkit import content
from algorithms.toolkit.algorithm import Model, Responder, module
from algorithms.toolkit.content import ContentType
from algorithms.toolkit.errors import AlgorithmError, CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.invocations import Refusal, invoke
from algorithms.toolkit.job import base_folder
from algorithms.toolkit.training import start_log

if TYPE_CHECKING:
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

PAYLOAD_MB = 6
# A body that takes longer than about a millisecond is worked on beside the event loop, so that
# a ping is answered within its two seconds whatever a worker is busy with.
INLINE_BYTES = 64 * 1024
# Per worker; more wait in the listen queue, and their memory is not ours.
CONCURRENT_REQUESTS = 64
# How many times the limit is read of a body that is refused anyway.
DRAINED_PAYLOADS = 10
# Who has started this server may have given it a key in this variable, for itself alone: then the
# server answers nobody else, whatever web page or process of the machine asks its port.
KEY_VARIABLE = "SAGEMAKER_CALLER_KEY"
KEY_HEADER = "x-sagemaker-caller-key"

log = logging.getLogger("algorithms")

_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
_TEXT = [("content-type", "text/plain; charset=utf-8")]


def payload_limit(environment: Mapping[str, str]) -> int:
    """The largest body in bytes; a batch transform job may set its own."""
    text = environment.get("SAGEMAKER_MAX_PAYLOAD_IN_MB", "")
    megabytes = int(text) if text.isdecimal() and int(text) > 0 else PAYLOAD_MB
    return megabytes * 1024 * 1024


class Handler(Protocol):
    """Answers invocations by itself, whatever their content types."""

    def invoke(
        self, body: bytes, content_type: str | None, accept: str | None
    ) -> tuple[int, str, bytes]:
        """The status, content type and body that answer an invocation.

        Raises:
            Refusal: for a request that cannot be answered.
        """


class Served(Protocol):
    """What a model server is for; a worker that does not share its process makes it anew."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    @property
    def early(self) -> bool:
        """Whether it is loaded before there are workers, which then share its memory."""

    def load(self) -> Model | Responder | Handler:
        """Read what answers.

        Raises:
            AlgorithmError, CustomerError, FormatError, OSError, ValueError: It cannot be had.
        """


@dataclass(frozen=True)
class Artifact:
    """The artifact of an algorithm, in its model folder."""

    name: str
    folder: Path
    early: bool = True

    def load(self) -> Model | Responder:
        """Read the artifact, by the algorithm's own module."""
        return module(self.name).load(self.folder)


def default_accept(model: Model | Responder, environment: Mapping[str, str]) -> str | None:
    """What requests that name no form of answer get, where the model's owner has set it.

    Raises:
        CustomerError: The model has no such answers.
    """
    text = environment.get(_ACCEPT, "").strip()
    if not text:
        return None
    if ContentType.parse(text).name not in model.answers:
        raise CustomerError(
            f"{_ACCEPT} is {text!r}, which this model does not answer; {', '.join(model.answers)} "
            "are supported"
        )
    return text


class Server:
    """An application for Granian, around one model."""

    def __init__(self, model: Model | Responder | Handler, environment: Mapping[str, str]) -> None:
        self._limit = payload_limit(environment)
        if hasattr(model, "invoke"):
            self._invoke: Callable[..., tuple[int, str, bytes]] = cast("Handler", model).invoke
            self._accept = None
            self._slow = True
        else:
            batch = environment.get("SAGEMAKER_BATCH", "").lower() == "true"
            self._invoke = partial(invoke, model, batch=batch)
            self._accept = default_accept(model, environment)
            self._slow = bool(getattr(model, "slow", False))
        self._key = environment.get(KEY_VARIABLE, "").encode()
        self._executor = ThreadPoolExecutor(max_workers=1)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request; whatever goes wrong, with a status and a sentence."""
        try:
            status, kind, body = await self._answer(scope, protocol)
        except Refusal as refusal:
            log.warning("%s %s: %d %s", scope.method, scope.path, refusal.status, refusal)
            protocol.response_str(refusal.status, _TEXT, str(refusal))
            return
        except Exception:
            log.exception("%s %s", scope.method, scope.path)
            protocol.response_str(500, _TEXT, "Internal error; the log of the endpoint says more")
            return
        if body:
            protocol.response_bytes(status, [("content-type", kind)], body)
        else:
            protocol.response_empty(status, [])

    async def _answer(self, scope: Scope, protocol: HTTPProtocol) -> tuple[int, str, bytes]:
        path, method = scope.path, scope.method
        given = scope.headers.get(KEY_HEADER) or ""
        if self._key and not hmac.compare_digest(given.encode(), self._key):
            raise Refusal(403, "This model server answers the platform that started it alone")
        if path == "/invocations":
            _require(method, "POST", path)
            body = await self._body(scope, protocol)
            headers = scope.headers
            work = partial(
                self._invoke,
                body,
                headers.get("content-type"),
                self._accepted(headers.get("accept")),
            )
            if len(body) <= INLINE_BYTES and not self._slow:
                return work()
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        if path == "/ping":
            _require(method, "GET", path)
            return 200, "", b""
        if path == "/execution-parameters":
            _require(method, "GET", path)
            return 200, content.JSON, self._execution_parameters()
        raise Refusal(
            404, f"{path} is not served; /ping, /invocations and /execution-parameters are"
        )

    def _accepted(self, accept: str | None) -> str | None:
        """The Accept header of a request, or what is meant where it leaves that open."""
        if self._accept is not None and (not accept or accept.split(";")[0].strip() == "*/*"):
            return self._accept
        return accept

    async def _body(self, scope: Scope, protocol: HTTPProtocol) -> bytes:
        length = scope.headers.get("content-length")
        if length is not None and int(length) <= self._limit:
            return await protocol()
        if length is not None and int(length) > DRAINED_PAYLOADS * self._limit:
            raise _too_large(int(length), self._limit)
        # What is too large is read all the same, and forgotten: a client that is still sending
        # would find its connection broken, and not the reason.
        chunks, size = [], 0
        async for chunk in protocol:
            size += len(chunk)
            if size <= self._limit:
                chunks.append(bytes(chunk))
            else:
                chunks.clear()
            if size > DRAINED_PAYLOADS * self._limit:
                break
        if size > self._limit:
            raise _too_large(size, self._limit)
        return b"".join(chunks)

    def _execution_parameters(self) -> bytes:
        import orjson

        return orjson.dumps(
            {
                "MaxConcurrentTransforms": os.cpu_count() or 1,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": self._limit // (1024 * 1024),
            }
        )


def _too_large(size: int, limit: int) -> Refusal:
    return Refusal(413, f"The body has {size:,} bytes; at most {limit:,} bytes are allowed")


def _require(method: str, allowed: str, path: str) -> None:
    if method != allowed:
        raise Refusal(405, f"{method} is not allowed on {path}; {allowed} is")


_loaded: dict[str, Model | Responder | Handler] = {}


def _model(served: Served) -> Model | Responder | Handler:
    if served.name not in _loaded:
        _loaded[served.name] = served.load()
    return _loaded[served.name]


def _application(served: Served) -> Server:
    """The application of one worker process."""
    _end_with_parent()
    # Forked workers find what their parent loaded; others load it here.
    try:
        return Server(_model(served), os.environ)
    except Exception as error:
        if served.early:
            raise
        # Nobody starts the server for a worker that will never answer: it ends with its reason.
        _tell_unable(error)
        os.kill(os.getppid(), signal.SIGUSR1)
        raise


def _stop_workers_from_their_first_instruction() -> None:
    """Let a stop that reaches a worker while it starts end it.

    A forked worker begins with its parent's handler, which would swallow the signal, and the server
    would wait for a worker that never ends.
    """
    stop = {signal.SIGTERM}
    mask = signal.pthread_sigmask

    def restored() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        mask(signal.SIG_UNBLOCK, stop)

    os.register_at_fork(
        before=lambda: mask(signal.SIG_BLOCK, stop),
        after_in_parent=lambda: mask(signal.SIG_UNBLOCK, stop),
        after_in_child=restored,
    )


def _end_with_parent() -> None:
    """Let no worker outlive a server that was killed.

    It is killed, too: Granian waits forever for a graceful end that is asked while it starts.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent is not None and parent.pid != os.getppid():
            sys.exit(1)


def run(name: str) -> int:
    """Load the model of an algorithm, then serve it until SIGTERM; return the exit code."""
    return serve(Artifact(name, base_folder() / "model"))


def serve(served: Served, variable: str = "MODEL_SERVER_WORKERS") -> int:
    """Serve until SIGTERM; return the exit code.

    Args:
        served: what answers.
        variable: the variable that says how many workers there are; as many as cores without it.
    """
    start_log()
    log.info("Docker entrypoint called with argument(s): serve")
    address = os.environ.get("SAGEMAKER_BIND_ADDRESS", "0.0.0.0")  # noqa: S104 the platform reaches a container from outside
    try:
        port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
        workers = int(os.environ.get(variable) or os.cpu_count() or 1)
        if served.early:
            Server(_model(served), os.environ)
        _refuse_taken(address, port)
    except (AlgorithmError, CustomerError, FormatError, OSError, ValueError) as error:
        _tell_unable(error)
        return 1

    from granian.constants import HTTPModes, Interfaces
    from granian.server import Server as Granian

    _stop_workers_from_their_first_instruction()
    # A worker that cannot load what it serves says so by this signal.
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(1))
    granian: Any = Granian(
        f"algorithms.{served.name}",
        address=address,
        port=port,
        interface=Interfaces.RSGI,
        workers=workers,
        http=HTTPModes.http1,
        websockets=False,
        backpressure=CONCURRENT_REQUESTS,
        respawn_failed_workers=True,
        workers_kill_timeout=25,
    )
    log.info("Serving %s on port %d with %d workers", served.name, port, workers)
    granian.serve(target_loader=partial(_application, served), wrap_loader=False)
    return 0


def _tell_unable(error: Exception) -> None:
    log.error("Unable to start the model server: %s", error)


def _refuse_taken(address: str, port: int) -> None:
    """Granian shares a port with whoever else shares it; a second server must not go unnoticed."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise OSError(f"port {port} of {address} is not free: {error.strerror}") from None
