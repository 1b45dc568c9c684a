"""Application Auto Scaling on moto's backend, as an API and for CloudFormation.

moto is imported with the first call, since an idle platform needs none of it, and without its ECS
and EC2, whose tables of instance types hold more than 100 MB.
"""

import functools
import json
import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from local.emulator import services
from local.emulator.environment import ACCOUNT, REGION
from local.emulator.services import Response
from local.emulator.state_keeper import Keeper

NAME = "application-autoscaling"
_TARGET = "AnyScaleFrontendService"
# What passes to moto, and why that pretends nothing. docs/local-platform.md shows this table.
OFFERED = {
    "RegisterScalableTarget": "the target is kept, and with it the limits that it sets",
    "DescribeScalableTargets": "shows what was registered",
    "DeregisterScalableTarget": "forgets the target and its policies",
    "PutScalingPolicy": "the policy is kept, and shown; it scales nothing on a laptop",
    "DescribeScalingPolicies": "shows what was put",
    "DeleteScalingPolicy": "forgets the policy",
}
_READING = "Describe"
# What a target has that belongs to the process.
_BACKEND = "applicationautoscaling_backend"
_importing = threading.Lock()
# What was kept, until moto is imported and takes it up; the call that notes a change.
_kept: dict[str, list[dict[str, Any]]] = {}
_noted: list[Callable[[], None]] = []


class Refused(Exception):
    """The service refused a call."""


def mount() -> None:
    """Serve `application-autoscaling`, evaluated under the caller's policies as any service."""
    from ministack.core import iam_actions

    async def handler(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        return _answer(headers.get("x-amz-target", ""), body)

    iam_actions.SERVICE_TO_IAM_NAMESPACE[NAME] = NAME
    services.register(NAME, handler, target_prefix=f"{_TARGET}.")


def keep(keeper: Keeper) -> None:
    """Let targets and policies outlive this process."""
    _noted[:] = [keeper.also(NAME, _save, _load)]


def _save() -> dict[str, list[dict[str, Any]]]:
    """Targets and policies as their fields: moto's objects hold its backend and its locks."""
    if not _responses.cache_info().currsize:
        return _kept
    backend = _backend()
    targets = [one for group in [*backend.targets.values()] for one in [*group.values()]]
    return {
        "targets": [
            {name: value for name, value in vars(one).items() if name != _BACKEND}
            for one in targets
        ],
        "policies": [{**vars(one)} for one in [*backend.policies.values()]],
    }


def _load(kept: dict[str, list[dict[str, Any]]] | None) -> None:
    _kept.clear()
    _kept.update(kept or {})
    if _responses.cache_info().currsize:
        _take_up()


def _take_up() -> None:
    """Give moto what was kept, in place of what it has."""
    from moto.applicationautoscaling import models

    backend = _backend()
    backend.targets.clear()
    backend.policies.clear()
    for fields in _kept.get("targets", ()):
        target = object.__new__(models.FakeScalableTarget)
        vars(target).update(fields, **{_BACKEND: backend})
        backend._add_scalable_target(target)
    for fields in _kept.get("policies", ()):
        policy = object.__new__(models.FakeApplicationAutoscalingPolicy)
        vars(policy).update(fields)
        key = policy.formulate_key(
            policy.service_namespace,
            policy.resource_id,
            policy.scalable_dimension,
            policy.policy_name,
        )
        backend.policies[key] = policy
    _kept.clear()


def _backend() -> Any:
    from moto.applicationautoscaling import models

    return models.applicationautoscaling_backends[ACCOUNT][REGION]


def call(operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """One operation, in this process.

    Raises:
        Refused: with the service's message.
    """
    status, _, body = _answer(f"{_TARGET}.{operation}", json.dumps(params).encode())
    document: dict[str, Any] = json.loads(body or b"{}")
    if status >= 400:
        raise Refused(document.get("message", document.get("Message", body.decode())))
    return document


class _NoClusters:
    """ECS as moto's auto scaling asks for it: no service runs here, in any account or region."""

    def __getitem__(self, account_or_region: str) -> "_NoClusters":
        return self

    def describe_services(self, cluster: str, services: list[str]) -> tuple[list[Any], list[Any]]:
        """Find nothing."""
        return [], []


@functools.cache
def _responses() -> Any:
    """Moto's Application Auto Scaling."""
    standing_in = ModuleType("moto.ecs")
    standing_in.ecs_backends = _NoClusters()  # type: ignore[attr-defined]
    real = sys.modules.get("moto.ecs")
    sys.modules["moto.ecs"] = real or standing_in
    try:
        from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
    finally:
        if real is None:
            del sys.modules["moto.ecs"]
    _take_up()
    return ApplicationAutoScalingResponse


def _answer(target: str, body: bytes) -> Response:
    operation = target.partition(".")[2]
    if operation not in OFFERED:
        # moto keeps scheduled actions and never runs them: better refused than waited for.
        message = (
            f"{operation} is an operation of Application Auto Scaling that the local platform "
            f"does not offer. It offers: {', '.join(sorted(OFFERED))}."
        )
        document = {"__type": "UnknownOperationException", "message": message}
        return 400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()
    with _importing:
        responses = _responses()
    from moto.core.request import Request

    # moto reads account and region from the signature; it is given this account's.
    headers = {
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/{NAME}/aws4",
    }
    url = f"http://{NAME}.{REGION}.amazonaws.com/"
    request = Request.from_primitives("POST", url, headers, body)
    try:
        status, out_headers, out = responses.dispatch(request, url, headers)
        if not operation.startswith(_READING):
            for note in _noted:
                note()
    except Exception as error:
        from werkzeug.exceptions import HTTPException

        if not isinstance(error, HTTPException):
            raise
        text = error.get_body()
        payload = text if isinstance(text, bytes) else str(text).encode()
        return error.code or 400, {"Content-Type": "application/x-amz-json-1.1"}, payload
    payload = out if isinstance(out, bytes) else str(out).encode()
    return int(status), {str(k): str(v) for k, v in dict(out_headers).items()}, payload
