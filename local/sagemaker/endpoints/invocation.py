"""InvokeEndpoint: from the caller's request to a model server and back."""

import asyncio
import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import Protocol, cast
from urllib.parse import unquote

from botocore.model import Shape, StructureShape

from local.sagemaker import validation
from local.sagemaker.endpoints.capture import Capture
from local.sagemaker.endpoints.connections import (
    Connections,
    NoReply,
    NotConnected,
    Reply,
    ReplyTooLarge,
)
from local.sagemaker.endpoints.deployment import LOG_GROUP, Deployment, Variant
from local.sagemaker.endpoints.measures import Measures
from local.sagemaker.endpoints.server import ModelServer
from local.sagemaker.limits import Limits

Answer = tuple[int, dict[str, str], bytes]

_CUSTOM = "x-amzn-sagemaker-custom-attributes"
_VARIANT = "x-amzn-sagemaker-target-variant"
_PASSED_ON = {
    "content-type": "Content-Type",
    "accept": "Accept",
    _CUSTOM: "X-Amzn-SageMaker-Custom-Attributes",
    "x-amzn-sagemaker-target-model": "X-Amzn-SageMaker-Target-Model",
    _VARIANT: "X-Amzn-SageMaker-Target-Variant",
    "x-amzn-sagemaker-inference-id": "X-Amzn-SageMaker-Inference-Id",
    "x-amzn-sagemaker-session-id": "X-Amzn-SageMaker-Session-Id",
    "x-amzn-sagemaker-enable-explanations": "X-Amzn-SageMaker-Enable-Explanations",
    "x-amzn-sagemaker-target-container-hostname": "X-Amzn-SageMaker-Target-Container-Hostname",
    "x-amzn-sagemaker-inference-component": "X-Amzn-SageMaker-Inference-Component",
}
_NOT_OFFERED = (
    "x-amzn-sagemaker-target-model",
    "x-amzn-sagemaker-inference-component",
    "x-amzn-sagemaker-target-container-hostname",
)
_CUSTOM_LIMIT = 1024
_SHOWN = 1024
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the "
    "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


class Live(Protocol):
    """An endpoint that can be asked."""

    deployment: Deployment
    captures: Mapping[str, Capture]


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more


