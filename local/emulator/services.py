"""Registers the services that ministack does not have."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

Response = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Response]]

CONTROL = "sagemaker"
RUNTIME = "runtime.sagemaker"


def register(name: str, handler: Handler, *, target_prefix: str = "") -> None:
    """Route the calls of one service to `handler`, by their target header or credential scope."""
    from ministack import app
    from ministack.core import router

    app.SERVICE_HANDLERS[name] = handler
    router.SERVICE_PATTERNS[name] = {
        "target_prefixes": [target_prefix] if target_prefix else [],
        "credential_scope": name,
    }


def split_runtime() -> None:
    """Tell SageMaker's two services apart, which sign with one credential scope.

    Both modules hold a reference to `detect_service`, so both are replaced.
    """
    from ministack import app
    from ministack.core import router

    detect = router.detect_service

    @functools.wraps(detect)
    def detected(
        method: str, path: str, headers: dict[str, str], query_params: dict[str, Any]
    ) -> str:
        found = str(detect(method, path, headers, query_params))
        if found == CONTROL and not headers.get("x-amz-target"):
            return RUNTIME
        return found

    router.detect_service = detected
    app.detect_service = detected
