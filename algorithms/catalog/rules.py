"""Rules between hyperparameters, and the conditions on which they hold."""

import operator
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from algorithms.catalog.values import Entry, Range, Scalar, Value, text

# By hyperparameter, the values (with * for anything) of which one must be set; all must hold.
Condition = dict[str, tuple[Scalar, ...]]

_COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def holds(condition: Condition, values: Mapping[str, Value]) -> bool:
    """Whether `values`, defaults included, meet the condition."""
    return all(
        name in values and any(_matches(values[name], wanted) for wanted in allowed)
        for name, allowed in condition.items()
    )


def described(condition: Condition) -> str:
    """Give a condition in words that follow `when`."""
    return " and ".join(f"{name} is {_either(allowed)}" for name, allowed in condition.items())


def _either(values: tuple[Scalar, ...]) -> str:
    *others, last = map(text, values)
    return f"{', '.join(others)} or {last}" if others else last


def _matches(value: Value, wanted: Scalar) -> bool:
    return fnmatchcase(_plain(value), text(wanted))


def _plain(value: Value) -> str:
    if isinstance(value, list):
        return ",".join(text(element) for element in value)
    return text(value)


def _state(condition: Condition, values: Mapping[str, Value]) -> str:
    return " and ".join(
        f"{name} is {_plain(values[name]) if name in values else 'not set'}" for name in condition
    )


class Requirement(Entry):
    """When something that is otherwise optional must be given."""

    when: Condition | None = None
    content_types: tuple[str, ...] = ()
    message: str | None = None

    @model_validator(mode="after")
    def _has_a_reason(self) -> Self:
        if self.when is None and not self.content_types:
            raise ValueError("a requirement needs when or content_types")
        return self


class OnlyWith(Entry):
    """A hyperparameter (or some values or elements of it) that a condition must allow."""

    rule: Literal["only-with"]
    name: str
    values: tuple[str, ...] = ()
    when: Condition
    message: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters that the rule is about."""
        return self.name, *self.when

    def problem(self, values: Mapping[str, Value], given: set[str]) -> str | None:
        """Say in a sentence how `values` break the rule; None where they keep it."""
        if self.name not in given or holds(self.when, values):
            return None
        value = values[self.name]
        parts = value if isinstance(value, list) else [value]
        found = [
            text(part)
            for part in parts
            if any(fnmatchcase(text(part), wanted) for wanted in self.values)
        ]
        if self.values and not found:
            return None
        lead = f"{self.message} " if self.message else ""
        what = f"{' and '.join(found)} in {self.name}" if self.values else self.name
        return (
            f"{lead}{what} may be set only when {described(self.when)}, "
            f"but {_state(self.when, values)}."
        )


class Limited(Entry):
    """A hyperparameter that a condition narrows to fewer values."""

    rule: Literal["limited"]
    name: str
    values: tuple[Scalar, ...]
    when: Condition
    message: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters that the rule is about."""
        return self.name, *self.when

    def problem(self, values: Mapping[str, Value], given: set[str]) -> str | None:
        """Say in a sentence how `values` break the rule; None where they keep it."""
        if self.name not in values or not holds(self.when, values):
            return None
        if any(_matches(values[self.name], allowed) for allowed in self.values):
            return None
        lead = f"{self.message} " if self.message else ""
        return (
            f"{lead}{self.name} is {_plain(values[self.name])}; when {described(self.when)} "
            f"it must be {_either(self.values)}."
        )


class Compare(Entry):
    """Two hyperparameters in an order; against a list, the order holds for every element."""

    rule: Literal["compare"]
    left: str
    operator: Literal["<", "<=", ">", ">="]
    right: str

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters that the rule is about."""
        return self.left, self.right

    def problem(self, values: Mapping[str, Value], given: set[str]) -> str | None:
        """Say in a sentence how `values` break the rule; None where they keep it."""
        left, right = values.get(self.left), values.get(self.right)
        if not isinstance(left, int | float) or right is None:
            return None
        numbers = right if isinstance(right, list) else [right]
        compare = _COMPARISONS[self.operator]
        if all(compare(left, one) for one in numbers if isinstance(one, int | float)):
            return None
        return (
            f"{self.left} is {text(left)} and {self.right} is {_plain(right)}; "
            f"{self.left} must be {self.operator} {self.right}."
        )


class Sum(Entry):
    """Hyperparameters whose sum has a range."""

    rule: Literal["sum"]
    names: tuple[str, ...]
    range: Range

    def problem(self, values: Mapping[str, Value], given: set[str]) -> str | None:
        """Say in a sentence how `values` break the rule; None where they keep it."""
        parts = [values.get(name, 0) for name in self.names]
        total = sum(part for part in parts if isinstance(part, int | float))
        if total in self.range:
            return None
        return f"{' + '.join(self.names)} is {text(total)}; the sum must be {self.range}."


Rule = Annotated[OnlyWith | Limited | Compare | Sum, Field(discriminator="rule")]
