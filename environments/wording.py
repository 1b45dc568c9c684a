"""Errors of a model in the words of the file that it was read from."""

import datetime
import difflib
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def lines(detail: ErrorDetails, root: type[BaseModel]) -> list[str]:
    """One pydantic error in the words of the file."""
    key = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    found, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "value_error":
            text = str(context["error"])
            return [f"{key}: {line}" if key else line for line in text.splitlines()]
        case "extra_forbidden":
            return [f"{key}: unknown key; allowed: {_allowed_keys(detail['loc'], root)}"]
        case "missing":
            return [f"{key}: missing; {_description(detail['loc'], root)}"]
        case "string_type" if not isinstance(found, dict | list):
            read = f"found {found!r}, {_kind(found)}"
            return [f"{key}: {read}; allowed: text, so put it in quotes"]
        case "literal_error":
            return [f"{key}: found {found!r}; allowed: {context['expected']}"]
        case "string_pattern_mismatch":
            return [f"{key}: found {found!r}; allowed: what matches {context['pattern']}"]
    return [f"{key or 'file'}: found {found!r}; allowed: {_rule(detail['msg'])}"]


def _kind(value: object) -> str:
    """What YAML took for something else than text."""
    names = {bool: "true or false for YAML", type(None): "nothing", datetime.date: "a date"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "no text")


def _rule(message: str) -> str:
    return message.removeprefix("Input should be ").removeprefix("a valid ")


def _model_at(location: tuple[int | str, ...], root: type[BaseModel]) -> type[BaseModel] | None:
    """The model whose keys stand at `location`."""
    model: type[BaseModel] | None = root
    for part in location:
        if model is None:
            continue
        if part in model.model_fields:
            model = _model_in(model.model_fields[str(part)].annotation)
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)


def _allowed_keys(location: tuple[int | str, ...], root: type[BaseModel]) -> str:
    model = _model_at(location[:-1], root)
    keys = list(model.model_fields) if model else []
    close = difflib.get_close_matches(str(location[-1]), keys, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return ", ".join(keys) + meant


def _description(location: tuple[int | str, ...], root: type[BaseModel]) -> str:
    model = _model_at(location[:-1], root)
    field = model.model_fields.get(str(location[-1])) if model else None
    return f"wanted: {field.description}" if field and field.description else "it is required"
