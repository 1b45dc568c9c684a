"""Signature Version 4 as AWS checks it: all that can be told from a request's head.

What ministack checks of signatures is not asked any more: a request that passes here is its key's.
"""

import functools
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote

from local.emulator.environment import REGION
from local.emulator.refusals import Failure, Refused

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
UNSIGNED_CHUNKS = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_AND_TRAILER = f"{SIGNED_CHUNKS}-TRAILER"
_CHUNKED = frozenset({UNSIGNED_CHUNKS, SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER})
_EMPTY = hashlib.sha256(b"").hexdigest()
_SKEW = timedelta(minutes=15)
_WEEK = 604_800
_HEX = re.compile(r"[0-9a-f]{64}")
_TIMESTAMP = re.compile("[0-9]{8}T[0-9]{6}Z")
_FIELD = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]*)")
_AUTHORIZED = re.compile(rf"{ALGORITHM}\s+([^,\s]+)\s*,\s*([^,\s]+)\s*,\s*([^,\s]+)\s*")
_QUERY_NAMES = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
)
# What says in a query that it is signed, in Signature Version 4 or 2.
_SIGNING = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-signature", "awsaccesskeyid"})
# What a request may not say twice: which of two is meant is anybody's guess.
_SINGLE = frozenset(
    {"authorization", "content-length", "content-md5", "content-type", "date", "host", "origin"}
)
Headers = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Head:
    """A request without its body."""

    method: str
    # As it was sent, with its percent signs.
    raw_path: str
    query: Sequence[tuple[str, str]]
    headers: Headers

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> "Head":
        """Read an ASGI scope, with the query as ministack reads it.

        Raises:
            Refused: The head says one thing twice.
        """
        from ministack.core.sigv4 import decode_header_value

        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(
                decode_header_value(value)
            )
        for name, values in headers.items():
            if len(values) > 1 and (name in _SINGLE or name.startswith("x-amz-")):
                raise Refused(Failure.TWICE, f"The header {name!r} is sent {len(values)} times.")
        raw_path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
        raw_query = scope.get("query_string", b"").decode("utf-8", "replace")
        try:
            query = parse_qsl(raw_query, keep_blank_values=True)
        except ValueError as error:
            raise Refused(Failure.MALFORMED, f"The query cannot be read: {error}.") from error
        return cls(scope["method"], raw_path, query, headers)

    def header(self, name: str) -> str:
        """A header's value; empty without one."""
        return (self.headers.get(name) or [""])[0]


@dataclass(frozen=True)
class Signature:
    """What a request says of its signature."""

    access_key: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str
    timestamp: str
    token: str
    presigned: bool = False
    expires: int = 0

    @property
    def scope(self) -> str:
        """The credential's scope."""
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True)
class Caller:
    """Whose key signed a request, and for which service; `account` is the key's."""

    access_key: str
    account: str
    service: str


@dataclass(frozen=True)
class Signed:
    """A signed request whose head is in order; `payload` says how its body is signed."""

    caller: Caller
    head: Head
    signature: Signature
    key: bytes
    # A hash, one of the words above, or empty when the hash of the body is yet to be computed.
    payload: str

    def check(self, payload: str) -> None:
        """Compare the signature with that of the request with a body of this hash.

        Raises:
            Refused: It is another.
        """
        if not hmac.compare_digest(self._expected(payload), self.signature.value):
            raise Refused(
                Failure.MISMATCH,
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method.",
            )

    def _expected(self, payload: str) -> str:
        signature, head = self.signature, self.head
        path = head.raw_path
        if signature.service != "s3":
            path = quote(normalized(path), safe="/-_.~")
        lines = [head.method, path, _canonical_query(head.query, presigned=signature.presigned)]
        for name in signature.signed_headers:
            values = [" ".join(value.split()) for value in head.headers.get(name, ())]
            lines.append(f"{name}:{','.join(values)}")
        lines += ["", ";".join(signature.signed_headers), payload]
        hashed = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        return self.sign("\n".join([ALGORITHM, signature.timestamp, signature.scope, hashed]))

    def sign(self, text: str) -> str:
        """A signature with this request's signing key."""
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()


def normalized(path: str) -> str:
    """A path without empty and dot segments, as every service but S3 reads it."""
    from ministack.core.sigv4 import _remove_dot_segments

    return str(_remove_dot_segments(path))


def authenticate(head: Head) -> Signed | Caller:
    """Check all of a signature that can be checked before the body is read.

    Of a link of S3 that is signed in Version 2, which boto3 still makes, the caller is all there
    is to know.

    Raises:
        Refused: The request is not signed, by nobody's key, or not as AWS wants it.
    """
    authorization = head.header("authorization")
    signing = _SIGNING & {name.lower() for name, _ in head.query}
    if authorization and signing:
        raise Refused(
            Failure.TWICE,
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature "
            "query string parameter or the Authorization header should be specified",
        )
    if authorization:
        signature = _in_header(head, authorization)
    elif "awsaccesskeyid" in signing:
        return _version_2(head)
    elif signing:
        signature = _in_query(head)
    else:
        raise Refused(
            Failure.MISSING,
            'Request is missing Authentication Token. Sign it with a key: eval "$(smp env)"',
        )
    _check_headers(head, signature)
    _check_time(signature)
    caller, secret = _caller(signature)
    signed = Signed(
        caller,
        head,
        signature,
        _signing_key(secret, signature.day, signature.region, signature.service),
        _payload(head, signature),
    )
    if signed.payload:
        signed.check(signed.payload)
    return signed


