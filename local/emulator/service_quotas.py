"""Puts Service Quotas behind ministack's front door, with the caller's policies enforced."""

from typing import Any

from local.emulator import sagemaker, services
from local.emulator.identity import principal_of
from local.emulator.services import Response

NAME = "servicequotas"
_TARGET = "ServiceQuotasV20190624."


def mount(service: Any) -> None:
    """Serve `servicequotas`, which neither ministack nor moto has for SageMaker, from `service`."""

    async def handler(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        from ministack.core.router import extract_access_key_id

        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        refused = sagemaker.refusal(service, operation, headers, body, query)
        if refused:
            return refused
        caller = principal_of(extract_access_key_id(headers, query))
        status, out_headers, out = await service.handle(method, path, headers, body, caller)
        return status, dict(out_headers), out

    services.register(NAME, handler, target_prefix=_TARGET)
