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

from local.emulator import identity, scaling_targets, services
from local.emulator.environment import ACCOUNT, REGION
from local.emulator.services import Response
from local.emulator.state_keeper import Keeper
from local.sagemaker import validation
from local.sagemaker.errors import ServiceError

NAME = "application-autoscaling"
_TARGET = "AnyScaleFrontendService"
_JSON = "application/x-amz-json-1.1"
# What is answered, and why that pretends nothing. docs/local-platform.md shows this table.
OFFERED = {
    "RegisterScalableTarget": "the target is kept, and with it the limits that it sets",
    "DescribeScalableTargets": "shows what was registered",
    "DeregisterScalableTarget": "forgets the target and its policies",
    "PutScalingPolicy": "the policy is kept, and shown; it scales nothing on a laptop",
    "DescribeScalingPolicies": "shows what was put",
    "DeleteScalingPolicy": "forgets the policy",
    "TagResource": "policies tell targets apart by their tags",
    "UntagResource": "takes tags away",
    "ListTagsForResource": "shows the tags",
}
_TAGGING = ("TagResource", "UntagResource", "ListTagsForResource")
_READING = ("Describe", "List")
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
    from ministack.core.router import extract_access_key_id

    async def handler(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        target = headers.get("x-amz-target", "")
        key = extract_access_key_id(headers, query)
        try:
            for action, arn, context in also_needed(target.partition(".")[2], body):
                identity.authorize(key, action, arn, context)
        except identity.Denied as error:
            return _error("AccessDeniedException", str(error))
        return _answer(target, body)

    iam_actions.SERVICE_TO_IAM_NAMESPACE[NAME] = NAME
    _authorize_by_target(iam_actions)
    services.register(NAME, handler, target_prefix=f"{_TARGET}.")


def _authorize_by_target(iam_actions: Any) -> None:
    """Have each call evaluated on its target, with the target's tags and the request's keys."""
    resource_of, context_of = iam_actions.extract_resource_arn, iam_actions.request_tag_context

    @functools.wraps(resource_of)
    def resource(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
        region: str,
        account_id: str,
    ) -> str:
        if service != NAME:
            return str(
                resource_of(service, method, path, headers, body, query_params, region, account_id)
            )
        operation = headers.get("x-amz-target", "").partition(".")[2]
        return resource_arn(operation, scaling_targets.parsed(body))

    @functools.wraps(context_of)
    def context(
        service: str, iam_action: str, body: bytes, params: dict[str, Any]
    ) -> dict[str, Any]:
        if service != NAME:
            found: dict[str, Any] = context_of(service, iam_action, body, params)
            return found
        return condition_keys(iam_action.partition(":")[2], scaling_targets.parsed(body))

    iam_actions.extract_resource_arn = resource
    iam_actions.request_tag_context = context


def resource_arn(operation: str, params: Mapping[str, Any]) -> str:
    """What an operation is authorized on."""
    return scaling_targets.resource(_loaded(), operation, params)


def condition_keys(operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """What policies may compare of an operation."""
    return scaling_targets.context(_loaded(), operation, params)


def also_needed(operation: str, body: bytes) -> list[tuple[str, str, dict[str, Any]]]:
    """What a call takes besides its own action: action, resource and condition keys of each."""
    params = scaling_targets.parsed(body)
    arn = resource_arn(operation, params)
    return [
        (action, resource, condition_keys("TagResource", {**params, "ResourceARN": arn}))
        if action == f"{NAME}:TagResource"
        else (action, resource, context)
        for action, resource, context in scaling_targets.scaled(arn, operation, params)
    ]


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


def _loaded() -> Any:
    """Moto's backend, once it has what was kept."""
    with _importing:
        _responses()
    return _backend()


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
        return _error("UnknownOperationException", message)
    backend, params = _loaded(), scaling_targets.parsed(body)
    try:
        validation.checked(operation, params, NAME)
    except ServiceError as error:
        return _error(error.code, error.message)
    try:
        if operation in _TAGGING:
            document = scaling_targets.tag(backend, operation, params)
            _note(operation)
            return 200, {"Content-Type": _JSON}, json.dumps(document).encode()
        if operation == "RegisterScalableTarget":
            scaling_targets.check_tags_of_registration(backend, params)
    except scaling_targets.Unanswerable as error:
        return _error(error.code, str(error))
    return _passed(target, body, backend, params)


def _passed(target: str, body: bytes, backend: Any, params: Mapping[str, Any]) -> Response:
    """What moto answers."""
    operation = target.partition(".")[2]
    responses = _responses()
    from moto.core.request import Request

    # moto reads account and region from the signature; it is given this account's.
    headers = {
        "X-Amz-Target": target,
        "Content-Type": _JSON,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/{NAME}/aws4",
    }
    url = f"http://{NAME}.{REGION}.amazonaws.com/"
    request = Request.from_primitives("POST", url, headers, body)
    try:
        status, out_headers, out = responses.dispatch(request, url, headers)
        if operation == "RegisterScalableTarget" and int(status) < 400:
            scaling_targets.tag_new(backend, params)
        _note(operation)
    except Exception as error:
        from werkzeug.exceptions import HTTPException

        if not isinstance(error, HTTPException):
            raise
        text = error.get_body()
        payload = text if isinstance(text, bytes) else str(text).encode()
        return error.code or 400, {"Content-Type": _JSON}, payload
    payload = out if isinstance(out, bytes) else str(out).encode()
    return int(status), {str(k): str(v) for k, v in dict(out_headers).items()}, payload


def _note(operation: str) -> None:
    """Have what changed written before the answer leaves."""
    if not operation.startswith(_READING):
        for note in _noted:
            note()


def _error(code: str, message: str) -> Response:
    document = {"__type": code, "message": message}
    return 400, {"Content-Type": _JSON}, json.dumps(document).encode()
