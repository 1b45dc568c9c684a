"""Conditions that are written with more than parameters, as the bootstrap template's are."""

import functools
from collections.abc import Mapping
from typing import Any

_RESOLVED = frozenset({"Fn::FindInMap", "Fn::Join", "Fn::Split", "Fn::Sub"})


def install() -> None:
    """Resolve functions and pseudo parameters inside of conditions.

    ministack compares them unresolved: the policies of the bootstrap's execution role, for one,
    came out empty. Each of its modules holds its own reference to the evaluation.
    """
    from ministack.services.cloudformation import changesets, engine, handlers, stacks

    evaluate = engine._evaluate_conditions

    @functools.wraps(evaluate)
    def evaluated(template: dict[str, Any], params: dict[str, Any]) -> Any:
        conditions = template.get("Conditions")
        if conditions:
            mappings = template.get("Mappings", {})
            template = {**template, "Conditions": _resolved(conditions, params, mappings)}
        return evaluate(template, params)

    for module in (engine, changesets, handlers, stacks):
        module._evaluate_conditions = evaluated


def _resolved(value: Any, params: Mapping[str, Any], mappings: Mapping[str, Any]) -> Any:
    from ministack.services.cloudformation import engine

    if isinstance(value, list):
        return [_resolved(item, params, mappings) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, inner),) = value.items()
        pseudo = name == "Ref" and str(inner).startswith("AWS::")
        if pseudo or name in _RESOLVED:
            return engine._resolve_refs(value, {}, params, {}, mappings, "", "")
    return {name: _resolved(inner, params, mappings) for name, inner in value.items()}
