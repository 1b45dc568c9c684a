"""Requests that break one constraint of AWS's own description of an operation, and no other.

A request begins as the smallest that the description takes. Each member, at any depth, is added to
it alone; then one thing is wrong about it.
"""

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from local.sagemaker.validation import _compiled, service_model

TYPE = "SerializationException"
VALUE = "ValidationException"
# How Python itself reads a regular expression.
codes: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")
_DEPTH = 6
_LONGEST = 70_000
_INTEGERS = ("integer", "long")
_NUMBERS = (*_INTEGERS, "float", "double")
# What no member of the kind can be read from. A number is no text in AWS's JSON, nor a text one.
_FOREIGN: dict[str, Any] = {
    "structure": "text",
    "list": {"a": "b"},
    "map": ["a"],
    "string": ["a"],
    "boolean": "perhaps",
    "timestamp": {"a": 1},
    "blob": 7,
    **dict.fromkeys(_NUMBERS, "many"),
}
_URIS = "(https|s3)://"


@dataclass(frozen=True)
class Broken:
    """A request with one thing wrong, and the error that AWS answers it with."""

    operation: str
    path: str
    kind: str
    request: dict[str, Any]
    code: str

    def __str__(self) -> str:
        return f"{self.operation} {self.path}: {self.kind}"


def requests(service: str, operation: str) -> Iterator[Broken]:
    """Every way to break one constraint of an operation."""
    model = service_model(service).operation_model(operation)
    shape = model.input_shape
    if shape is None:
        return
    seen: set[tuple[str, str, str]] = set()
    for path, request, kind, code in _of_structure(shape, "", 0):
        known = (path, kind, code)
        if known not in seen:
            seen.add(known)
            yield Broken(operation, path, kind, request, code)


def smallest(shape: Shape, depth: int = 0) -> Any:
    """The smallest value that a shape's constraints let through."""
    limits = shape.metadata
    if isinstance(shape, StructureShape):
        return {name: smallest(shape.members[name], depth + 1) for name in shape.required_members}
    if isinstance(shape, ListShape):
        return [smallest(shape.member, depth + 1)] * max(limits.get("min", 0), 1)
    if isinstance(shape, MapShape):
        return {smallest(shape.key): smallest(shape.value, depth + 1)}
    if shape.type_name == "string":
        return _text(shape)
    if shape.type_name in _NUMBERS:
        return limits.get("min", min(1, limits.get("max", 1)))
    return {"boolean": True, "timestamp": 1_700_000_000, "blob": "YQ=="}[shape.type_name]


def _of_structure(
    shape: StructureShape, path: str, depth: int
) -> Iterator[tuple[str, dict[str, Any], str, str]]:
    base = smallest(shape)
    for name in shape.required_members:
        inside = _joined(path, name)
        yield inside, {key: base[key] for key in base if key != name}, "required", VALUE
    if depth > _DEPTH:
        return
    for name, member in shape.members.items():
        for inside, value, kind, code in _of_value(member, _joined(path, name), depth + 1):
            yield inside, {**base, name: value}, kind, code


def _of_value(shape: Shape, path: str, depth: int) -> Iterator[tuple[str, Any, str, str]]:
    limits = shape.metadata
    if not (isinstance(shape, StructureShape) and shape.is_document_type):
        yield path, _FOREIGN[shape.type_name], f"type {shape.type_name}", TYPE
    if isinstance(shape, StructureShape):
        yield from _of_structure(shape, path, depth)
    elif isinstance(shape, ListShape):
        one = smallest(shape.member)
        if limits.get("min", 0) > 0:
            yield path, [one] * (limits["min"] - 1), "list too short", VALUE
        if 0 < limits.get("max", 0) <= _LONGEST // 10:
            yield path, [one] * (limits["max"] + 1), "list too long", VALUE
        least = max(limits.get("min", 0), 1)
        for inside, value, kind, code in _of_value(shape.member, f"{path}[]", depth + 1):
            yield inside, [*[one] * (least - 1), value], kind, code
    elif isinstance(shape, MapShape):
        yield from _of_map(shape, path, depth)
    elif shape.type_name == "string":
        for value, kind in _wrong_texts(shape):
            yield path, value, kind, VALUE
    elif shape.type_name in _NUMBERS:
        if "min" in limits:
            yield path, limits["min"] - 1, "number too small", VALUE
        if "max" in limits:
            yield path, limits["max"] + 1, "number too large", VALUE


