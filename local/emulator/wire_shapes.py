"""Whether what a request holds has the types that AWS's description of it names."""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

# More than any request of AWS's nests, and few enough for everyone who walks through it.
DEPTH = 128
_BITS = {"integer": 31, "long": 63}
_LAST_SECOND = 253402300799
_MEANT_NUMBERS = ("NaN", "Infinity", "-Infinity")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_JSON_NAMES = {
    dict: "START_OBJECT",
    list: "START_ARRAY",
    str: "STRING_VALUE",
    int: "NUMBER_VALUE",
    float: "DECIMAL_VALUE",
}
_WANTED = {
    "blob": "a base64 string",
    "structure": "an object",
    "map": "an object",
    "list": "a list",
    "integer": "Integer",
    "long": "Long",
    "float": "Float",
    "double": "Double",
    "boolean": "Boolean",
    "timestamp": "a time",
    "string": "String",
}


_TOO_DEEP = f"The request body is nested more than {DEPTH} levels deep."


class Malformed(Exception):
    """The text is none of its format; the message says what is wrong, in words for who sent it."""


def parsed(body: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        Malformed: It is none, or what no service can take: no UTF-8, NaN, half of a character, or
            nested too deeply.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("The request body is not UTF-8.") from None
    try:
        value = json.loads(text, parse_constant=_refused_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"The request body is not JSON: {error.msg} at {where}.") from None
    except RecursionError:
        raise Malformed(_TOO_DEEP) from None
    except ValueError:
        raise Malformed("The request body holds a number that is too large.") from None
    if text.count("[") + text.count("{") > DEPTH and _too_deep(value):
        raise Malformed(_TOO_DEEP)
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise Malformed("The request body holds half of a surrogate pair.") from None
    return value


def _refused_constant(name: str) -> None:
    raise Malformed(f"The request body holds {name}, which JSON does not have.")


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH + 1):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        level = inner
    return bool(level)


def json_problem(shape: Shape, value: Any, path: str = "") -> str:
    """What is wrong with the type of a value in a JSON body, or an empty text.

    Members that the description does not name are ignored, as AWS ignores them.
    """
    return next(_json_problems(shape, value, path), "")


def _json_problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    if isinstance(shape, StructureShape):
        if shape.is_document_type:
            return
        if not isinstance(value, dict):
            yield _wrong(shape, value, path)
            return
        for name, member in shape.members.items():
            wire = member.serialization.get("name", name)
            if member.serialization.get("location") is None and wire in value:
                yield from _json_problems(member, value[wire], f"{path}/{wire}")
    elif isinstance(shape, MapShape):
        if not isinstance(value, dict):
            yield _wrong(shape, value, path)
            return
        for key, item in value.items():
            yield from _json_problems(shape.value, item, f"{path}/{key}")
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            yield _wrong(shape, value, path)
            return
        for number, item in enumerate(value):
            yield from _json_problems(shape.member, item, f"{path}/{number}")
    elif not _is_scalar(shape, value):
        yield _wrong(shape, value, path)


def _is_scalar(shape: Shape, value: Any) -> bool:
    kind = shape.type_name
    if kind in ("string", "char"):
        return isinstance(value, str) or "jsonvalue" in shape.serialization
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in _BITS:
        bits = _BITS[kind]
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and -(1 << bits) <= value < 1 << bits
        )
    if kind in ("float", "double"):
        if isinstance(value, str):
            return value in _MEANT_NUMBERS
        return _is_number(value)
    if kind == "timestamp":
        if isinstance(value, str):
            return _is_time(value)
        return _is_number(value) and abs(value) <= _LAST_SECOND
    if kind == "blob":
        return isinstance(value, str) and _is_base64(value)
    return True


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_time(value: str) -> bool:
    from botocore.utils import parse_timestamp

    try:
        return isinstance(parse_timestamp(value), datetime)
    except (ValueError, OverflowError, OSError):
        return False


def _wrong(shape: Shape, value: Any, path: str) -> str:
    found = "TRUE_VALUE" if isinstance(value, bool) else _JSON_NAMES.get(type(value), "A value")
    at = path[:200] or "the request body"
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = f"{found} {str(value)[:40] if abs(value) < 1e300 else ''}".strip()
    return f"{found} can not be converted to {_WANTED.get(shape.type_name, 'its type')} at {at}."


def form_problem(shape: Shape | None, form: Mapping[str, Any], *, flat: bool = False) -> str:
    """What is wrong with the type of a field of a query protocol's form, or an empty text.

    `flat`: as EC2 writes lists. Fields that the description does not name are ignored.
    """
    if shape is None:
        return ""
    for name, values in form.items():
        text = values[0] if isinstance(values, list) and values else values
        if name in ("Action", "Version") or not isinstance(text, str):
            continue
        leaf = _leaf(shape, name.split("."), flat)
        if leaf is not None and text and not _is_written(leaf, text):
            wanted = _WANTED.get(leaf.type_name, leaf.type_name)
            return (
                f"Value ({text[:80]}) for parameter {name[:200]} is invalid. It must be {wanted}."
            )
    return ""


def _leaf(shape: Shape, parts: list[str], flat: bool) -> Shape | None:
    """The description of a field, where it names a single value."""
    if not parts:
        return None if isinstance(shape, StructureShape | ListShape | MapShape) else shape
    head, rest = parts[0], parts[1:]
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            wire = member.serialization.get("queryName") or member.serialization.get("name", name)
            if flat and "queryName" not in member.serialization:
                wire = wire[:1].upper() + wire[1:]
            names = {wire, name}
            if isinstance(member, ListShape) and member.serialization.get("flattened"):
                names.add(member.member.serialization.get("name", wire))
            if head in names:
                return _leaf(member, rest, flat)
        return None
    if isinstance(shape, ListShape):
        # Either Names.member.1 or Names.1.
        numbered = rest if not head.isdigit() and rest and rest[0].isdigit() else parts
        return _leaf(shape.member, numbered[1:], flat) if numbered[0].isdigit() else None
    if isinstance(shape, MapShape):
        numbered = rest if head == "entry" else parts
        if len(numbered) < 2 or not numbered[0].isdigit():
            return None
        key = shape.key.serialization.get("name", "key")
        inner = shape.key if numbered[1] == key else shape.value
        return _leaf(inner, numbered[2:], flat)
    return None


def _is_written(shape: Shape, text: str) -> bool:
    kind = shape.type_name
    if kind in _BITS:
        return bool(_INTEGER.fullmatch(text)) and abs(int(text)) <= 1 << _BITS[kind]
    if kind in ("float", "double"):
        try:
            return math.isfinite(float(text)) or text in _MEANT_NUMBERS
        except ValueError:
            return False
    if kind == "boolean":
        return text.lower() in ("true", "false", "1", "0")
    if kind == "timestamp":
        return _is_time(text)
    if kind == "blob":
        return _is_base64(text)
    return True
