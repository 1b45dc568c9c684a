"""Checks requests against botocore's own models of services, with AWS's wording."""

import functools
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, cast

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.validate import ParamValidator

from local.sagemaker import s3_uris
from local.sagemaker.errors import ServiceError, invalid, unknown_operation


@functools.cache
def service_model(service: str = "sagemaker") -> ServiceModel:
    """Load AWS's description of an API."""
    return botocore.session.get_session().get_service_model(service)


def operation_model(operation: str, service: str = "sagemaker") -> OperationModel:
    """Find the description of an operation.

    Raises:
        ServiceError: when the service has no such operation.
    """
    model = service_model(service)
    if operation not in model.operation_names:
        raise unknown_operation(operation, model.metadata["serviceId"])
    return model.operation_model(operation)


def checked(
    operation: str, params: Mapping[str, Any], service: str = "sagemaker"
) -> dict[str, Any]:
    """Return the parameters as the operations take them: valid, and times in epoch seconds.

    Raises:
        ServiceError: worded as AWS words it; every problem of the request at once.
    """
    shape = operation_model(operation, service).input_shape
    if shape is None:
        return {}
    given = {name: value for name, value in params.items() if value is not None}
    report = ParamValidator().validate(given, shape)
    # What is missing is reported below in AWS's words; here remain types and unknown names.
    report._errors = [error for error in report._errors if error[0] == "invalid type"] + [
        error for error in report._errors if error[0] == "unknown field"
    ]
    if report.has_errors():
        raise ServiceError("SerializationException", report.generate_report())
    broken = [*problems(shape, given)]
    if broken:
        plural = "s" if len(broken) > 1 else ""
        raise invalid(f"{len(broken)} validation error{plural} detected: {'; '.join(broken)}")
    return cast(dict[str, Any], _plain(given))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.timestamp()
    return value


def problems(
    shape: Shape,
    value: Any,  # noqa: ANN401 (its type was checked against the shape)
    path: str = "",
) -> Iterator[str]:
    """What of a shape's constraints a value breaks, each in AWS's words.

    The value has the types that the shape names, and no member that it does not.
    """
    if isinstance(shape, StructureShape):
        for name in shape.required_members:
            if value.get(name) is None:
                yield _problem(None, _join(path, name), "Member must not be null")
        for name, item in value.items():
            if item is not None:
                yield from problems(shape.members[name], item, _join(path, name))
        return
    for constraint in _violated(shape, value):
        yield _problem(value, path, constraint)
    if isinstance(shape, ListShape):
        for number, item in enumerate(value, 1):
            yield from problems(shape.member, item, f"{path}.{number}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            broken = [*_violated(shape.key, key)]
            if broken:
                yield _problem(
                    value, path, f"Map keys must satisfy constraint: [{', '.join(broken)}]"
                )
            broken = [*_violated(shape.value, item)]
            if broken:
                yield _problem(
                    value, path, f"Map value must satisfy constraint: [{', '.join(broken)}]"
                )


def _violated(
    shape: Shape,
    value: Any,  # noqa: ANN401 (its type was checked against the shape)
) -> Iterator[str]:
    limits = shape.metadata
    if shape.type_name in ("string", "list", "map"):
        measure, quantity = len(value), "length"
    elif shape.type_name in ("integer", "long", "float", "double"):
        measure, quantity = value, "value"
    else:
        return
    if "min" in limits and measure < limits["min"]:
        yield f"Member must have {quantity} greater than or equal to {limits['min']}"
    if "max" in limits and measure > limits["max"]:
        yield f"Member must have {quantity} less than or equal to {limits['max']}"
    if shape.type_name != "string":
        return
    if limits.get("enum") and value not in limits["enum"]:
        yield f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]"
    pattern = limits.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {pattern}"
    elif pattern and pattern.startswith(s3_uris.PATTERN) and (wrong := s3_uris.problem(value)):
        yield f"Member must be an S3 URI: {wrong}"


# What Java's regular expressions say and Python's do not.
_JAVA = {
    r"[\p{Print}]": "[ -~]",
    r"\p{Print}": "[ -~]",
    r"\p{ASCII}": r"[\x00-\x7f]",
    r"\z": r"\Z",
    # Characters beyond the first 65,536, which Java has as two of a pair.
    r"\uD800\uDC00-\uDBFF\uDFFF": "\U00010000-\U0010ffff",
}
# Python's re knows no Unicode categories. Letters and digits are \w (which adds the underscore);
# marks, symbols and punctuation are taken together, a little wider than AWS has them.
_CATEGORIES = {
    r"\p{Alnum}": "a-zA-Z0-9",
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{M}": "\u0300-\u036f",
    r"\p{S}": "!-/:-@\\[-`{-~\u00a1-\U0010ffff",
    r"\p{P}": "!-/:-@\\[-`{-~\u00a1-\U0010ffff",
}


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    for category, characters in (_JAVA | _CATEGORIES).items():
        pattern = pattern.replace(category, characters)
    # Two patterns of AWS's model end in a repeated `$`, which means nothing; re refuses it.
    pattern = re.sub(r"\$\{\d+,\d+\}$", "", pattern)
    return re.compile(pattern)


def _join(path: str, name: str) -> str:
    # AWS writes the members of a request in lower camel case.
    upper = len(name) - len(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    keep = 1 if upper < 2 or upper == len(name) else upper - 1
    camel = name[:keep].lower() + name[keep:]
    return f"{path}.{camel}" if path else camel


def _problem(value: object, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"