class Invocations:
    """Answers `POST /endpoints/NAME/invocations`."""

    def __init__(
        self,
        find: Callable[[str], Live | None],
        *,
        account: str,
        region: str,
        limits: Limits,
        measures: Measures,
    ) -> None:
        self._find = find
        self._account = account
        self._region = region
        self._limits = limits
        self._measures = measures
        self._connections = Connections()

    async def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Answer a request of the runtime API."""
        began = time.perf_counter()
        try:
            name = _endpoint_name(method, path)
            given = {name.lower(): value for name, value in headers.items()}
            self._check(name, given, body)
            return await self._invoke(name, given, body, began)
        except _Refused as error:
            return _error(error)

    def _check(self, name: str, headers: Mapping[str, str], body: bytes) -> None:
        if len(body) > self._limits.payload:
            raise _Refused(413, "", f"HTTP content length exceeded {self._limits.payload} bytes.")
        custom = headers.get(_CUSTOM, "")
        if len(custom) > _CUSTOM_LIMIT or not (custom.isascii() and custom.isprintable()):
            raise _invalid(
                f"CustomAttributes must be at most {_CUSTOM_LIMIT} visible US-ASCII characters."
            )
        for header in _NOT_OFFERED:
            if headers.get(header):
                raise _invalid(f"The endpoint takes no {_PASSED_ON[header]}: it has one container.")
        shape, members = _members()
        said = {member: headers[header] for header, member in members if headers.get(header)}
        broken = [*validation.problems(shape, {"EndpointName": name, "Body": body, **said})]
        if broken:
            plural = "s" if len(broken) > 1 else ""
            raise _invalid(f"{len(broken)} validation error{plural} detected: {'; '.join(broken)}")

    async def _invoke(
        self, name: str, headers: Mapping[str, str], body: bytes, began: float
    ) -> Answer:
        live = self._find(name)
        if live is None:
            raise _invalid(f"Endpoint {name} of account {self._account} not found.")
        variant, server = self._server(live, name, headers.get(_VARIANT, ""))
        passed = {
            written: headers[read] for read, written in _PASSED_ON.items() if headers.get(read)
        }
        asked = time.perf_counter()
        status = 0
        try:
            reply = await self._ask(name, server, passed, body)
            status = reply.status
        finally:
            server.leave()
            now = time.perf_counter()
            self._measures.invoked(
                name,
                variant.name,
                status=status,
                model=now - asked,
                overhead=asked - began,
                size=variant.size,
            )
        if not 200 <= status < 300:
            text = reply.body[:_SHOWN].decode("utf-8", "replace")
            raise self._model_error(name, server, status, text)
        capture = live.captures.get(variant.name)
        if capture is not None:
            capture.add(
                (headers.get("content-type", ""), body),
                (reply.headers.get("content-type", ""), reply.body),
                custom=headers.get(_CUSTOM, ""),
                inference_id=headers.get("x-amzn-sagemaker-inference-id", ""),
            )
        answered = {"x-Amzn-Invoked-Production-Variant": variant.name}
        if "content-type" in reply.headers:
            answered["Content-Type"] = reply.headers["content-type"]
        if _CUSTOM in reply.headers:
            answered["X-Amzn-SageMaker-Custom-Attributes"] = reply.headers[_CUSTOM]
        return 200, answered, reply.body

    def _server(self, live: Live, name: str, target: str) -> tuple[Variant, ModelServer]:
        # Between finding a deployment and asking one of its servers, an update may have put
        # another in its place: then the second look finds that one.
        tried = ""
        for _ in range(2):
            deployment = live.deployment
            variant = deployment.variant(target) if target else deployment.choose()
            if variant is None:
                raise _invalid(
                    f"Variant {target} of endpoint {name} does not exist."
                    if target
                    else f"No variant of endpoint {name} has a weight above 0."
                )
            server = variant.server()
            if server is not None:
                return variant, server
            tried = variant.name
            live = self._find(name) or live
        raise _Refused(
            503,
            "ServiceUnavailable",
            f"No model server of variant {tried} of endpoint {name} is ready: it is being "
            "started again. Please try again.",
        )

    async def _ask(
        self, name: str, server: ModelServer, headers: Mapping[str, str], body: bytes
    ) -> Reply:
        try:
            async with asyncio.timeout(self._limits.invocation):
                return await self._connections.post(
                    server.port,
                    "/invocations",
                    {**headers, **server.headers},
                    body,
                    self._limits.payload,
                )
        except TimeoutError as error:
            raise self._model_error(name, server, 0, _TIMED_OUT) from error
        except ReplyTooLarge as error:
            text = f"The answer is longer than {self._limits.payload} bytes."
            raise self._model_error(name, server, 0, text) from error
        except NoReply as error:
            text = f"The model server ended the connection without an answer ({error})."
            raise self._model_error(name, server, 500, text) from error
        except NotConnected as error:
            raise _Refused(
                503,
                "ServiceUnavailable",
                f"The model server of endpoint {name} takes no connection: it is being started "
                "again. Please try again.",
            ) from error

    def _model_error(self, name: str, server: ModelServer, status: int, text: str) -> _Refused:
        side = "client" if 400 <= status < 500 else "server"
        console = (
            f"https://{self._region}.console.aws.amazon.com/cloudwatch/home?region={self._region}"
            f"#logEventViewer:group={LOG_GROUP}/{name}"
        )
        return _Refused(
            424,
            "ModelError",
            f'Received {side} error ({status}) from primary with message "{text}". '
            f"See {console} in account {self._account} for more information.",
            OriginalStatusCode=status,
            OriginalMessage=text,
            LogStreamArn=server.log_stream_arn,
        )


@functools.cache
def _members() -> tuple[Shape, list[tuple[str, str]]]:
    """AWS's description of an invocation, and the headers that say its members."""
    operation = validation.operation_model("InvokeEndpoint", "sagemaker-runtime")
    shape = cast(StructureShape, operation.input_shape)
    headers = [
        (str(member.serialization["name"]).lower(), name)
        for name, member in shape.members.items()
        if member.serialization.get("location") == "header"
    ]
    return shape, headers


def _endpoint_name(method: str, path: str) -> str:
    parts = path.split("/")
    if method != "POST" or len(parts) != 4 or parts[1] != "endpoints":
        raise _Refused(404, "UnknownOperationException", f"No operation at {method} {path}.")
    if parts[3] != "invocations":
        raise _Refused(
            404,
            "UnknownOperationException",
            f"The local platform offers /invocations only, and no {parts[3]} yet.",
        )
    return unquote(parts[2])


def _invalid(message: str) -> _Refused:
    return _Refused(400, "ValidationError", message)


def _error(error: _Refused) -> Answer:
    document = {"Message": error.message, "message": error.message, **error.more}
    headers = {"Content-Type": "application/json"}
    if error.code:
        headers["x-amzn-ErrorType"] = error.code
    return error.status, headers, json.dumps(document).encode()
