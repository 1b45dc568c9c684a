"""Why a request is not served, in the words and the form of the service that it was meant for."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from xml.sax.saxutils import escape


class Failure(Enum):
    """A reason, with what S3, the query protocol and the JSON protocols call it.

    The statuses are S3's own, and 403 or 413 for all other services.
    """

    MISSING = (
        403,
        "AccessDenied",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
    )
    INCOMPLETE = (
        400,
        "AuthorizationHeaderMalformed",
        "IncompleteSignature",
        "IncompleteSignatureException",
    )
    QUERY = (
        400,
        "AuthorizationQueryParametersError",
        "IncompleteSignature",
        "IncompleteSignatureException",
    )
    TWICE = 400, "InvalidArgument", "IncompleteSignature", "IncompleteSignatureException"
    UNSUPPORTED = 400, "InvalidRequest", "IncompleteSignature", "IncompleteSignatureException"
    UNKNOWN_KEY = 403, "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"
    TOKEN = 400, "InvalidToken", "InvalidClientTokenId", "UnrecognizedClientException"
    EXPIRED_TOKEN = 400, "ExpiredToken", "ExpiredToken", "ExpiredTokenException"
    SKEWED = 403, "RequestTimeTooSkewed", "RequestTimeTooSkewed", "InvalidSignatureException"
    EXPIRED = 403, "AccessDenied", "RequestExpired", "InvalidSignatureException"
    UNSIGNED_HEADERS = 403, "AccessDenied", "SignatureDoesNotMatch", "InvalidSignatureException"
    MISMATCH = 403, "SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException"
    BODY = (
        400,
        "XAmzContentSHA256Mismatch",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
    )
    BODY_HASH = 400, "InvalidArgument", "SignatureDoesNotMatch", "InvalidSignatureException"
    CHUNKS = 400, "IncompleteBody", "IncompleteBody", "SerializationException"
    TOO_LARGE = 400, "EntityTooLarge", "RequestEntityTooLarge", "RequestEntityTooLargeException"
    BUSY = 503, "SlowDown", "ServiceUnavailable", "ServiceUnavailableException"
    MALFORMED = 400, "InvalidRequest", "MalformedInput", "SerializationException"
    FORBIDDEN = 403, "AccessDenied", "AccessDenied", "AccessDeniedException"

    @property
    def query_status(self) -> int:
        """The status of every service but S3."""
        return {"TOO_LARGE": 413, "BUSY": 503, "MALFORMED": 400, "CHUNKS": 400}.get(self.name, 403)


class Refused(Exception):
    """A request that is not served."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def answer(refused: Refused, service: str, headers: Mapping[str, str]) -> Answer:
    """Write a refusal as `service` would, for a caller who sent `headers`."""
    from ministack.core import iam_actions

    status, s3_code, query_code, json_code = refused.failure.value
    protocol = iam_actions._SERVICE_PROTOCOL.get(service, "json")
    kind = headers.get("content-type", "") + headers.get("smithy-protocol", "")
    if service in iam_actions._CBOR_CAPABLE and ("json" in kind or "cbor" in kind):
        protocol = "json"
    if service == "sqs" and "x-amz-target" not in headers:
        protocol = "query-xml"
    said, request = escape(str(refused)), str(uuid.uuid4())
    if protocol == "rest-xml":
        if service != "s3":
            status, s3_code = refused.failure.query_status, query_code
        document = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{s3_code}</Code><Message>{said}</Message>"
            f"<RequestId>{request}</RequestId></Error>"
        )
        return _written(status, request, "application/xml", document)
    status = refused.failure.query_status
    if protocol == "ec2-xml":
        document = (
            f"<Response><Errors><Error><Code>{query_code}</Code><Message>{said}</Message></Error>"
            f"</Errors><RequestID>{request}</RequestID></Response>"
        )
        return _written(status, request, "text/xml", document)
    if protocol == "query-xml":
        namespace = iam_actions._QUERY_XML_NS.get(
            service, "https://iam.amazonaws.com/doc/2010-05-08/"
        )
        document = (
            f'<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type>'
            f"<Code>{query_code}</Code><Message>{said}</Message></Error>"
            f"<RequestId>{request}</RequestId></ErrorResponse>"
        )
        return _written(status, request, "text/xml", document)
    document = json.dumps({"__type": json_code, "message": str(refused), "Message": str(refused)})
    written = _written(status, request, "application/x-amz-json-1.1", document)
    more = {"x-amzn-errortype": json_code}
    if service == "sqs":
        more["x-amzn-query-error"] = f"{query_code};Sender"
    return Answer(status, {**written.headers, **more}, written.body)


def _written(status: int, request: str, kind: str, text: str) -> Answer:
    return Answer(status, {"content-type": kind, "x-amzn-requestid": request}, text.encode())
