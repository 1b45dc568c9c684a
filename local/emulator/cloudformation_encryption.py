"""The keys of tables and topics, which ministack's CloudFormation leaves out.

Without them nobody who reads a row or publishes a message would be asked for the key.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

_Apply = Callable[[str, Mapping[str, Any]], None]


def install() -> None:
    """Encrypt a table and a topic as their templates say."""
    _afterwards("AWS::DynamoDB::Table", _encrypt_table)
    _afterwards("AWS::SNS::Topic", _encrypt_topic)


def _afterwards(resource_type: str, apply: _Apply) -> None:
    """Call `apply` with physical id and properties once a resource is created or updated."""
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS[resource_type]
    create, update = handlers["create"], handlers["update"]

    @functools.wraps(create)
    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        made = create(logical_id, props, stack_name)
        apply(made[0], props)
        return made

    @functools.wraps(update)
    def updated(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> Any:
        made = update(physical_id, old, new, *rest)
        apply(made[0], new)
        return made

    handlers.update({"create": created, "update": updated})


def _encrypt_table(name: str, props: Mapping[str, Any]) -> None:
    from ministack.services import dynamodb

    given = props.get("SSESpecification") or {}
    dynamodb._tables[name]["SSEDescription"] = dynamodb._sse_description_from_spec(
        {**given, "Enabled": given.get("SSEEnabled", False)} if given else None
    )


def _encrypt_topic(arn: str, props: Mapping[str, Any]) -> None:
    from ministack.services import sns

    attributes = sns._topic_by_arn_any_scope(arn)["attributes"]
    attributes.pop("KmsMasterKeyId", None)
    if props.get("KmsMasterKeyId"):
        attributes["KmsMasterKeyId"] = props["KmsMasterKeyId"]
