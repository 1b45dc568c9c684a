"""What a request says, whatever its protocol: JSON, a form, a query, or XML."""

import json
import re
from collections.abc import Container, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

# An element of XML that holds text alone.
_ELEMENT = re.compile(r"<(?:\w+:)?(\w+)(?:\s[^<>]*)?>([^<>]*)</")
# A parameter of the query protocols: its last name, without the numbers of lists.
_LAST_NAME = re.compile(r"(?:^|\.)([A-Za-z]\w*)(?:\.(?:member\.)?\d+)*$")

Pairs = list[tuple[str, str]]


def document(body: bytes) -> Any:
    """The JSON of a body, or None."""
    if body[:1] not in (b"{", b" ", b"\n", b"\t", b"\r", b"["):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def form(body: bytes) -> dict[str, list[str]]:
    """The parameters of a form; handlers read a body as one whatever its content type says."""
    return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)


def value(name: str, body: bytes, query: Mapping[str, Any]) -> Any:
    """One member of the request itself, or None."""
    found = document(body)
    if isinstance(found, dict):
        return found.get(name)
    given = query.get(name) or form(body).get(name)
    return given[0] if isinstance(given, list) and given else given


def leaves(body: bytes, query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every text of the request with the name of the member that holds it, at any depth."""
    for name, given in query.items():
        yield from _leaves(_last(name), given)
    found = document(body)
    if found is not None:
        yield from _leaves("", found)
    elif body.lstrip()[:1] == b"<":
        yield from _ELEMENT.findall(body.decode("utf-8", "replace"))
    else:
        for name, given in form(body).items():
            yield from _leaves(_last(name), given)


def texts(found: Any, without: Container[str] = ()) -> Iterator[tuple[str, str]]:
    """Every text of a document with the name of its member, but for members of some names."""
    return _leaves("", found, without)


def _last(name: str) -> str:
    match = _LAST_NAME.search(name)
    return match[1] if match else name


def _leaves(name: str, found: Any, without: Container[str] = ()) -> Iterator[tuple[str, str]]:
    waiting = [(name, found)]
    while waiting:
        name, found = waiting.pop()
        if isinstance(found, str):
            yield name, found
        elif isinstance(found, list):
            waiting += [(name, each) for each in found]
        elif isinstance(found, dict):
            waiting += [(str(k), each) for k, each in found.items() if k not in without]
