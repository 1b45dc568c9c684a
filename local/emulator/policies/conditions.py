"""The Condition element: its operators, and whether a request meets them."""

import base64
import binascii
import functools
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeVar

from local.emulator.policies import matching
from local.emulator.policies.matching import Lookup, Value
from local.emulator.policies.truth import Truth, all_of, any_of, negation

T = TypeVar("T")
# How a request's value compares with one of the policy; the lookup is for variables in the latter.
Comparison = Callable[[str, str, Lookup, bool], Truth]

_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?", re.ASCII)
_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d{1,9}))?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Operator:
    """A condition operator, such as `ForAnyValue:StringNotLikeIfExists`."""

    comparison: Comparison | None
    negated: bool = False
    quantifier: str = ""
    if_exists: bool = False

    @property
    def tests_presence(self) -> bool:
        """Whether it is Null, which asks whether the key is there."""
        return self.comparison is None


@dataclass(frozen=True)
class Condition:
    """One key of one operator; `operator` is None where it is no operator at all."""

    operator: Operator | None
    key: str
    values: tuple[str, ...]
    # Whether values hold policy variables, which depends on the document's Version.
    variables: bool


def met(conditions: Sequence[Condition], lookup: Lookup) -> Truth:
    """Whether a request meets every condition."""
    return all_of(_met(condition, lookup) for condition in conditions)


def _met(condition: Condition, lookup: Lookup) -> Truth:
    operator = condition.operator
    if operator is None or not condition.values:
        return None
    actual = lookup(condition.key)
    if operator.tests_presence:
        absent = actual is None or (not isinstance(actual, str) and not actual)
        wanted = [_BOOLEANS.get(value.lower()) for value in condition.values]
        return any_of(None if value is None else value is absent for value in wanted)
    return _compared(condition, operator, actual, lookup)


def _compared(condition: Condition, operator: Operator, actual: Value, lookup: Lookup) -> Truth:
    values = [actual] if isinstance(actual, str) else [*(actual or ())]

    def matched(value: str) -> Truth:
        comparison = operator.comparison or (lambda *_: None)
        one = any_of(
            comparison(value, wanted, lookup, condition.variables) for wanted in condition.values
        )
        if not operator.negated:
            return one
        # Nothing equals a variable without a value, and by negation that would let everything in.
        if not all(_resolvable(text, lookup, condition.variables) for text in condition.values):
            return None if one is False else negation(one)
        return negation(one)

    if not values:
        if operator.if_exists:
            return True
        if operator.quantifier:
            return operator.quantifier == "all"
        return operator.negated
    if operator.quantifier == "all":
        # AWS takes a key whose value is the empty string for one without values.
        return True if values == [""] else all_of(map(matched, values))
    if operator.quantifier == "any":
        return False if values == [""] else any_of(map(matched, values))
    # Without a quantifier AWS does not say what several values mean.
    return matched(values[0]) if len(values) == 1 else None


def _resolvable(text: str, lookup: Lookup, variables: bool) -> bool:
    return matching.resolved(text, lookup, variables=variables) is not None


@functools.lru_cache(512)
def operator_named(name: str) -> Operator | None:
    """The operator that a policy calls `name`, or None when there is none; case does not count."""
    rest = name.lower()
    quantifier = ""
    for prefix, kind in (("forallvalues:", "all"), ("foranyvalue:", "any")):
        if rest.startswith(prefix):
            quantifier, rest = kind, rest.removeprefix(prefix)
    if rest == "null":
        return None if quantifier else Operator(None)
    if_exists = rest.endswith("ifexists")
    found = _OPERATORS.get(rest.removesuffix("ifexists"))
    if found is None:
        return None
    comparison, negated = found
    return Operator(comparison, negated, quantifier, if_exists)


def readable(name: str, value: str) -> bool:
    """Whether AWS takes a value of the operator `name`: it reads dates and addresses."""
    operator = operator_named(name)
    if operator is None:
        return False
    if "${" in value:
        return True
    kind = name.lower().rpartition(":")[2]
    if kind.startswith("date"):
        return _date(value) is not None
    if kind.startswith(("ipaddress", "notipaddress")):
        return _network(value) is not None
    return True


