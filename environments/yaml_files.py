"""Reading a YAML file that a person wrote, so that each thing wrong with it is one sentence."""

from pathlib import Path
from typing import Any

import yaml

_LONGEST = 1 << 20
_MOST_NODES = 10_000
_SHOWN = 40
_MERGE = "tag:yaml.org,2002:merge"
# Editors and shells on Windows begin a file with these; the longer ones first.
_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class Unreadable(ValueError):
    """A file that holds no mapping in YAML; the message says what it holds and what to do."""


def read(path: Path) -> dict[str, Any]:
    """The mapping that a file holds.

    Raises:
        Unreadable: It cannot be read, is not UTF-8, not YAML, or no mapping.
    """
    try:
        with path.open("rb") as file:
            body = file.read(_LONGEST + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    if len(body) > _LONGEST:
        raise Unreadable(f"is longer than {_LONGEST >> 20} MiB, so it is no environment file")
    text = _text(body)
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise Unreadable(f"not YAML: {error}") from error
    except (RecursionError, ValueError) as error:
        # yaml lets out what Python says of a number or a date that is none.
        raise Unreadable(f"not YAML that can be read: {error}") from error
    if not isinstance(content, dict):
        kind = {list: "a list", str: "text", type(None): "nothing"}.get(type(content), "one value")
        found = f"{content!r}"[:_SHOWN]
        raise Unreadable(f"file: found {found}, {kind}; allowed: keys with values, as in name: dev")
    return content


def _text(body: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if body.startswith(mark):
            raise Unreadable(f"is {encoding}, not UTF-8: save it as UTF-8")
    try:
        # A mark of UTF-8 itself, which Windows adds, is no part of the content for YAML either.
        text = body.decode()
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise Unreadable(
            f"is not UTF-8: line {line} has the byte 0x{body[error.start]:02x}, as in Latin-1 or "
            "Windows-1252: save it as UTF-8"
        ) from error
    if "\x00" in text:
        raise Unreadable("has zero bytes, as UTF-16 does, so it is not UTF-8: save it as UTF-8")
    return text


class _Loader(yaml.SafeLoader):
    """Reads YAML, and refuses what is no sensible file although YAML allows it.

    Of a key that is given twice YAML would keep the last, and a few aliases of aliases make a
    mapping too big for any memory.
    """

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _size(node, {}) > _MOST_NODES:
            raise yaml.composer.ComposerError(
                None, None, f"its aliases stand for more than {_MOST_NODES} values", node.start_mark
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, with each alias counted as what it stands for."""
    if id(node) in known:
        return known[id(node)]
    # A node that is met again within itself has no end.
    known[id(node)] = _MOST_NODES + 1
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
