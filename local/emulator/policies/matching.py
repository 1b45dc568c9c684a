"""Wildcards and policy variables.

`*` stands for any characters, line breaks and slashes included, and `?` for exactly one. What a
variable is replaced by is taken literally, so a tag with an asterisk grants no more than its text.
"""

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

# The value of a context key: absent, one value, or the values of a key that has several.
Value = str | Sequence[str] | None
Lookup = Callable[[str], Value]

_ARN_FIELDS = 6


class Wildcard(Enum):
    """A character of a pattern that stands for others."""

    ONE = "?"
    MANY = "*"


Token = str | Wildcard
# A pattern as literal texts and wildcards.
Pattern = tuple[Token, ...]


@dataclass(frozen=True)
class Variable:
    """`${key, 'default'}` of a policy; a key that is empty cannot be resolved."""

    key: str
    default: str | None


_VARIABLE = re.compile(r"\$\{([^}]*)(\}|\Z)", re.DOTALL)
_KEY_AND_DEFAULT = re.compile(r"\s*([^,'\s][^,']*?)\s*(?:,\s*'([^']*)'\s*)?", re.DOTALL)


@functools.lru_cache(8192)
def parts(text: str, variables: bool) -> tuple[Token | Variable, ...]:
    """The literal texts, wildcards and (with `variables`) policy variables of `text`."""
    found: list[Token | Variable] = []
    position = 0
    for match in _VARIABLE.finditer(text) if variables else ():
        found += _wild(text[position : match.start()])
        found.append(_variable(match[1], closed=bool(match[2])))
        position = match.end()
    return (*found, *_wild(text[position:]))


def _wild(text: str) -> list[Token]:
    wildcards = {kind.value: kind for kind in Wildcard}
    return [wildcards.get(part, part) for part in re.split(r"([*?])", text) if part]


def _variable(inner: str, *, closed: bool) -> Token | Variable:
    if closed and inner in ("*", "?", "$"):
        return inner
    match = _KEY_AND_DEFAULT.fullmatch(inner) if closed else None
    return Variable(match[1], match[2]) if match else Variable("", None)


def resolved(text: str, lookup: Lookup, *, variables: bool) -> Pattern | None:
    """`text` with its variables replaced; None when one of them has not exactly one value."""
    found: list[Token] = []
    for part in parts(text, variables):
        if isinstance(part, Variable):
            value = single(lookup(part.key)) if part.key else None
            value = part.default if value is None else value
            if value is None:
                return None
            found.append(value)
        else:
            found.append(part)
    return tuple(found)


def single(value: Value) -> str | None:
    """The one value of a key, or None when it has none or several."""
    if value is None or isinstance(value, str):
        return value
    return value[0] if len(value) == 1 else None


def literal(pattern: Pattern) -> str:
    """The text of a pattern in which wildcards have no meaning."""
    return "".join(token if isinstance(token, str) else token.value for token in pattern)


def matches(pattern: Pattern, value: str) -> bool:
    """Whether the whole of `value` is what `pattern` describes."""
    return _compiled(pattern)(value)


def matches_action(pattern: str, action: str) -> bool:
    """Whether `pattern` of an Action element names `action`; case does not count."""
    return matches(_action_pattern(pattern), action.lower())


@functools.lru_cache(8192)
def _action_pattern(text: str) -> Pattern:
    return tuple(_wild(text.lower()))


@functools.lru_cache(8192)
def _compiled(pattern: Pattern) -> Callable[[str], bool]:
    """A matcher that takes linear time for each asterisk, whatever the pattern."""
    segments: list[list[str | Wildcard]] = [[]]
    for token in pattern:
        if token is Wildcard.MANY:
            segments.append([])
        else:
            segments[-1].append(token)
    sources = [
        "".join("." if token is Wildcard.ONE else re.escape(str(token)) for token in segment)
        for segment in segments
    ]
    # Greedy from the left is enough: what is between two asterisks may begin as early as it can.
    expressions = [re.compile(source, re.DOTALL) for source in sources]
    sizes = [_size(segment) for segment in segments]
    first, *middle = expressions

    def whole(value: str) -> bool:
        return first.fullmatch(value) is not None

    def spread(value: str) -> bool:
        start = first.match(value)
        if start is None:
            return False
        position, end = start.end(), len(value) - sizes[-1]
        for expression in middle[:-1]:
            found = expression.search(value, position)
            if found is None:
                return False
            position = found.end()
        return position <= end and middle[-1].fullmatch(value, end) is not None

    return spread if middle else whole


def _size(segment: Iterable[Token]) -> int:
    return sum(1 if token is Wildcard.ONE else len(str(token)) for token in segment)


def completed(pattern: Pattern) -> Pattern:
    """A pattern of a Resource element; an ARN with fewer than six fields ends in wildcards."""
    if not pattern or pattern == (Wildcard.MANY,):
        return pattern
    colons = sum(token.count(":") for token in pattern if isinstance(token, str))
    missing = _ARN_FIELDS - 1 - colons
    extra: list[Token] = []
    for _ in range(missing):
        extra += [":", Wildcard.MANY]
    return (*pattern, *extra)


def arn_fields(pattern: Pattern) -> tuple[Pattern, ...] | None:
    """The six fields of a pattern of an ARN operator, which match one by one; None of no ARN."""
    fields: list[list[Token]] = [[]]
    for token in pattern:
        if isinstance(token, Wildcard):
            fields[-1].append(token)
            continue
        here, *others = token.split(":", _ARN_FIELDS - len(fields))
        fields[-1].append(here)
        fields += [[other] for other in others]
    if len(fields) != _ARN_FIELDS:
        return None
    return tuple(tuple(token for token in field if token != "") for field in fields)