def _of_map(shape: MapShape, path: str, depth: int) -> Iterator[tuple[str, Any, str, str]]:
    limits, value = shape.metadata, smallest(shape.value)
    if limits.get("min", 0) > 0:
        yield path, {}, "map too small", VALUE
    if 0 < limits.get("max", 0) <= 1000:
        many = {f"key{number}": value for number in range(limits["max"] + 1)}
        yield path, many, "map too large", VALUE
    for key, kind in _wrong_texts(shape.key):
        yield path, {key: value}, f"key {kind}", VALUE
    for inside, wrong, kind, code in _of_value(shape.value, f"{path}{{}}", depth + 1):
        yield inside, {smallest(shape.key): wrong}, kind, code


def _wrong_texts(shape: Shape) -> Iterator[tuple[str, str]]:
    limits = shape.metadata
    if limits.get("enum"):
        yield "NoSuchValue", "enum"
        return
    least, most = limits.get("min", 0), limits.get("max", _LONGEST + 1)
    right = _text(shape)
    if least > 0 and (short := right[: least - 1]) != right:
        yield short, "text too short"
    if most <= _LONGEST:
        yield (
            right + right[-1:] * (most + 1 - len(right)) if right else "a" * (most + 1),
            "too long",
        )
    pattern = limits.get("pattern")
    if pattern:
        for wrong in (" ", "\u0001", "!", "a b", "-", "\n", "\u00e4", "_", "", "?" * least):
            text = wrong if len(wrong) >= least else wrong * least
            if text and least <= len(text) <= most and not _compiled(pattern).fullmatch(text):
                yield text, "pattern"
                return


def _text(shape: Shape) -> str:
    """A text that a shape lets through: of its enum, of its pattern, or of its length."""
    limits = shape.metadata
    if limits.get("enum"):
        return str(limits["enum"][0])
    least, pattern = limits.get("min", 0), limits.get("pattern")
    candidates = ["a" * max(least, 1), "1" * max(least, 1)]
    if pattern:
        if pattern.startswith(_URIS):
            candidates.insert(0, "s3://bucket/key")
        candidates.append(_written(_compiled(pattern).pattern))
        for filler in ("a", "1", "/"):
            candidates.append(candidates[-1] + filler * max(least - len(candidates[-1]), 0))
        compiled = _compiled(pattern)
        candidates = [one for one in candidates if compiled.fullmatch(one)]
    fitting = [one for one in candidates if least <= len(one) <= limits.get("max", len(one))]
    if not fitting:
        raise LookupError(f"No text is known for the pattern {pattern} of {shape.name}.")
    return str(fitting[0])


def _written(pattern: str) -> str:
    """The shortest text that a regular expression asks for, without its assertions."""
    return "".join(map(_of_code, [*parser.parse(pattern)]))


def _of_code(part: tuple[Any, Any]) -> str:
    code, value = part
    if code is codes.LITERAL:
        return chr(value)
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        least, _, inner = value
        return "".join(map(_of_code, inner)) * int(least)
    if code is codes.SUBPATTERN:
        return "".join(map(_of_code, value[-1]))
    if code is codes.BRANCH:
        return "".join(map(_of_code, value[1][0]))
    if code is codes.IN:
        own: list[str] = [chr(held) for kind, held in value if kind is codes.LITERAL]
        own += [chr(held[0]) for kind, held in value if kind is codes.RANGE]
        return str(next(one for one in ("a", "1", *own, "A", "-", "x", " ") if _in(value, one)))
    return "a" if code in (codes.ANY, codes.NOT_LITERAL) else ""


def _in(members: list[tuple[Any, Any]], character: str) -> bool:
    inverted = bool(members) and members[0][0] is codes.NEGATE
    found = False
    for code, value in members:
        if code is codes.LITERAL:
            found |= chr(value) == character
        elif code is codes.RANGE:
            found |= value[0] <= ord(character) <= value[1]
        elif code is codes.CATEGORY:
            kind = {
                codes.CATEGORY_WORD: r"\w",
                codes.CATEGORY_DIGIT: r"\d",
                codes.CATEGORY_SPACE: r"\s",
                codes.CATEGORY_NOT_SPACE: r"\S",
                codes.CATEGORY_NOT_WORD: r"\W",
                codes.CATEGORY_NOT_DIGIT: r"\D",
            }[value]
            found |= re.fullmatch(kind, character) is not None
    return found != inverted


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
