"""What stands before everything that the platform answers.

In this order, each before a byte of the body is read: the Host and the page that a request comes
from; whether its path is served at all; its signature and the owner of its key. Then the body,
bounded, compared with what was signed, and inflated. No answer allows another origin anything.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any

from local.emulator import accounts, authentication, identity, payloads, refusals
from local.emulator.authentication import Caller, Head, Signed
from local.emulator.hosts import Hosts
from local.emulator.payloads import Receive, Waiting
from local.emulator.refusals import Failure, Refused
from local.emulator.routes import Way, way_of

Application = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]
Message = MutableMapping[str, Any]
CONTROL_SERVICE = "smp"
# Whose request is served; None for what is answered without a signature.
CALLER: contextvars.ContextVar[Caller | None] = contextvars.ContextVar("smp_caller", default=None)
# So much of a refused body is read and forgotten, so that its sender reads the refusal.
_DRAINED_BYTES = 8 << 20
_DRAIN_SECONDS = 5.0
# What a proxy says of a request; there is none before this server.
_PROXIED = (b"forwarded", b"x-forwarded-", b"x-real-ip", b"x-original-", b"x-rewrite-")


def gate(application: Application, hosts: Hosts, elsewhere: Application) -> Application:
    """Put the checks before `application`.

    `elsewhere` serves the paths of Docker's protocol, whose requests bring a password.
    """
    waiting = Waiting()

    async def served(scope: Any, receive: Receive, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        answers, body = _Answers(send), _Body(receive)
        receive = body.receive
        headers: dict[str, list[str]] = {}
        try:
            head = Head.of(scope)
            headers = {name: [*values] for name, values in head.headers.items()}
            way, scope = _placed(scope, head, hosts, headers)
            if way is Way.TOKEN and head.raw_path.startswith("/v2/"):
                CALLER.set(None)
                await elsewhere(scope, receive, answers.send)
                return
            scope, receive = await _admitted(scope, receive, head, headers, way, waiting)
            await application(scope, receive, answers.send)
        except Refused as refused:
            if answers.begun:
                raise
            await _refuse(refused, scope, headers, body, answers.send)
        except ConnectionResetError:
            return

    return served


def _placed(
    scope: Any, head: Head, hosts: Hosts, headers: Mapping[str, list[str]]
) -> tuple[Way, Any]:
    """Check where a request comes from and where it goes."""
    bucket = hosts.bucket(headers)
    hosts.check_page(headers)
    # An absolute form names a host of its own; what has none is no path.
    if not head.raw_path.startswith("/") or not head.raw_path.isascii():
        raise Refused(Failure.FORBIDDEN, "The request's target is no path.")
    if head.method in ("OPTIONS", "CONNECT", "TRACE"):
        raise Refused(
            Failure.FORBIDDEN, f"{head.method} is refused: no other origin may ask for anything."
        )
    way = way_of(head.method, scope["path"], bucket)
    if way is Way.CLOSED:
        raise Refused(Failure.FORBIDDEN, "The platform does not serve this path.")
    if any(name.lower().startswith(_PROXIED) for name, _ in scope["headers"]):
        kept = [one for one in scope["headers"] if not one[0].lower().startswith(_PROXIED)]
        scope = {**scope, "headers": kept}
    return way, scope


async def _admitted(
    scope: Any,
    receive: Receive,
    head: Head,
    headers: Mapping[str, list[str]],
    way: Way,
    waiting: Waiting,
) -> tuple[Any, Receive]:
    """Check who asks, and the body; return the request as it may be served."""
    if way in (Way.OPEN, Way.TOKEN):
        CALLER.set(None)
        open_to = "an address of CloudFormation" if head.method == "PUT" else "this path"
        payloads.check_length(headers, open_to)
        return scope, _replayed(await waiting.whole(receive, open_to), receive)
    signed = authentication.authenticate(head)
    caller = signed if isinstance(signed, Caller) else signed.caller
    control = way is Way.CONTROL
    if control != (caller.service == CONTROL_SERVICE):
        wanted = CONTROL_SERVICE if control else "the service that is called"
        raise Refused(
            Failure.MISMATCH, f"Credential should be scoped to correct service: {wanted}."
        )
    accounts.check(caller)
    # Of S3, objects and their parts are large, and these are put.
    documents = caller.service == "s3" and head.method != "PUT"
    payloads.check_length(headers, "a document of S3" if documents else caller.service)
    if not control:
        _check_service(scope, head, caller)
    CALLER.set(caller)
    if caller.service == "s3":
        of_body = signed if isinstance(signed, Signed) else None
        most = payloads.limit_of("a document of S3" if documents else "s3")
        return scope, payloads.streamed(of_body, receive, most)
    if not isinstance(signed, Signed):
        raise Refused(Failure.UNSUPPORTED, "Only links of S3 may be signed in Version 2.")
    body = await waiting.whole(receive, caller.service)
    digest = await payloads.digest(body)
    if signed.payload and digest != signed.payload:
        raise Refused(Failure.BODY, "The body is not the one whose hash is signed.")
    if not signed.payload:
        signed.check(digest)
    if control:
        _check_control(scope, caller)
    else:
        scope, body = await _plain(scope, head, body, caller.service)
    return scope, _replayed(body, receive)


def _check_service(scope: Any, head: Head, caller: Caller) -> None:
    """Refuse what is signed for one service and sent to another."""
    from ministack.core import router
    from ministack.core.iam_actions import SERVICE_TO_IAM_NAMESPACE

    target = head.header("x-amz-target")
    if not target:
        return
    plain = {"host": head.header("host"), "authorization": credential(caller)}
    signed = router.detect_service(head.method, scope["path"], plain, {})
    called = router.detect_service(
        head.method, scope["path"], {**plain, "x-amz-target": target}, {}
    )
    names = {SERVICE_TO_IAM_NAMESPACE.get(one, one) for one in (signed, called)}
    if len(names) > 1 and {signed, called} not in _TOGETHER:
        raise Refused(
            Failure.MISMATCH, f"Credential should be scoped to correct service: '{called}'."
        )


# Services that sign with one name and are two in ministack.
_TOGETHER = (
    {"dynamodb", "dynamodb-streams"},
    {"runtime.sagemaker", "sagemaker"},
    {"cloudcontrol", "cloudcontrolapi"},
)


def credential(caller: Caller) -> str:
    """An Authorization header that tells ministack whose a request is, and for which service."""
    return (
        f"AWS4-HMAC-SHA256 Credential={caller.access_key}/20000101/us-east-1/"
        f"{caller.service}/aws4_request, SignedHeaders=host, Signature=checked"
    )


def _check_control(scope: Any, caller: Caller) -> None:
    """Ask the caller's policies, as for any operation."""
    name = scope["path"].rpartition("/")[2]
    action = f"{CONTROL_SERVICE}:{scope['method'].title()}{name.title()}"
    try:
        identity.authorize(caller.access_key, action, "*")
    except identity.Denied as denied:
        raise Refused(Failure.FORBIDDEN, str(denied)) from denied


