"""The CloudFormation types of Application Auto Scaling."""

from collections.abc import Mapping
from typing import Any

from local.emulator import autoscaling

TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
_KEYS = ("ServiceNamespace", "ResourceId", "ScalableDimension")


def install() -> None:
    """Register both types."""
    from ministack.services.cloudformation import provisioners

    autoscaling.mount()
    provisioners._RESOURCE_HANDLERS[TARGET] = {
        "create": lambda logical_id, props, stack: _register(props, tags(props)),
        "update": lambda physical_id, old, new, stack: _update(old, new),
        "delete": _deregister,
    }
    provisioners._RESOURCE_HANDLERS[POLICY] = {
        "create": lambda logical_id, props, stack: _put(props),
        "update": lambda physical_id, old, new, stack: _put(new),
        "delete": _delete_policy,
    }
    provisioners._STACK_TAG_PROPERTY[TARGET] = ("Tags", "list")
    provisioners._REPLACING_PROPERTIES[TARGET] = _KEYS
    provisioners._REPLACING_PROPERTIES[POLICY] = (*_KEYS, "PolicyName", "ScalingTargetId")


def identifier(props: dict[str, Any]) -> str:
    """What Ref gives for a scalable target: resource, dimension and namespace."""
    return f"{props['ResourceId']}|{props['ScalableDimension']}|{props['ServiceNamespace']}"


def keys(props: dict[str, Any]) -> dict[str, str]:
    """The three keys of a target; a policy may name them by its target's identifier."""
    target = props.get("ScalingTargetId")
    if target:
        resource, dimension, namespace = str(target).split("|")
        return dict(zip(_KEYS, (namespace, resource, dimension), strict=True))
    return {key: str(props[key]) for key in _KEYS}


def tags(props: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a target in a template, without those that are CloudFormation's own."""
    listed = props.get("Tags") or []
    return {one["Key"]: str(one["Value"]) for one in listed if not one["Key"].startswith("aws:")}


def retagged(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The tags that an update sets, and the keys that it takes away."""
    before, after = tags(old), tags(new)
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    return changed, sorted(set(before) - set(after))


def _update(old: dict[str, Any], new: dict[str, Any]) -> Any:
    found = _register(new, {})
    arn = found[1]["ScalableTargetARN"]
    changed, removed = retagged(old, new)
    if changed:
        autoscaling.call("TagResource", {"ResourceARN": arn, "Tags": changed})
    if removed:
        autoscaling.call("UntagResource", {"ResourceARN": arn, "TagKeys": removed})
    return found


def _register(props: dict[str, Any], new_tags: dict[str, str]) -> Any:
    params: dict[str, Any] = keys(props)
    if new_tags:
        params["Tags"] = new_tags
    for name in ("MinCapacity", "MaxCapacity"):
        if name in props:
            params[name] = int(props[name])
    for name in ("RoleARN", "SuspendedState"):
        if props.get(name):
            params[name] = props[name]
    _check_resource(params)
    answer = autoscaling.call("RegisterScalableTarget", params)
    found = identifier(params)
    return found, {"Id": found, "ScalableTargetARN": answer.get("ScalableTargetARN", "")}


def _check_resource(params: dict[str, Any]) -> None:
    if params["MaxCapacity"] < params["MinCapacity"]:
        raise ValueError(
            f"MaxCapacity {params['MaxCapacity']} is below MinCapacity {params['MinCapacity']}"
        )


def _deregister(physical_id: str, props: dict[str, Any]) -> None:
    _tolerating_absence("DeregisterScalableTarget", keys(props))


def _put(props: dict[str, Any]) -> Any:
    params: dict[str, Any] = {
        **keys(props),
        "PolicyName": props["PolicyName"],
        "PolicyType": props["PolicyType"],
    }
    for name in ("TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration"):
        if props.get(name):
            params[name] = props[name]
    targets = autoscaling.call(
        "DescribeScalableTargets",
        {
            "ServiceNamespace": params["ServiceNamespace"],
            "ResourceIds": [params["ResourceId"]],
            "ScalableDimension": params["ScalableDimension"],
        },
    )["ScalableTargets"]
    if not targets:
        raise ValueError(
            "No scalable target registered for service namespace: "
            f"{params['ServiceNamespace']}, resource ID: {params['ResourceId']}, scalable "
            f"dimension: {params['ScalableDimension']}"
        )
    arn = autoscaling.call("PutScalingPolicy", params)["PolicyARN"]
    return arn, {"Arn": arn, "ScalableDimension": params["ScalableDimension"]}


def _delete_policy(physical_id: str, props: dict[str, Any]) -> None:
    _tolerating_absence("DeleteScalingPolicy", {**keys(props), "PolicyName": props["PolicyName"]})


def _tolerating_absence(operation: str, params: dict[str, Any]) -> None:
    try:
        autoscaling.call(operation, params)
    except autoscaling.Refused as error:
        # Deregistering a target deletes its policies, so a policy may be gone before its turn.
        if not str(error).startswith("No scal"):
            raise
