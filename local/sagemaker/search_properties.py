"""The properties that Search knows of a resource, after AWS's own description of the resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from botocore.model import ListShape, MapShape, Shape, StructureShape
from botocore.utils import parse_timestamp

from local.sagemaker.errors import invalid
from local.sagemaker.validation import service_model

_NUMBERS = ("integer", "long", "float", "double")
_BY_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": lambda value, limit: value > limit,
    "GreaterThanOrEqualTo": lambda value, limit: value >= limit,
    "LessThan": lambda value, limit: value < limit,
    "LessThanOrEqualTo": lambda value, limit: value <= limit,
}
# Properties that are written as NAME.KEY: of lists of pairs, by the members of a pair.
_PAIRS = {"Tags": ("Key", "Value"), "Metrics": ("MetricName", "Value")}
_METRICS = "FinalMetricDataList"
# The members of SearchRecord that are not called as their resource.
_MEMBERS = {"ExperimentTrial": "Trial", "ExperimentTrialComponent": "TrialComponent"}


@dataclass(frozen=True)
class Property:
    """One property of a resource, such as `HyperParameters.k` or `InputDataConfig.ChannelName`."""

    name: str
    path: tuple[str, ...]
    kind: str

    @property
    def listed(self) -> bool:
        """Whether it is a list, whose elements nested filters look at."""
        return self.kind == "list"

    def values(self, document: Any, after: Property | None = None) -> list[Any]:  # noqa: ANN401
        """Every value that a resource has of the property; one in a list has several.

        With `after`, `document` is an element of that property, which is a list.
        """
        path = self.path[len(after.path) :] if after else self.path
        return [*_walk(document, path)]


def member(resource: str) -> str:
    """The member of a result that holds a resource."""
    return _MEMBERS.get(resource, resource)


def shape(resource: str) -> StructureShape:
    """AWS's description of a resource as Search answers it."""
    if resource == "Model":
        # What a result holds is the model with its endpoints: the model is a member of its own.
        return cast(StructureShape, service_model().shape_for("Model"))
    record = cast(StructureShape, service_model().shape_for("SearchRecord"))
    found = record.members.get(member(resource))
    if not isinstance(found, StructureShape):
        raise invalid(f"{resource} is no resource that Search answers.")
    return found


def of(resource: str, name: str) -> Property:
    """Find a property by its name.

    Raises:
        ServiceError: when the resource has none of the name.
    """
    path = tuple(name.split("."))
    inside: tuple[str, ...] = ()
    current: Shape = shape(resource)
    if resource == "Model":
        inside, path = ("Model",), path[1:] if path[0] == "Model" else path
    if path and path[0] in _PAIRS and len(path) > 1:
        return Property(name, (*inside, path[0], ".".join(path[1:])), "pair")
    for number, part in enumerate(path):
        if isinstance(current, ListShape):
            current = current.member
        if isinstance(current, MapShape):
            key = ".".join(path[number:])
            return Property(name, (*inside, *path[:number], key), "pair")
        if not isinstance(current, StructureShape) or part not in current.members:
            raise invalid(f"{resource} has no property {name!r} to search by.")
        current = current.members[part]
    return Property(name, (*inside, *path), current.type_name)


def condition(found: Property, given: Mapping[str, Any]) -> Callable[[list[Any]], bool]:
    """The condition that a filter puts on the values of a property.

    Raises:
        ServiceError: when the filter has no value, or the operator is not for the property's type.
    """
    operator, text = given.get("Operator", "Equals"), given.get("Value")
    if operator in ("Exists", "NotExists"):
        if text is not None:
            raise invalid(f"The operator {operator} of {found.name} takes no Value.")
        return (lambda values: bool(values)) if operator == "Exists" else (lambda vs: not vs)
    if text is None:
        raise invalid(f"The operator {operator} of {found.name} needs a Value.")
    if operator in ("Contains", "In"):
        if found.kind not in ("string", "pair"):
            raise invalid(f"The operator {operator} is for text properties; {found.name} is none.")
        if operator == "Contains":
            return lambda values: any(text in str(value) for value in values)
        among = {one.strip() for one in text.split(",")}
        return lambda values: any(str(value) in among for value in values)
    if operator in _BY_ORDER:
        if found.kind in ("string", "boolean"):
            raise invalid(
                f"The operator {operator} is not for text properties, and {found.name} is one."
            )
        limit, compare = _value(found, text), _BY_ORDER[operator]
        return lambda values: any(
            compare(value, limit) for value in _numbers(found, values) if value is not None
        )
    equal = _equal(found, text)
    if operator == "NotEquals":
        return lambda values: not any(map(equal, values))
    return lambda values: any(map(equal, values))


def number(value: object) -> float | None:
    """A value as a number, or None where it is none."""
    if isinstance(value, bool):
        return float(value)
    try:
        return float(str(value))
    except ValueError:
        return None


def _equal(found: Property, text: str) -> Callable[[Any], bool]:
    if found.kind == "boolean":
        return lambda value: str(value).lower() == text.lower()
    if found.kind in (*_NUMBERS, "timestamp"):
        wanted = _value(found, text)
        return lambda value: bool(value == wanted)
    if found.kind == "pair" and number(text) is not None:
        return lambda value: str(value) == text or number(value) == number(text)
    return lambda value: str(value) == text


def _value(found: Property, text: str) -> float:
    if found.kind == "timestamp":
        try:
            return float(parse_timestamp(text).timestamp())
        except (ValueError, OverflowError):
            raise invalid(
                f"{text!r} is no time for {found.name}: write YYYY-mm-ddTHH:MM:SS."
            ) from None
    value = number(text)
    if value is None:
        raise invalid(f"{text!r} is no number, and {found.name} is compared by one.")
    return value


def _numbers(found: Property, values: list[Any]) -> Iterator[float | None]:
    return (number(value) for value in values)


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[Any]:  # noqa: ANN401 (any document)
    if isinstance(value, list) and path:
        for one in value:
            yield from _walk(one, path)
        return
    if not path:
        if value is not None:
            if isinstance(value, list):
                yield from value
            else:
                yield value
        return
    if not isinstance(value, dict):
        return
    head, *rest = path
    if head in _PAIRS and len(rest) == 1:
        key, held = _PAIRS[head]
        for pair in value.get(_METRICS if head == "Metrics" else head, ()):
            if pair.get(key) == rest[0]:
                yield pair.get(held)
        return
    if head in value:
        yield from _walk(value[head], tuple(rest))
