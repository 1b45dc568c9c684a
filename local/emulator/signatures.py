"""The root key's signatures are checked like everyone's, and S3 serves nobody without one.

ministack lets whoever names the root access key in, with any secret, and unsigned requests into S3.
"""

import functools
from typing import Any


def install() -> None:
    """Keep requests that name the root key for the check that all others undergo."""
    from ministack import app
    from ministack.core import iam_evaluator

    pin = iam_evaluator.pin_signed_request
    enforce = iam_evaluator.enforce

    @functools.wraps(pin)
    def pinned(
        method: str,
        raw_path: str,
        query_params: dict[str, Any],
        raw_headers: list[tuple[bytes, bytes]],
        handshake: bool = False,
    ) -> None:
        pin(method, raw_path, query_params, raw_headers, handshake)
        if iam_evaluator._signed_request.get() is None:
            found = _by_root(method, raw_path, query_params, raw_headers, handshake)
            iam_evaluator._signed_request.set(found)

    @functools.wraps(enforce)
    def enforced(access_key_id: str, iam_action: str, service: str, *args: Any, **kw: Any) -> Any:
        if service == "s3" and not access_key_id and iam_evaluator._anonymous.get():
            # Buckets block public access, by default on AWS and by template here.
            return iam_evaluator.EvalResult("ImplicitDeny", principal_arn="anonymous")
        return enforce(access_key_id, iam_action, service, *args, **kw)

    iam_evaluator.pin_signed_request = pinned
    iam_evaluator.enforce = enforced
    app.pin_signed_request = pinned


def _by_root(
    method: str,
    raw_path: str,
    query: dict[str, Any],
    raw_headers: list[tuple[bytes, bytes]],
    handshake: bool,
) -> Any:
    """The request of a root key as ministack keeps those of other keys, or None."""
    from ministack.app import _extract_s3_vhost_bucket
    from ministack.core import iam_evaluator
    from ministack.core.router import extract_access_key_id
    from ministack.core.sigv4 import decode_header_value

    headers: dict[str, str] = {}
    for name, value in raw_headers:
        key, text = name.decode("latin-1").lower(), decode_header_value(value)
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    claimed = extract_access_key_id(headers, query)
    if not claimed or not iam_evaluator.is_root_access_key(claimed):
        return None

    def kept(**how: Any) -> Any:
        return iam_evaluator.SignedRequest(
            claimed, method, raw_path, query, headers, handshake=handshake, **how
        )

    authorization = headers.get("authorization", "")
    if authorization.startswith("AWS4-HMAC-SHA256"):
        return kept()
    if not authorization and iam_evaluator._s3_presigned_query(query):
        return kept(presigned=True, s3_scoped=True)
    if not authorization and iam_evaluator._query_signed(query):
        return kept(presigned=True)
    if authorization.startswith("AWS ") or "AWSAccessKeyId" in query:
        bucket = _extract_s3_vhost_bucket(headers.get("host", ""))
        return kept(sigv2=True, auth_path=f"/{bucket}{raw_path}" if bucket else raw_path)
    return kept(unverifiable=True)
