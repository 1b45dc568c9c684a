"""One guard before every service: a body that none can take is refused in AWS's words.

ministack's handlers take bodies apart as they come, and answer with the words of a Python exception
where one is not as they expect. Here a body is read by AWS's own description of its operation
first; and what a handler fails at all the same is told by a reference, whose words are in the log.
"""

import functools
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

from local.emulator.api_models import Asked, asked, form_of, model_of
from local.emulator.services import CONTROL, RUNTIME, Response
from local.emulator.wire_shapes import DEPTH, Malformed, form_problem, json_problem, parsed
from local.sagemaker import validation

Dispatch = Callable[..., Awaitable[Response]]

# These check their own requests, and answer in their own words.
_OWN = frozenset({CONTROL, RUNTIME, "servicequotas"})
_FORM = "application/x-www-form-urlencoded"
_MALFORMED_XML = (
    "The XML you provided was not well-formed or did not validate against our published schema"
)
# Query parameters that name what of a bucket or object a body of XML describes.
_XML_OF_S3 = frozenset(
    {
        *("accelerate", "acl", "analytics", "cors"),
        *("delete", "encryption", "intelligent-tiering", "inventory"),
        *("legal-hold", "lifecycle", "logging", "metrics"),
        *("notification", "object-lock", "ownershipControls", "publicAccessBlock"),
        *("replication", "requestPayment", "restore", "retention"),
        *("select", "tagging", "versioning", "website"),
    }
)
_logger = logging.getLogger("smp")


def install() -> None:
    """Put the guard before ministack's dispatch, which authenticated callers reach."""
    from ministack import app

    app._dispatch_service_request = guarded(app._dispatch_service_request)


def guarded(dispatch: Dispatch) -> Dispatch:
    """The dispatch of requests to services, behind the guard."""

    @functools.wraps(dispatch)
    async def dispatched(
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, Any],
        request_id: str,
    ) -> Response:
        from ministack import app

        routing = app._routing_params(method, path, headers, body, query)
        service = str(app.detect_service(method, path, headers, routing))
        form: dict[str, list[str]] = {}
        if headers.get("content-type", "").startswith(_FORM) and service != "s3":
            try:
                form = form_of(body)
            except ValueError:
                return _error("query", 400, "MalformedQueryString", _NO_FORM, request_id)
        fields = {**form, **query}
        if service == RUNTIME:
            return await dispatch(method, path, headers, body, query, request_id)
        found = asked(service, method, path, headers, fields)
        refused = _refused(service, found, method, headers, body, query, form, request_id)
        if refused is not None:
            return refused
        try:
            answer = await dispatch(method, path, headers, body, query, request_id)
        except Exception:
            _logger.exception("%s %s (%s)", method, path, request_id)
        else:
            if answer[0] != 500 or service in _OWN:
                return answer
            _logger.error("%s %s answered 500 (%s)", method, path, request_id)
        return _failed(service, found, headers, body, fields, request_id)

    return dispatched


_NO_FORM = "The request body is no form in UTF-8."


def _refused(
    service: str,
    found: Asked | None,
    method: str,
    headers: Mapping[str, str],
    body: bytes,
    query: Mapping[str, Any],
    form: Mapping[str, Any],
    request_id: str,
) -> Response | None:
    """The answer to a body that no handler is to see, or None."""
    protocol = _protocol(service, found, headers)
    if protocol in ("query", "ec2"):
        if problem := _form_problem(found, {**form, **query}, protocol):
            code = "InvalidParameterValue" if protocol == "ec2" else "ValidationError"
            return _error(protocol, 400, code, problem, request_id)
        return None
    if not body:
        return None
    if protocol == "rest-xml":
        if _is_xml(service, method, query) and not _well_formed(body):
            return _error("s3" if service == "s3" else "query", 400, *_XML_ERROR, request_id)
        return None
    problem = ""
    if protocol == "json":
        problem = _json_problem(found, body, typed=service not in _OWN)
    elif protocol == "rest-json" and found is not None and found.body_shape() is not None:
        problem = _json_problem(found, body, typed=True)
    if not problem:
        return None
    return _error(protocol, 400, "SerializationException", problem, request_id, found)


_XML_ERROR = ("MalformedXML", _MALFORMED_XML)


def _protocol(service: str, found: Asked | None, headers: Mapping[str, str]) -> str:
    if found is not None:
        if found.protocol == "query":
            written = found.operation.service_model.metadata["protocol"]
            return "ec2" if written == "ec2" else "query"
        return found.protocol
    if headers.get("x-amz-target") or "amz-json" in headers.get("content-type", ""):
        return "json"
    if headers.get("content-type", "").startswith(_FORM):
        return "query"
    model = model_of(service)
    return str(model.metadata["protocol"]) if model is not None else "json"


def _json_problem(found: Asked | None, body: bytes, *, typed: bool) -> str:
    try:
        value = parsed(body)
    except Malformed as error:
        return str(error)
    if not isinstance(value, dict):
        return "The request body is not a JSON object."
    shape = found.body_shape() if found is not None and typed else None
    return json_problem(shape, value) if shape is not None else ""


