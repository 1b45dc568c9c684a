"""The front of the emulator that answers only what is written."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from xml.sax.saxutils import escape

from local.emulator.state_file import NotWritten
from local.emulator.state_keeper import Keeper

Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]


def durable(application: Application, keeper: Keeper) -> Application:
    """Let each answer wait until the state it tells of is on disk; else it is an error."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        refused = False

        async def sent(message: Message) -> None:
            nonlocal refused
            if refused:
                return
            if message["type"] == "http.response.start":
                try:
                    await keeper.settle()
                except NotWritten as error:
                    refused = True
                    for part in _refusal(scope, message, str(error)):
                        await send(part)
                    return
            await send(message)

        await application(scope, receive, sent)

    return served


def _refusal(scope: Any, answer: Message, reason: str) -> list[Message]:
    """An answer of the same protocol, which clients take for a fault of the service."""
    text = (
        f"The local platform could not write its state ({reason}), and did nothing. "
        "Free some space on its disk and call again."
    )
    kinds = [value for name, value in answer.get("headers", []) if name.lower() == b"content-type"]
    names = dict(scope.get("headers", []))
    if b"/s3/aws4_request" in names.get(b"authorization", b""):
        kind = b"application/xml"
        body = f"<Error><Code>InternalError</Code><Message>{escape(text)}</Message></Error>"
    elif any(b"xml" in one for one in kinds):
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
