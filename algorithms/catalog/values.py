"""What values a hyperparameter may take, and how text becomes one of them."""

import json
import math
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Scalar = bool | int | float | str
Value = bool | int | float | str | list["Value"]

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_SHOWN = 80
# Text longer than this is no number: a float holds 309 digits at most.
_DIGITS = 400


class Entry(BaseModel):
    """One part of a catalogue file: a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(Entry):
    """The ends of a range: `min` and `max` belong to it, `above` and `below` do not."""

    min: int | float | None = None
    above: int | float | None = None
    max: int | float | None = None
    below: int | float | None = None

    @model_validator(mode="after")
    def _one_end_each_side(self) -> Self:
        if self.min is not None and self.above is not None:
            raise ValueError("a range starts either at min or above a value")
        if self.max is not None and self.below is not None:
            raise ValueError("a range ends either at max or below a value")
        if (self.min, self.above, self.max, self.below) == (None, None, None, None):
            raise ValueError("a range needs min, above, max or below")
        return self

    def __contains__(self, value: int | float) -> bool:
        return (
            (self.min is None or value >= self.min)
            and (self.above is None or value > self.above)
            and (self.max is None or value <= self.max)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.min is not None and self.max is not None:
            return f"from {self.min} to {self.max}"
        ends = [
            f"{word} {end}"
            for word, end in (
                ("of at least", self.min),
                ("above", self.above),
                ("at most", self.max),
                ("below", self.below),
            )
            if end is not None
        ]
        return " and ".join(ends)


class Kind(Entry):
    """A type of value with its limits: what a hyperparameter, or an element of a list, may be."""

    type: Literal["integer", "float", "boolean", "categorical", "list", "text"]
    range: Range | None = None
    multiple_of: int | None = None
    values: tuple[Scalar, ...] = ()
    pattern: str | None = None
    example: str | None = None
    grammar: str | None = None
    """What `pattern` allows, in words that follow `must be`."""

    form: Literal["json", "comma", "tuple"] | None = None
    items: "Kind | None" = None

    @model_validator(mode="after")
    def _limits_fit_the_type(self) -> Self:
        number = self.type in ("integer", "float")
        if (self.range is not None or self.multiple_of is not None) and not number:
            raise ValueError(f"only a number has range or multiple_of, not {self.type}")
        if (self.type == "list") != (self.items is not None and self.form is not None):
            raise ValueError("a list, and only a list, has form and items")
        if self.type == "categorical" and not self.values:
            raise ValueError("a categorical needs values")
        if self.pattern is not None and self.grammar is None:
            raise ValueError("a pattern needs a grammar, which says in words what it allows")
        return self

    @property
    def allowed(self) -> str:
        """What may be given here, in words that follow `must be`."""
        match self.type:
            case "boolean":
                return "true or false"
            case "list":
                assert self.items is not None  # noqa: S101 - the validator demands it
                example = f" such as {self.example}" if self.example else ""
                form = {"json": "a JSON list", "comma": "a comma-separated list"}
                return f"{form.get(self.form or '', 'a tuple')}{example}, each {self.items.allowed}"
            case "categorical" | "text":
                words = f"{self.grammar}," if self.grammar and self.example else self.grammar
                words = words or "text"
                words += f" such as {self.example}" if self.example else ""
                if self.values:
                    also = f", or {words}" if self.grammar or self.example else ""
                    return f"one of {', '.join(map(text, self.values))}{also}"
                return words
            case _:
                words = "an integer" if self.type == "integer" else "a number"
                if self.values:
                    return f"{words} of {', '.join(map(text, self.values))}"
                if self.range is not None:
                    words += f" {self.range}"
                if self.multiple_of is not None:
                    words += f", a multiple of {self.multiple_of}"
                return words

    def read(self, value: object) -> Value:
        """Turn what a request or a configuration file says into a typed value.

        Raises:
            ValueError: The value is not allowed; its text says what was found and what is allowed.
        """
        if self.type == "list":
            return self._read_list(value)
        found = self._typed(value)
        if found is None or not self._admits(found):
            raise ValueError(f"is {shown(value)}; it must be {self.allowed}{self._nearest(value)}.")
        return found

    def _typed(self, value: object) -> Scalar | None:
        match self.type:
            case "boolean":
                if isinstance(value, bool):
                    return value
                return {"true": True, "false": False}.get(str(value).strip().lower())
            case "integer":
                return _integer(value)
            case "float":
                return _number(value)
            case _:
                return value if isinstance(value, str) else None

    def _admits(self, value: Scalar) -> bool:
        if isinstance(value, str):
            if value in self.values:
                return True
            if self.pattern is not None:
                return re.fullmatch(self.pattern, value, re.ASCII) is not None
            return not self.values
        if isinstance(value, bool):
            return True
        if isinstance(value, float) and math.isinf(value) and not self._endless(value):
            return False
        return (
            (not self.values or value in self.values)
            and (self.range is None or value in self.range)
            and (self.multiple_of is None or value % self.multiple_of == 0)
        )

    def _endless(self, value: float) -> bool:
        return self.range is not None and self.range.max == value

    def _nearest(self, value: object) -> str:
        if self.type != "categorical" or not isinstance(value, str):
            return ""
        near = get_close_matches(value, [text(known) for known in self.values], n=1)
        return f" (did you mean {near[0]}?)" if near else ""

    def _read_list(self, value: object) -> list[Value]:
        assert self.items is not None  # noqa: S101 - the validator demands it
        elements = value if isinstance(value, list | tuple) else self._split(value)
        if elements is None:
            raise ValueError(f"is {shown(value)}; it must be {self.allowed}.")
        read: list[Value] = []
        for element in elements:
            try:
                read.append(self.items.read(element))
            except ValueError as error:
                raise ValueError(f"holds an element that {error}") from None
        return read

    def _split(self, value: object) -> Sequence[object] | None:
        if not isinstance(value, str) or not value.strip():
            return None
        body = value.strip()
        if self.form == "comma":
            return [element.strip() for element in body.split(",")]
        if self.form == "tuple" and body.startswith("(") and body.endswith(")"):
            body = f"[{body[1:-1].strip().removesuffix(',')}]"
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, list) else None

    def write(self, value: Value) -> str:
        """Give the text of a typed value, as the algorithm's container takes it."""
        if isinstance(value, list) and self.form == "comma":
            return ",".join(text(element) for element in value)
        if isinstance(value, list) and self.form == "tuple":
            return f"({', '.join(text(element) for element in value)})"
        return text(value)


def text(value: Value) -> str:
    """Give the text of a value in the way of JSON, without quotes round a plain text."""
    return value if isinstance(value, str) else json.dumps(value)


def shown(value: object) -> str:
    """Give a value as an error message shows it, cut where it is too long to read."""
    whole = repr(value)
    return whole if len(whole) <= _SHOWN else f"{whole[:_SHOWN]}... ({len(whole)} characters)"


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        # A number that went through JSON may come back as 50.0.
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and len(value) <= _DIGITS and _INTEGER.fullmatch(value.strip()):
        return int(value)
    return None


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return None if math.isnan(value) else float(value)
        except OverflowError:
            return None
    if isinstance(value, str) and len(value) <= _DIGITS:
        body = value.strip()
        if _NUMBER.fullmatch(body) or _INFINITE.fullmatch(body):
            return float(body)
    return None
