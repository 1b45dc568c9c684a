"""Roles of templates keep the permissions boundary that limits them, which ministack drops."""

import functools
from typing import Any

_TYPE = "AWS::IAM::Role"
_PROPERTY = "PermissionsBoundary"


def install() -> None:
    """Set, change and remove a role's boundary with its other properties."""
    from ministack.services import iam
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS[_TYPE]
    create, update = handlers["create"], handlers["update"]

    @functools.wraps(create)
    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        boundary = _known(props)
        made = create(logical_id, props, stack_name)
        iam._roles.get(made[0])[_PROPERTY] = boundary
        return made

    @functools.wraps(update)
    def updated(
        physical_id: str,
        old_props: dict[str, Any],
        new_props: dict[str, Any],
        stack_name: str,
        logical_id: str | None = None,
    ) -> Any:
        boundary = _known(new_props)
        made = update(physical_id, old_props, new_props, stack_name, logical_id)
        iam._roles.get(made[0])[_PROPERTY] = boundary
        return made

    handlers["create"], handlers["update"] = created, updated


def _known(props: dict[str, Any]) -> str:
    """The boundary of a template, which must be a policy that is there.

    Raises:
        ValueError: in IAM's words.
    """
    from ministack.services import iam

    boundary = str(props.get(_PROPERTY) or "")
    if boundary and not iam._policy_exists(boundary):
        raise ValueError(f"Scope ARN: {boundary} does not exist or is not attachable.")
    return boundary
