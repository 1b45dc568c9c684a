"""Puts the SageMaker service behind ministack's front door, with the caller's policies enforced."""

import contextvars
import json
from typing import Any

from local.emulator import functions, services
from local.emulator.environment import REGION
from local.emulator.identity import principal_of
from local.emulator.services import Response

_JSON = "application/x-amz-json-1.1"
# The port at the other end of the request's connection.
CALLER_PORT: contextvars.ContextVar[int] = contextvars.ContextVar("smp_caller_port", default=0)


def mount(service: Any) -> None:
    """Serve `sagemaker` and `runtime.sagemaker` from `service`."""

    async def control(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        refused = refusal(service, operation, headers, body, query)
        if refused:
            return refused
        status, out_headers, out = await service.handle(method, path, headers, body, query)
        if status < 400 and service.faults.kills_caller(operation):
            return _killed()
        return status, dict(out_headers), out

    async def runtime(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        parts = path.strip("/").split("/")
        operation = {
            "invocations": "InvokeEndpoint",
            "async-invocations": "InvokeEndpointAsync",
            "invocations-response-stream": "InvokeEndpointWithResponseStream",
        }.get(parts[-1])
        if method != "POST" or len(parts) != 3 or parts[0] != "endpoints" or not operation:
            return _error(404, "UnknownOperationException", f"No operation at {method} {path}.")
        document = {"EndpointName": parts[1]}
        for name in ("TargetModel", "TargetVariant", "InferenceComponentName"):
            value = headers.get(f"x-amzn-sagemaker-{_dashed(name)}")
            if value:
                document[name] = value
        refused = refusal(service, operation, headers, json.dumps(document).encode(), query)
        if refused:
            return refused
        status, out_headers, out = await service.handle_runtime(method, path, headers, body, query)
        return status, dict(out_headers), out

    services.register(services.CONTROL, control, target_prefix="SageMaker.")
    services.register(services.RUNTIME, runtime)
    services.split_runtime()


def _dashed(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def _error(status: int, code: str, message: str) -> Response:
    document = {"__type": code, "message": message, "Message": message}
    return status, {"Content-Type": _JSON, "x-amzn-ErrorType": code}, json.dumps(document).encode()


def _killed() -> Response:
    """Kill the function that called; the answer is for a caller that is none."""
    if functions.kill_caller(CALLER_PORT.get()):
        return _error(500, "InternalFailure", "The caller was killed (an injected fault).")
    message = "The fault kill_caller is for calls of functions, and this caller is no function."
    return _error(500, "InternalFailure", message)


def refusal(
    service: Any, operation: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Response | None:
    """The AccessDeniedException for a caller that may not do this, or None.

    The request's signature was checked by ministack before this handler ran.
    """
    from ministack.core import iam_evaluator
    from ministack.core.iam_actions import identity_denial_message
    from ministack.core.router import extract_access_key_id

    try:
        params = json.loads(body or b"{}")
    except ValueError:
        return _error(400, "SerializationException", "The request body is not JSON.")
    if not isinstance(params, dict):
        return _error(400, "SerializationException", "The request body is not a JSON object.")
    key = extract_access_key_id(headers, query)
    for permission in service.required_permissions(operation, params):
        found = iam_evaluator.enforce(
            key,
            permission.action,
            permission.action.split(":")[0],
            REGION,
            permission.resource,
            dict(permission.context or {}),
        )
        if found is None:
            continue
        if isinstance(found, iam_evaluator.AuthError):
            return _error(403, found.code, found.message)
        return _error(
            400,
            "AccessDeniedException",
            identity_denial_message(
                permission.action,
                principal_of(key),
                permission.resource,
                found.decision == "Deny",
            ),
        )
    return None
