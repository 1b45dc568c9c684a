"""The front of the emulator that answers only what is written."""

import json
import logging
import re
import uuid
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any
from xml.sax.saxutils import escape

from local.emulator.refusals import Refused
from local.emulator.state_file import NotWritten
from local.emulator.state_keeper import Keeper

Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]
_logger = logging.getLogger("smp")


def durable(application: Application, keeper: Keeper) -> Application:
    """Let each answer wait until the state it tells of is on disk; else it is an error."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        begun = refused = False
        asked = _Asked(scope, receive)

        async def refuse(answer: Message, text: str) -> None:
            nonlocal begun, refused
            begun = refused = True
            for part in _refusal(scope, answer, text):
                await send(part)

        async def sent(message: Message) -> None:
            nonlocal begun
            if refused:
                return
            if message["type"] == "http.response.start":
                try:
                    await keeper.settle()
                except NotWritten as error:
                    if asked.reads():
                        # It promises nothing that is not on the disk; what is seen of others'
                        # calls has been taken back, or is told again.
                        await send(message)
                        return
                    text = (
                        f"The local platform could not write its state ({error}), and did nothing. "
                        "Free some space on its disk and call again."
                    )
                    await refuse(message, text)
                    return
            begun = True
            await send(message)

        try:
            await application(scope, asked.receive, sent)
        except Refused:
            # What the gate finds in the body, which it reads while this is served.
            raise
        except Exception:
            if begun:
                raise
            # Its words are for the log: they may name folders of this machine.
            reference = uuid.uuid4()
            _logger.exception("%s %s (reference %s)", scope["method"], scope["path"], reference)
            text = (
                f"The local platform failed at this call (reference {reference}). "
                "Call again; smp logs shows where, by this reference."
            )
            await refuse({}, text)

    return served


class _Asked:
    """Whether a request reads alone: by its method, or by the name of its operation."""

    def __init__(self, scope: Any, receive: Callable[[], Coroutine[Any, Any, Message]]) -> None:
        self._scope = scope
        self._receive = receive
        self._begin = b""

    async def receive(self) -> Message:
        """Give the next part of the request; where a form begins, its action is named."""
        message = await self._receive()
        if len(self._begin) < _FORM_BEGIN:
            self._begin += message.get("body", b"")[:_FORM_BEGIN]
        return message

    def reads(self) -> bool:
        """Whether it changes nothing, so that there is nothing of it to keep."""
        headers = dict(self._scope.get("headers", []))
        form = self._scope.get("query_string", b"")
        if headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded"):
            form = self._begin + b"&" + form
        path = self._scope["path"]
        if target := headers.get(b"x-amz-target", b""):
            name = target.decode("latin-1").rpartition(".")[2]
        elif found := _ACTION.search(form):
            name = found[1].decode()
        elif headers.get(b"smithy-protocol"):
            name = path.rpartition("/")[2]
        else:
            return (
                self._scope["method"] in ("GET", "HEAD") or _INVOCATION.fullmatch(path) is not None
            )
        return _READING.match(name) is not None


# An action stands near the beginning of a form.
_FORM_BEGIN = 4096
_ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]+)(?:&|$)")
_READING = re.compile(
    r"(BatchGet|Describe|Get(?!.*Token)|Head|List|Lookup|Query|Scan|Search|Simulate)"
)
_INVOCATION = re.compile(r"/endpoints/[^/]+/invocations")


def _refusal(scope: Any, answer: Message, text: str) -> list[Message]:
    """An answer of the call's protocol, which clients take for a fault of the service."""
    asked = dict(scope.get("headers", []))
    kinds = [value for name, value in answer.get("headers", []) if name.lower() == b"content-type"]
    form = asked.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded")
    if b"/s3/aws4_request" in asked.get(b"authorization", b""):
        kind = b"application/xml"
        body = f"<Error><Code>InternalError</Code><Message>{escape(text)}</Message></Error>"
    elif any(b"xml" in one for one in kinds) or (form and not kinds):
        kind = b"text/xml"
        body = (
            "<ErrorResponse><Error><Type>Receiver</Type><Code>InternalFailure</Code>"
            f"<Message>{escape(text)}</Message></Error></ErrorResponse>"
        )
    else:
        kind = b"application/x-amz-json-1.1"
        body = json.dumps({"__type": "InternalFailure", "message": text})
    return [
        {
            "type": "http.response.start",
            "status": 500,
            "headers": [(b"content-type", kind), (b"content-length", b"%d" % len(body.encode()))],
        },
        {"type": "http.response.body", "body": body.encode()},
    ]