def _form_problem(found: Asked | None, fields: Mapping[str, Any], protocol: str) -> str:
    for values in fields.values():
        if any("\0" in value for value in values if isinstance(value, str)):
            return "A parameter holds a NUL character, which no parameter may have."
    if found is None:
        return ""
    return form_problem(found.operation.input_shape, fields, flat=protocol == "ec2")


def _is_xml(service: str, method: str, query: Mapping[str, Any]) -> bool:
    if service != "s3":
        return True
    if method == "POST":
        return not query.keys().isdisjoint({"delete", "uploadId", "restore", "select"})
    return method == "PUT" and not _XML_OF_S3.isdisjoint(query)


def _well_formed(body: bytes) -> bool:
    """Whether it is XML of no more depth than services take, without a document type."""
    depth = 0

    def begin(name: str, attributes: object) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH:
            raise ValueError

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1

    def refused(*_: object) -> None:
        # Entities that stand for others are how a small text becomes a large one.
        raise ValueError

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refused
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError):
        return False
    return True


def _failed(
    service: str,
    found: Asked | None,
    headers: Mapping[str, str],
    body: bytes,
    fields: Mapping[str, Any],
    request_id: str,
) -> Response:
    """The answer in place of what a handler failed at: the caller's fault where it is one."""
    protocol = _protocol(service, found, headers)
    if protocol == "cbor":
        return _error(protocol, 400, "SerializationException", _NO_CBOR, request_id)
    if protocol == "rest-xml" and body and _looks_like_xml(body):
        return _error("s3" if service == "s3" else "query", 400, *_XML_ERROR, request_id)
    problem = ""
    if found is not None and (shape := found.operation.input_shape) is not None:
        if protocol in ("query", "ec2"):
            missing = [name for name in shape.required_members if not _given(shape, name, fields)]
            if missing:
                problem = f"The request must contain the parameter {missing[0]}."
        elif protocol == "json" or found.body_shape() is shape:
            problem = _violations(shape, body)
    if problem:
        code = "ValidationException" if "json" in protocol else "ValidationError"
        return _error(protocol, 400, code, problem, request_id, found)
    text = (
        f"The local platform failed at this call (reference {request_id}). "
        "smp logs shows where, by this reference."
    )
    code = "InternalError" if service == "s3" else "InternalFailure"
    return _error("s3" if service == "s3" else protocol, 500, code, text, request_id, found)


_NO_CBOR = "The request body is not what the operation takes, in CBOR."


def _looks_like_xml(body: bytes) -> bool:
    return body.lstrip()[:1] == b"<"


def _given(shape: Any, name: str, fields: Mapping[str, Any]) -> bool:
    wire = str(shape.members[name].serialization.get("name", name))
    known = {name.lower(), wire.lower()}
    return any(field.split(".")[0].lower() in known for field in fields)


def _violations(shape: Any, body: bytes) -> str:
    """What of AWS's constraints a body breaks, in AWS's words."""
    try:
        value = json.loads(body or b"{}")
        known = {name: item for name, item in value.items() if name in shape.members}
        problems = [*validation.problems(shape, known)]
    except (re.error, AttributeError, KeyError, TypeError, ValueError):
        return ""
    if not problems:
        return ""
    plural = "s" if len(problems) > 1 else ""
    return f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}"[:4000]


def _error(
    protocol: str,
    status: int,
    code: str,
    message: str,
    request_id: str,
    found: Asked | None = None,
) -> Response:
    """An error as clients of the protocol expect it."""
    headers = {"x-amzn-RequestId": request_id}
    if protocol == "cbor":
        body = b"\xa2" + b"".join(_cbor_text(text) for text in ("__type", code, "message", message))
        return status, {**headers, **_CBOR, "x-amzn-ErrorType": code}, body
    if "json" in protocol:
        version = found.version if found is not None else "1.1"
        kind = f"application/x-amz-json-{version}" if protocol == "json" else "application/json"
        document = {"__type": code, "message": message, "Message": message}
        headers |= {"Content-Type": kind, "x-amzn-ErrorType": code}
        return status, headers, json.dumps(document).encode()
    inner = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if protocol == "s3":
        text = f"<Error>{inner}<RequestId>{request_id}</RequestId></Error>"
        headers = {"x-amz-request-id": request_id}
    elif protocol == "ec2":
        text = (
            f"<Response><Errors><Error>{inner}</Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    else:
        whose = "Sender" if status < 500 else "Receiver"
        text = (
            f"<ErrorResponse><Error><Type>{whose}</Type>{inner}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    headers["Content-Type"] = "application/xml" if protocol == "s3" else "text/xml"
    return status, headers, text.encode()


_CBOR = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}


def _cbor_text(text: str) -> bytes:
    body = text.encode()[:65_535]
    return b"\x79" + len(body).to_bytes(2, "big") + body
