"""The front of the emulator that answers only what is written."""

import json
import logging
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
                    text = (
                        f"The local platform could not write its state ({error}), and did nothing. "
                        "Free some space on its disk and call again."
                    )
                    await refuse(message, text)
                    return
            begun = True
            await send(message)

        try:
            await application(scope, receive, sent)
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
