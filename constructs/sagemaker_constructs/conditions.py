"""Conditions of the calls that create something in SageMaker, by what the request must say.

A set operator such as `ForAllValues` is satisfied by a request that leaves the member out, so each
comes with a `Null` that demands it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker_constructs.private_network import Placement

Conditions = Mapping[str, Mapping[str, Any]]

ENDPOINT_TAG = "sagemaker-platform:endpoint"
"""Tag of everything that an endpoint is made of: the endpoint's name, by which roles know it."""

_GIVEN = "false"


def isolated() -> Conditions:
    """The container reaches no network."""
    return {"Bool": {"sagemaker:NetworkIsolation": "true"}}


def encrypted_between_hosts() -> Conditions:
    """Hosts of one job encrypt what they send each other."""
    return {"Bool": {"sagemaker:InterContainerTrafficEncryption": "true"}}


def on(instance_types: Sequence[str]) -> Conditions:
    """It runs on these instance types and on no other."""
    key = "sagemaker:InstanceTypes"
    return {"ForAllValues:StringEquals": {key: list(instance_types)}, "Null": {key: _GIVEN}}


def within(placement: Placement | None) -> Conditions:
    """It runs in these subnets and this security group; anywhere, without a placement."""
    if placement is None:
        return {}
    subnets, groups = "sagemaker:VpcSubnets", "sagemaker:VpcSecurityGroupIds"
    return {
        "ForAllValues:StringEquals": {
            subnets: placement.subnet_ids,
            groups: [placement.group.security_group_id],
        },
        "Null": {subnets: _GIVEN, groups: _GIVEN},
    }


def merged(*conditions: Conditions) -> dict[str, dict[str, Any]]:
    """All of them at once."""
    found: dict[str, dict[str, Any]] = {}
    for condition in conditions:
        for operator, keys in condition.items():
            found.setdefault(operator, {}).update(keys)
    return found
