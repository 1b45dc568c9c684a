"""What calls of Application Auto Scaling are authorized against, and the tags of scalable targets.

A target has an id of its own in its ARN from its registration on, so policies tell targets apart by
their tags. The condition keys of each operation are those of AWS's Service Authorization Reference.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from local.emulator.environment import ACCOUNT, REGION

Params = Mapping[str, Any]

# What moto's targets are given for it, and keep with the rest of their fields.
_TAGS = "smp_tags"
_MOST_TAGS = 50
_BY_TARGET = (
    "RegisterScalableTarget",
    "DeregisterScalableTarget",
    "PutScalingPolicy",
    "DeleteScalingPolicy",
    "PutScheduledAction",
    "DeleteScheduledAction",
)
_BY_ARN = ("TagResource", "UntagResource", "ListTagsForResource")
_NEW = f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/*"


class Unanswerable(Exception):
    """A request about tags that cannot be done; `code` is AWS's name for the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def resource(backend: Any, operation: str, params: Params) -> str:
    """The ARN that an operation is authorized on; a target that is not there yet is any."""
    if operation in _BY_ARN:
        return _text(params, "ResourceARN") or "*"
    if operation not in _BY_TARGET:
        return "*"
    target = _named(backend, params)
    return str(target.arn) if target else _NEW


def context(backend: Any, operation: str, params: Params) -> dict[str, Any]:
    """The condition keys of a request, with the tags of the target that it touches."""
    found: dict[str, Any] = {}
    target = None
    if operation in _BY_TARGET:
        found["application-autoscaling:service-namespace"] = _text(params, "ServiceNamespace")
        found["application-autoscaling:scalable-dimension"] = _text(params, "ScalableDimension")
        target = _named(backend, params)
    elif operation in _BY_ARN:
        target = _at(backend, _text(params, "ResourceARN"))
    if operation in ("RegisterScalableTarget", "TagResource"):
        tags = params.get("Tags")
        given = tags if isinstance(tags, Mapping) else {}
        found |= {f"aws:RequestTag/{key}": str(value) for key, value in given.items()}
        if given:
            found["aws:TagKeys"] = [str(key) for key in given]
    if operation == "UntagResource" and isinstance(params.get("TagKeys"), list):
        found["aws:TagKeys"] = [str(key) for key in params["TagKeys"]]
    return found | {f"aws:ResourceTag/{key}": value for key, value in _tags(target).items()}


def scaled(arn: str, operation: str, params: Params) -> Iterator[tuple[str, str, dict[str, str]]]:
    """What registering a target takes besides: the rights to tag it and to change what it scales.

    Args:
        arn: What the registration itself is authorized on.
        operation: Of Application Auto Scaling.
        params: Its parameters.
    """
    if operation != "RegisterScalableTarget":
        return
    if params.get("Tags"):
        yield "application-autoscaling:TagResource", arn, {}
    kind, _, name = _text(params, "ResourceId").partition("/")
    if kind == "endpoint":
        endpoint = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{name.partition('/')[0]}"
        yield "sagemaker:DescribeEndpoint", endpoint, {}
        yield "sagemaker:UpdateEndpointWeightsAndCapacities", endpoint, {}


def tag(backend: Any, operation: str, params: Params) -> dict[str, Any]:
    """Answer an operation on tags.

    Raises:
        Unanswerable: there is no such target, or it would have too many tags.
    """
    arn = _text(params, "ResourceARN")
    target = _at(backend, arn)
    if target is None:
        raise Unanswerable("ResourceNotFoundException", f"No scalable target found with ARN: {arn}")
    if operation == "ListTagsForResource":
        return {"Tags": dict(_tags(target))}
    tags = dict(_tags(target))
    if operation == "TagResource":
        tags |= {str(key): str(value) for key, value in dict(params.get("Tags") or {}).items()}
        if len(tags) > _MOST_TAGS:
            raise Unanswerable(
                "TooManyTagsException", f"A scalable target has at most {_MOST_TAGS} tags."
            )
    else:
        tags = {key: value for key, value in tags.items() if key not in params.get("TagKeys", ())}
    setattr(target, _TAGS, tags)
    return {}


def check_tags_of_registration(backend: Any, params: Params) -> None:
    """Refuse tags for a target that is there already, which only TagResource changes.

    Raises:
        Unanswerable: there is such a target, and the request has tags.
    """
    if params.get("Tags") and _named(backend, params):
        raise Unanswerable(
            "ValidationException",
            "Tags are for a new scalable target, and this one is registered already; use "
            "TagResource.",
        )


def tag_new(backend: Any, params: Params) -> None:
    """Give a target that was just registered the tags of its registration."""
    target = _named(backend, params)
    if target and params.get("Tags"):
        setattr(target, _TAGS, {str(key): str(value) for key, value in params["Tags"].items()})


def parsed(body: bytes) -> Params:
    """The parameters of a request; none where it is no JSON object."""
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _named(backend: Any, params: Params) -> Any:
    """The target that a request names by resource and dimension, if it is registered."""
    targets = backend.targets.get(_text(params, "ScalableDimension"), {})
    return targets.get(_text(params, "ResourceId"))


def _at(backend: Any, arn: str) -> Any:
    targets = [one for group in [*backend.targets.values()] for one in [*group.values()]]
    return next((one for one in targets if one.arn == arn), None)


def _tags(target: Any) -> dict[str, str]:
    return getattr(target, _TAGS, None) or {}


def _text(params: Params, name: str) -> str:
    value = params.get(name)
    return value if isinstance(value, str) else ""
