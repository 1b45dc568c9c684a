"""The JSON 1.1 protocol, in which AWS's control planes are asked and answer."""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

from local.sagemaker.errors import ServiceError, disk_refusal

Answer = tuple[int, dict[str, str], bytes]

_CONTENT_TYPE = "application/x-amz-json-1.1"

_log = logging.getLogger(__name__)


def operation(headers: Mapping[str, str], prefix: str) -> str:
    """The operation that a request's target names; another service's keeps its prefix."""
    target = next((v for k, v in headers.items() if k.lower() == "x-amz-target"), "")
    return target.removeprefix(prefix)


async def answered(
    workers: Executor,
    operation: str,
    body: bytes,
    call: Callable[[str, dict[str, Any]], Mapping[str, Any]],
) -> Answer:
    """Let a worker do what a request asks for, and word its result or its error."""
    try:
        params = _parsed(body)
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(workers, lambda: call(operation, params))
    except ServiceError as error:
        return _answer(
            error.status,
            {"__type": error.code, "message": error.message},
            {"x-amzn-ErrorType": error.code},
        )
    except Exception as error:
        if remedy := disk_refusal(error):
            return _answer(500, {"__type": "InternalFailure", "message": remedy})
        # What went wrong in here is for the log, and may name folders of this machine.
        reference = str(uuid.uuid4())
        _log.exception("%s (reference %s)", operation, reference)
        message = f"The local platform failed at this call (reference {reference}); see smp logs."
        return _answer(500, {"__type": "InternalFailure", "message": message})
    return _answer(200, result)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        params = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise ServiceError("SerializationException", "The body is no JSON.") from None
    if not isinstance(params, dict):
        raise ServiceError("SerializationException", "The body is no JSON object.")
    return params


def _answer(
    status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Answer:
    return (
        status,
        {
            "Content-Type": _CONTENT_TYPE,
            "x-amzn-RequestId": str(uuid.uuid4()),
            **(headers or {}),
        },
        json.dumps(document).encode(),
    )