async def _plain(scope: Any, head: Head, body: bytes, service: str) -> tuple[Any, bytes]:
    """The path as it was signed, and the body without compression."""
    from urllib.parse import unquote

    normal = authentication.normalized(head.raw_path)
    if normal != head.raw_path:
        scope = {**scope, "raw_path": normal.encode(), "path": unquote(normal)}
    encodings = [
        one.strip()
        for value in head.headers.get("content-encoding", ())
        for one in value.split(",")
    ]
    if "gzip" not in (one.lower() for one in encodings):
        return scope, body
    body = await payloads.inflated(body, service)
    left = ", ".join(one for one in encodings if one.lower() != "gzip")
    kept = [
        one
        for one in scope["headers"]
        if one[0].lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
    ]
    kept += [(b"content-length", b"%d" % len(body))]
    kept += [(b"content-encoding", left.encode("latin-1"))] if left else []
    return {**scope, "headers": kept}, body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once, then whatever the connection tells."""
    given = False

    async def received() -> dict[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


class _Body:
    """A body on its way in; `ended` once all of it is here, or its sender is gone."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def receive(self) -> dict[str, Any]:
        """The next message."""
        message = await self._receive()
        self.ended |= message["type"] != "http.request" or not message.get("more_body", False)
        return message


class _Answers:
    """Sends answers on without a word about other origins."""

    def __init__(self, send: Callable[[Message], Awaitable[None]]) -> None:
        self._send = send
        self.begun = False

    async def send(self, message: Message) -> None:
        """Send one message of an answer."""
        self.begun = True
        if message["type"] == "http.response.start":
            kept = [
                one
                for one in message.get("headers", [])
                if not one[0].lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": kept}
        await self._send(message)


async def _refuse(
    refused: Refused,
    scope: Any,
    headers: Mapping[str, list[str]],
    left: "_Body",
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer at once, in the form of the service; what comes in meanwhile is forgotten."""
    single = {name: values[0] for name, values in headers.items()}
    answer = refusals.answer(refused, _service(scope, single), single)
    has_body = not left.ended and bool({"content-length", "transfer-encoding"} & {*single})
    out = {**answer.headers, "content-length": str(len(answer.body))}
    if has_body:
        out["connection"] = "close"
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.encode(), value.encode()) for name, value in out.items()],
        }
    )
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body, "more_body": has_body})
    if has_body:
        await _drain(left.receive)
        await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    left = _DRAINED_BYTES
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except (TimeoutError, ConnectionResetError, Refused):
        return


def _service(scope: Any, headers: Mapping[str, str]) -> str:
    """The service whose words a refusal is to use."""
    from urllib.parse import parse_qs

    from ministack.core import router

    if scope["path"].startswith("/_") and "/s3/" not in headers.get("authorization", ""):
        return CONTROL_SERVICE
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    said = {**headers}
    if "authorization" not in said and query.get("X-Amz-Credential"):
        said["authorization"] = f"AWS4-HMAC-SHA256 Credential={query['X-Amz-Credential'][0]}"
    try:
        found = str(router.detect_service(scope["method"], scope["path"], said, query))
    except Exception:
        return "sts"
    form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if form and "authorization" not in said and "x-amz-target" not in said:
        # The operation is in the body, which is not read: STS speaks for the query protocol.
        return "sts"
    return found
