"""Reasons for the wildcards of a policy, kept beside the statements that have them."""

import json
from collections.abc import Mapping
from typing import Any

import jsii
from aws_cdk import Acknowledgment, Stack, Validations
from constructs import Construct, IValidation


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