def _in_header(head: Head, authorization: str) -> Signature:
    if not authorization.startswith(f"{ALGORITHM} "):
        raise Refused(
            Failure.UNSUPPORTED,
            "The authorization mechanism you have provided is not supported. "
            f"Please use {ALGORITHM}.",
        )
    parts = _AUTHORIZED.fullmatch(authorization)
    found = [_FIELD.fullmatch(part) for part in parts.groups()] if parts else []
    fields = {match[1]: match[2] for match in found if match}
    if len(fields) != 3 or not all(fields.values()):
        raise Refused(
            Failure.INCOMPLETE,
            "Authorization header requires one each of Credential, SignedHeaders and Signature.",
        )
    timestamp = head.header("x-amz-date") or _from_date(head.header("date"))
    return _signature(
        fields["Credential"],
        fields["SignedHeaders"],
        fields["Signature"],
        timestamp,
        head.header("x-amz-security-token"),
        Failure.INCOMPLETE,
    )


def _from_date(date: str) -> str:
    if _TIMESTAMP.fullmatch(date):
        return date
    try:
        return parsedate_to_datetime(date).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (TypeError, ValueError, IndexError):
        return ""


def _in_query(head: Head) -> Signature:
    fields: dict[str, str] = {}
    for name, value in head.query:
        known = next((one for one in _QUERY_NAMES if one.lower() == name.lower()), "")
        if not known:
            continue
        if known in fields or name != known:
            raise Refused(Failure.QUERY, f"The parameter {known} is given twice, or misspelt.")
        fields[known] = value
    missing = [name for name in _QUERY_NAMES[:6] if not fields.get(name)]
    service = (fields.get("X-Amz-Credential", "").split("/") + [""] * 4)[3]
    if service != "s3" and missing == ["X-Amz-Expires"]:
        fields["X-Amz-Expires"] = str(int(_SKEW.total_seconds()))
        missing = []
    if missing or fields["X-Amz-Algorithm"] != ALGORITHM:
        raise Refused(
            Failure.QUERY,
            "Query-string authentication version 4 requires the X-Amz-Algorithm, "
            "X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and "
            "X-Amz-Expires parameters.",
        )
    expires = fields["X-Amz-Expires"]
    if not (expires.isascii() and expires.isdigit() and 0 < int(expires[:9]) <= _WEEK):
        raise Refused(
            Failure.QUERY, f"X-Amz-Expires must be between 1 and {_WEEK} seconds, a week."
        )
    return _signature(
        fields["X-Amz-Credential"],
        fields["X-Amz-SignedHeaders"],
        fields["X-Amz-Signature"],
        fields["X-Amz-Date"],
        fields.get("X-Amz-Security-Token", ""),
        Failure.QUERY,
        presigned=True,
        expires=int(expires),
    )


def _signature(
    credential: str,
    names: str,
    value: str,
    timestamp: str,
    token: str,
    malformed: Failure,
    *,
    presigned: bool = False,
    expires: int = 0,
) -> Signature:
    scope = credential.split("/")
    if len(scope) != 5 or scope[4] != "aws4_request" or not all(scope):
        raise Refused(
            malformed,
            "The credential is malformed; expecting <ACCESS-KEY>/YYYYMMDD/REGION/SERVICE/"
            "aws4_request.",
        )
    key, day, region, service, _ = scope
    if not _TIMESTAMP.fullmatch(timestamp):
        raise Refused(malformed, "X-Amz-Date must be in the ISO8601 form YYYYMMDDTHHMMSSZ.")
    if timestamp[:8] != day:
        raise Refused(malformed, "Invalid credential date. Date is not the same as X-Amz-Date.")
    if region != REGION:
        raise Refused(malformed, f"The region {region!r} is wrong; expecting {REGION!r}.")
    signed = tuple(names.split(";"))
    if [*signed] != sorted({name.lower() for name in signed}) or not all(signed):
        raise Refused(malformed, "SignedHeaders must be names in lower case, each once, sorted.")
    if not _HEX.fullmatch(value):
        raise Refused(Failure.MISMATCH, "The signature must be 64 hexadecimal digits.")
    return Signature(key, day, region, service, signed, value, timestamp, token, presigned, expires)


def _check_headers(head: Head, signature: Signature) -> None:
    """Refuse a header that says something, and that anybody might have added."""
    needed = {"host"} | {name for name in head.headers if name.startswith("x-amz-")}
    if not signature.presigned:
        needed |= {"content-type", "content-md5"} & {*head.headers}
        if not head.header("x-amz-date"):
            needed.add("date")
    unsigned = sorted(needed - {*signature.signed_headers})
    if unsigned:
        raise Refused(
            Failure.UNSIGNED_HEADERS,
            "There were headers present in the request which were not signed: "
            + ", ".join(unsigned),
        )


