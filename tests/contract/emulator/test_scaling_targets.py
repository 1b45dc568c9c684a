"""Calls of Application Auto Scaling are evaluated on their target, its tags and the request."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ACCOUNT, Server, allow

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
TEAM = "aws:ResourceTag/team"
NEW = "aws:RequestTag/team"
# Registering a target changes what it scales, which takes the right to do so.
SCALED = allow("sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities")


def target(name: str) -> dict[str, str]:
    resource = f"endpoint/{name}/variant/main"
    return {"ServiceNamespace": "sagemaker", "ResourceId": resource, "ScalableDimension": DIMENSION}


@pytest.fixture(scope="module")
def registered(server: Server) -> Iterator[dict[str, str]]:
    """ARNs of the targets of two teams, by the team."""
    scaling = server.client("application-autoscaling")
    yield {
        team: scaling.register_scalable_target(
            **target(team), MinCapacity=1, MaxCapacity=2, Tags={"team": team}
        )["ScalableTargetARN"]
        for team in ("a", "b")
    }
    for team in ("a", "b"):
        scaling.deregister_scalable_target(**target(team))


def acting(server: Server, name: str, *statements: dict[str, Any]) -> Any:
    server.role(name, "", *statements, trust=f"arn:aws:iam::{ACCOUNT}:root")
    return server.assumed("application-autoscaling", name)


def test_a_target_has_the_tags_that_it_was_given(
    server: Server, registered: dict[str, str]
) -> None:
    scaling, arn = server.client("application-autoscaling"), registered["a"]
    scaling.tag_resource(ResourceARN=arn, Tags={"more": "1"})
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "a", "more": "1"}
    scaling.untag_resource(ResourceARN=arn, TagKeys=["more"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "a"}
    with pytest.raises(scaling.exceptions.ResourceNotFoundException):
        scaling.list_tags_for_resource(ResourceARN=f"{arn}-none")
    with pytest.raises(scaling.exceptions.ValidationException, match="use TagResource"):
        scaling.register_scalable_target(**target("a"), Tags={"team": "b"})


def test_policies_tell_targets_apart_by_tags_dimension_and_namespace(
    server: Server, registered: dict[str, str]
) -> None:
    keys = {"application-autoscaling:service-namespace": "sagemaker"}
    mine = acting(
        server,
        "scaling-a",
        SCALED,
        allow("application-autoscaling:*", StringEquals={TEAM: "a", **keys}),
    )
    mine.register_scalable_target(**target("a"), MinCapacity=1, MaxCapacity=3)
    for call, more in (
        (mine.register_scalable_target, {"MinCapacity": 0, "MaxCapacity": 1}),
        (mine.deregister_scalable_target, {}),
        (mine.delete_scaling_policy, {"PolicyName": "p"}),
    ):
        with pytest.raises(ClientError, match="not authorized"):
            call(**target("b"), **more)
    elsewhere = acting(
        server,
        "scaling-elsewhere",
        SCALED,
        allow(
            "application-autoscaling:*",
            StringEquals={"application-autoscaling:scalable-dimension": "ecs:service:DesiredCount"},
        ),
    )
    with pytest.raises(ClientError, match="not authorized"):
        elsewhere.deregister_scalable_target(**target("b"))


def test_a_registration_takes_the_right_to_tag_and_to_change_what_is_scaled(
    server: Server,
) -> None:
    register = allow("application-autoscaling:RegisterScalableTarget", StringEquals={NEW: "c"})
    tag = allow("application-autoscaling:TagResource", StringEquals={NEW: "c"})
    request = {**target("c"), "MinCapacity": 1, "MaxCapacity": 2, "Tags": {"team": "c"}}
    for number, (statements, lacking) in enumerate(
        (
            ([register, tag], "sagemaker:DescribeEndpoint"),
            ([register, SCALED], "application-autoscaling:TagResource"),
            ([tag, SCALED], "application-autoscaling:RegisterScalableTarget"),
        )
    ):
        client = acting(server, f"scaling-new-{number}", *statements)
        with pytest.raises(ClientError, match=f"not authorized to perform: {lacking}"):
            client.register_scalable_target(**request)
    client = acting(server, "scaling-new", register, tag, SCALED)
    with pytest.raises(ClientError, match="not authorized"):
        client.register_scalable_target(**{**request, "Tags": {"team": "d"}})
    client.register_scalable_target(**request)
    server.client("application-autoscaling").deregister_scalable_target(**target("c"))
