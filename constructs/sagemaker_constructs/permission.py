"""What one act takes, as statements of a policy and the reasons of their wildcards."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns


@dataclass(frozen=True)
class Permission:
    """What one act takes, and why its wildcards are what they are, by resource."""

    statements: tuple[iam.PolicyStatement, ...]
    wildcards: Mapping[str, str] = field(default_factory=dict)


def merged(permissions: Iterable[Permission]) -> dict[str, str]:
    """The reasons of all wildcards."""
    return {resource: why for one in permissions for resource, why in one.wildcards.items()}


def permission(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    wildcards: Mapping[str, str] | None = None,
    conditions: Mapping[str, Mapping[str, Any]] | None = None,
) -> Permission:
    """A permission of one statement."""
    return Permission(
        (
            iam.PolicyStatement(
                sid=sid,
                actions=list(actions),
                resources=list(resources),
                conditions=dict(conditions) if conditions else None,
            ),
        ),
        wildcards or {},
    )


def encrypted(found: Permission, key: kms.IKey, service: str, *actions: str) -> Permission:
    """`found`, and the key as far as `service` uses it for whoever has the permission."""
    (statement,) = found.statements
    use_key = iam.PolicyStatement(
        sid=f"{statement.sid}Key",
        actions=list(actions),
        resources=[key.key_arn],
        conditions={
            "StringEquals": {"kms:ViaService": f"{service}.{Stack.of(key).region}.amazonaws.com"}
        },
    )
    return Permission((statement, use_key), found.wildcards)


def tell(topic: sns.ITopic, key: kms.IKey) -> Permission:
    """Publish to the topic, whose key asks who publishes."""
    return encrypted(
        permission("TellTopic", ["sns:Publish"], [topic.topic_arn]),
        key,
        "sns",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    )