def _check_time(signature: Signature) -> None:
    now = datetime.now(UTC)
    try:
        signed = datetime.strptime(signature.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused(Failure.INCOMPLETE, "X-Amz-Date is no date.") from None
    ends = signed + (timedelta(seconds=signature.expires) if signature.presigned else _SKEW)
    if now > ends and signature.presigned:
        raise Refused(Failure.EXPIRED, "Request has expired")
    if now > ends or now < signed - _SKEW:
        raise Refused(
            Failure.SKEWED,
            "The difference between the request time and the current time is too large: signed at "
            f"{signature.timestamp}, now {now:%Y%m%dT%H%M%SZ}, at most 15 minutes.",
        )


def _caller(signature: Signature) -> tuple[Caller, str]:
    """The owner of the signature's key, and the key's secret."""
    account, secret = secret_of(signature.access_key, signature.token)
    return Caller(signature.access_key, account, signature.service), secret


def secret_of(access_key: str, token: str) -> tuple[str, str]:
    """The account and the secret of a key that is in use; of a session's, with its token.

    Raises:
        Refused: Nobody has this key, or the token is not its own.
    """
    from ministack.core import iam_evaluator
    from ministack.core.responses import _account_from_sts_session

    unknown = Refused(Failure.UNKNOWN_KEY, "The security token included in the request is invalid.")
    try:
        account = _account_from_sts_session(access_key)
        account = account or iam_evaluator.find_iam_access_key_account(access_key)
    except iam_evaluator.AmbiguousAccessKeyError:
        raise unknown from None
    found = iam_evaluator.resolve_credential(access_key, account, token)
    if not isinstance(found, iam_evaluator.CredentialResolutionError):
        return str(found.account_id), str(found.secret_access_key)
    if found.code == "ExpiredTokenException":
        raise Refused(Failure.EXPIRED_TOKEN, found.message)
    if found.code == "InvalidToken" and token:
        raise Refused(Failure.TOKEN, found.message)
    raise unknown


@functools.lru_cache(maxsize=512)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def _payload(head: Head, signature: Signature) -> str:
    """How the body is signed; empty when its hash is to be computed."""
    said = head.header("x-amz-content-sha256")
    if signature.service != "s3":
        if said and not _HEX.fullmatch(said):
            raise Refused(Failure.BODY_HASH, "x-amz-content-sha256 must be the body's SHA-256.")
        return said
    if signature.presigned:
        named = [value for name, value in head.query if name == "X-Amz-Content-Sha256"]
        said = named[0] if named else said or UNSIGNED
    if not said:
        raise Refused(
            Failure.UNSUPPORTED, "Missing required header for this request: x-amz-content-sha256"
        )
    if said not in _CHUNKED and said != UNSIGNED and not _HEX.fullmatch(said):
        raise Refused(
            Failure.BODY_HASH,
            f"x-amz-content-sha256 must be {UNSIGNED}, {', '.join(sorted(_CHUNKED))}, "
            "or a valid sha256 value.",
        )
    return said


def _canonical_query(query: Sequence[tuple[str, str]], *, presigned: bool) -> str:
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in query
        if not (presigned and name == "X-Amz-Signature")
    )
    return "&".join(f"{name}={value}" for name, value in pairs)


def _version_2(head: Head) -> Caller:
    """The caller of a link that S3's clients signed in Version 2."""
    from ministack.app import _extract_s3_vhost_bucket
    from ministack.core import iam_evaluator

    fields = {"AWSAccessKeyId": "", "Signature": "", "Expires": "", "x-amz-security-token": ""}
    exact = {name.lower(): name for name in fields}
    for name, value in head.query:
        known = exact.get(name.lower())
        if known is None:
            continue
        if fields[known] or name != known:
            raise Refused(Failure.QUERY, f"The parameter {known} is given twice, or misspelt.")
        fields[known] = value
    expires = fields["Expires"]
    if not (expires.isascii() and expires.isdigit()) or int(expires[:15]) < time.time():
        raise Refused(Failure.EXPIRED, "Request has expired")
    key = fields["AWSAccessKeyId"]
    account, _ = secret_of(key, fields["x-amz-security-token"])
    bucket = _extract_s3_vhost_bucket(head.header("host"))
    found = iam_evaluator._sigv2_check(
        iam_evaluator.SignedRequest(
            key,
            head.method,
            head.raw_path,
            {name: [value] for name, value in head.query},
            {name: ",".join(values) for name, values in head.headers.items()},
            sigv2=True,
            auth_path=f"/{bucket}{head.raw_path}" if bucket else head.raw_path,
        ),
        account,
    )
    if isinstance(found, iam_evaluator.AuthError):
        raise Refused(Failure.MISMATCH, found.message)
    return Caller(key, account, "s3")
