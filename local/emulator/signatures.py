"""ministack takes a request that reaches it for the caller's that the gate found.

The gate has checked the whole signature; what ministack would check of it again, and what it lets
in without one, is left out. Paths and hosts that it serves to everybody are not looked at.
"""

import functools
from typing import Any

from local.emulator.gate import CALLER, credential
from local.emulator.root import replace_everywhere

_Response = tuple[int, dict[str, str], bytes]
# Services whose calls ministack knows by their paths; each is evaluated there.
_BY_PATH = frozenset({"rds-data", "ses", "s3tables", "glue", "s3-object-lambda"})


def install() -> None:
    """Hand the gate's caller on, and leave the side doors shut."""
    from ministack import app
    from ministack.core import iam_evaluator, router

    detect = router.detect_service
    shortcuts = app._handle_post_body_shortcuts
    special = app._handle_special_data_plane_request
    enforce = iam_evaluator.enforce

    def pinned(*request: Any, handshake: bool = False) -> None:
        caller = CALLER.get()
        iam_evaluator._signed_request.set(None)
        iam_evaluator._verified_key.set(caller.access_key if caller else "")
        iam_evaluator._anonymous.set(caller is None)

    @functools.wraps(enforce)
    def enforced(access_key_id: str, iam_action: str, service: str, *args: Any, **kw: Any) -> Any:
        if not access_key_id:
            return iam_evaluator.EvalResult("ImplicitDeny", principal_arn="anonymous")
        return enforce(access_key_id, iam_action, service, *args, **kw)

    @functools.wraps(detect)
    def detected(
        method: str, path: str, headers: dict[str, str], query_params: dict[str, Any]
    ) -> str:
        caller = CALLER.get()
        if caller and "authorization" not in headers:
            # A link: its service is the one that it is signed for, whatever its path looks like.
            headers = {**headers, "authorization": credential(caller)}
        return str(detect(method, path, headers, query_params))

    def as_it_came(body: bytes, headers: dict[str, str]) -> bytes:
        # The gate has inflated it, within bounds; ministack knows none.
        return body

    async def nothing_before_the_body(*request: Any) -> None:
        return None

    async def own_addresses(method: str, path: str, *request: Any) -> Any:
        # CloudFormation's, which need no signature.
        return await shortcuts(method, path, *request) if CALLER.get() is None else None

    @functools.wraps(special)
    async def by_service(
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
        request_id: str,
        **more: Any,
    ) -> Any:
        caller = CALLER.get()
        service = caller.service if caller else ""
        if service == "s3":
            return await _s3(method, path, headers, body, query_params, request_id)
        if service in _BY_PATH:
            return await special(method, path, headers, body, query_params, request_id, **more)
        return None

    app._decompress_request_body = as_it_came
    app.pin_signed_request = pinned
    iam_evaluator.pin_signed_request = pinned
    iam_evaluator.enforce = enforced
    app._handle_pre_body_request = nothing_before_the_body
    app._handle_post_body_shortcuts = own_addresses
    app._handle_special_data_plane_request = by_service
    replace_everywhere(detect, detected)


async def _s3(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query: dict[str, Any],
    request_id: str,
) -> _Response | None:
    """S3's control plane, and buckets that the Host names."""
    from ministack import app

    if path.startswith(app._S3_CONTROL_PREFIX):
        return await app._handle_s3_control_request(  # type: ignore[no-any-return]
            path, method, body, query, request_id, headers
        )
    found = await app._handle_s3_vhost_request(
        headers.get("host", ""), path, method, headers, body, query
    )
    if not found:
        return None
    return app._with_data_plane_headers(  # type: ignore[no-any-return]
        found, request_id, include_s3_id=True, wildcard_cors=False
    )