def _text(compare: Callable[[str, str], bool]) -> Comparison:
    def compared(actual: str, wanted: str, lookup: Lookup, variables: bool) -> Truth:
        pattern = matching.resolved(wanted, lookup, variables=variables)
        return False if pattern is None else compare(actual, matching.literal(pattern))

    return compared


def _like(actual: str, wanted: str, lookup: Lookup, variables: bool) -> Truth:
    pattern = matching.resolved(wanted, lookup, variables=variables)
    return False if pattern is None else matching.matches(pattern, actual)


def _arn(actual: str, wanted: str, lookup: Lookup, variables: bool) -> Truth:
    pattern = matching.resolved(wanted, lookup, variables=variables)
    if pattern is None:
        return False
    fields, given = matching.arn_fields(pattern), actual.split(":", 5)
    if fields is None or len(given) != len(fields):
        return None
    return all(matching.matches(field, text) for field, text in zip(fields, given, strict=True))


def _parsed(parse: Callable[[str], T | None], compare: Callable[[T, T], bool]) -> Comparison:
    def compared(actual: str, wanted: str, lookup: Lookup, variables: bool) -> Truth:
        left, right = parse(actual), parse(wanted)
        return None if left is None or right is None else compare(left, right)

    return compared


def _address(actual: str, wanted: str, lookup: Lookup, variables: bool) -> Truth:
    network = _network(wanted)
    try:
        address = ipaddress.ip_address(actual)
    except ValueError:
        return None
    if network is None:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped if mapped and network.version == 4 else address) in network


@functools.lru_cache(1024)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _boolean(text: str) -> bool | None:
    return _BOOLEANS.get(text.lower())


def _binary(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


@functools.lru_cache(1024)
def _date(text: str) -> datetime | None:
    """A date of ISO 8601 as the W3C writes it, or seconds since the epoch."""
    match = _DATE.fullmatch(text)
    try:
        if text.isascii() and text.isdecimal():
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text))
        if match is None:
            return None
        return datetime(
            int(match["year"]),
            int(match["month"] or 1),
            int(match["day"] or 1),
            int(match["hour"] or 0),
            int(match["minute"] or 0),
            int(match["second"] or 0),
            int((match["fraction"] or "0").ljust(6, "0")[:6]),
            tzinfo=_zone(match["zone"]),
        )
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if not text or text in "Zz":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _ordered(parse: Callable[[str], Any], prefix: str) -> dict[str, tuple[Comparison, bool]]:
    """The six operators of a type whose values have an order."""
    return {
        f"{prefix}equals": (_parsed(parse, lambda a, b: bool(a == b)), False),
        f"{prefix}notequals": (_parsed(parse, lambda a, b: bool(a == b)), True),
        f"{prefix}lessthan": (_parsed(parse, lambda a, b: bool(a < b)), False),
        f"{prefix}lessthanequals": (_parsed(parse, lambda a, b: bool(a <= b)), False),
        f"{prefix}greaterthan": (_parsed(parse, lambda a, b: bool(a > b)), False),
        f"{prefix}greaterthanequals": (_parsed(parse, lambda a, b: bool(a >= b)), False),
    }


_SAME = _text(lambda a, b: a == b)
_SAME_IGNORING_CASE = _text(lambda a, b: a.casefold() == b.casefold())
# By name in lower case: how values compare, and whether the operator is the comparison's negation.
_OPERATORS: dict[str, tuple[Comparison, bool]] = {
    "stringequals": (_SAME, False),
    "stringnotequals": (_SAME, True),
    "stringequalsignorecase": (_SAME_IGNORING_CASE, False),
    "stringnotequalsignorecase": (_SAME_IGNORING_CASE, True),
    "stringlike": (_like, False),
    "stringnotlike": (_like, True),
    **_ordered(_number, "numeric"),
    **_ordered(_date, "date"),
    "bool": (_parsed(_boolean, lambda a, b: a == b), False),
    "binaryequals": (_parsed(_binary, lambda a, b: a == b), False),
    "ipaddress": (_address, False),
    "notipaddress": (_address, True),
    "arnequals": (_arn, False),
    "arnlike": (_arn, False),
    "arnnotequals": (_arn, True),
    "arnnotlike": (_arn, True),
}
