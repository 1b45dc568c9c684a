"""Reasons for the wildcards of a policy, kept beside the statements that have them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import jsii
from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from constructs import Construct, IValidation


class Grants(Protocol):
    """A part of a role's policy."""

    def statements(self) -> list[iam.PolicyStatement]:
        """The statements of the policy."""

    def wildcards(self) -> Mapping[str, str]:
        """Why each wildcard of the statements is there, by resource."""


def acknowledge_wildcards(construct: Construct, reasons: Mapping[str, str]) -> None:
    """Tell cdk-nag why the policies of `construct` need each wildcard resource.

    cdk-nag knows a wildcard by the resource's text in the template. An ARN that comes from another
    stack gets its text only while synthesizing, so the resources are named here as the policy names
    them, and looked up then.

    Args:
        construct: Role or policy, or what holds them.
        reasons: Why, by resource as the statement has it.
    """
    construct.node.add_validation(_Acknowledgments(construct, reasons))


def all_reasons(groups: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The reasons of several groups of statements, for a policy that holds them all."""
    found: dict[str, str] = {}
    for resource, reason in (item for group in groups for item in group.items()):
        found[resource] = f"{found[resource]} {reason}" if resource in found else reason
    return found


@jsii.implements(IValidation)
class _Acknowledgments:
    """Acknowledges at the one moment when references are resolved and nothing is written yet."""

    def __init__(self, construct: Construct, reasons: Mapping[str, str]) -> None:
        self._construct = construct
        self._reasons = reasons

    def validate(self) -> list[str]:
        stack = Stack.of(self._construct)
        Validations.of(self._construct).acknowledge(
            *(
                Acknowledgment(
                    id=f"AwsSolutions-IAM5[Resource::{_text(stack.resolve(resource))}]",
                    reason=reason,
                )
                for resource, reason in self._reasons.items()
            )
        )
        return []


def _text(resolved: Any) -> str:  # noqa: ANN401 - any part of a template
    """A resource of a policy in the words of cdk-nag."""
    match resolved:
        case str():
            return resolved
        case {"Fn::Join": [separator, [*parts]]}:
            return str(separator).join(_text(part) for part in parts)
        case {"Fn::GetAtt": [resource, attribute]}:
            return f"<{resource}.{attribute}>"
        case {"Ref": name}:
            return f"<{name}>"
    return json.dumps(resolved, separators=(",", ":"))
