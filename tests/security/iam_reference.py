"""IAM's documented rules once more, written apart from the product to be compared with it.

Slow and literal: documents stay JSON, patterns are matched letter by letter, and whatever the
documentation leaves open is carried along as the set of what might be true. Nothing is shared with
`local.emulator.policies`.
"""

import base64
import datetime
import functools
import ipaddress
import json
import re
from typing import Any

YES, NO, OPEN = frozenset({True}), frozenset({False}), frozenset({True, False})
Possible = frozenset[bool]


def both(*sides: Possible) -> Possible:
    return functools.reduce(lambda a, b: frozenset(x and y for x in a for y in b), sides, YES)


def either(*sides: Possible) -> Possible:
    return functools.reduce(lambda a, b: frozenset(x or y for x in a for y in b), sides, NO)


def opposite(side: Possible) -> Possible:
    return frozenset(not x for x in side)


def known(truth: bool) -> Possible:
    return YES if truth else NO


# ---- wildcards: a pattern is a list of letters, of which some are marked as wild


def letters(text: str) -> list[tuple[str, bool]]:
    return [(letter, letter in "*?") for letter in text]


def fits(pattern: list[tuple[str, bool]], text: str) -> bool:
    @functools.cache
    def from_here(p: int, t: int) -> bool:
        if p == len(pattern):
            return t == len(text)
        letter, wild = pattern[p]
        if wild and letter == "*":
            return from_here(p + 1, t) or (t < len(text) and from_here(p, t + 1))
        return t < len(text) and (wild or letter == text[t]) and from_here(p + 1, t + 1)

    return from_here(0, 0)


def filled(text: str, version: str, context: dict[str, Any]) -> list[tuple[str, bool]] | None:
    """The letters of a policy's text with its variables replaced; None without a value."""
    if version != "2012-10-17":
        return letters(text)
    result: list[tuple[str, bool]] = []
    while text:
        before, dollar, after = text.partition("${")
        result += letters(before)
        if not dollar:
            return result
        name, brace, text = after.partition("}")
        if not brace:
            return None
        if name in ("*", "?", "$"):
            result.append((name, False))
            continue
        key, comma, default = name.partition(",")
        value = context.get(key.strip().lower())
        if isinstance(value, list):
            value = value[0] if len(value) == 1 else None
        if value is None and comma:
            value = default.strip()[1:-1]
        if value is None:
            return None
        result += [(letter, False) for letter in value]
    return result


# ---- conditions


def instant(text: str) -> datetime.datetime | None:
    if re.fullmatch("[0-9]+", text):
        return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(
            seconds=int(text)
        )
    for form in ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d", "%Y-%m-%dT%H:%M%z", "%Y-%m"):
        try:
            found = datetime.datetime.strptime(text, form)
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    return None


def amount(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text) else None


def boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def raw(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


def compare(kind: str, how: str, given: str, wanted: str, version: str, context: Any) -> Possible:
    """One value of a request against one of a policy; `how` is what follows the type."""
    if kind in ("string", "arn"):
        pattern = filled(wanted, version, context)
        if pattern is None:
            return NO
        plain = "".join(letter for letter, _ in pattern)
        if kind == "arn":
            return arn(pattern, given)
        if how == "like":
            return known(fits(pattern, given))
        if how == "equalsignorecase":
            return known(plain.casefold() == given.casefold())
        return known(plain == given)
    if kind == "ip":
        try:
            return known(ipaddress.ip_address(given) in ipaddress.ip_network(wanted, strict=False))
        except ValueError:
            return OPEN
    reader: Any = {"numeric": amount, "date": instant, "bool": boolean, "binary": raw}[kind]
    left, right = reader(given), reader(wanted)
    if left is None or right is None:
        return OPEN
    return known(
        {
            "equals": left == right,
            "lessthan": kind in ("numeric", "date") and left < right,
            "lessthanequals": kind in ("numeric", "date") and left <= right,
            "greaterthan": kind in ("numeric", "date") and left > right,
            "greaterthanequals": kind in ("numeric", "date") and left >= right,
        }[how]
    )


def arn(pattern: list[tuple[str, bool]], given: str) -> Possible:
    fields: list[list[tuple[str, bool]]] = [[]]
    for letter, wild in pattern:
        if letter == ":" and len(fields) < 6:
            fields.append([])
        else:
            fields[-1].append((letter, wild))
    values = given.split(":", 5)
    if len(fields) < 6 or len(values) < 6:
        return OPEN
    return known(all(fits(field, value) for field, value in zip(fields, values, strict=True)))


TYPES = {
    "string": (
        *("equals", "notequals", "equalsignorecase", "notequalsignorecase", "like", "notlike"),
    ),
    "numeric": (
        *("equals", "notequals", "lessthan", "lessthanequals", "greaterthan"),
        "greaterthanequals",
    ),
    "date": (
        *("equals", "notequals", "lessthan", "lessthanequals", "greaterthan"),
        "greaterthanequals",
    ),
    "bool": ("",),
    "binary": ("equals",),
    "arn": ("equals", "notequals", "like", "notlike"),
}


def operator(name: str) -> tuple[str, str, bool, str, bool] | None:
    """Type, comparison, negation, quantifier and IfExists of an operator's name."""
    rest = name.lower()
    quantifier = ""
    if rest.startswith(("forallvalues:", "foranyvalue:")):
        quantifier, _, rest = rest.partition(":")
    if rest == "null":
        return None if quantifier else ("null", "", False, "", False)
    optional = rest.endswith("ifexists")
    rest = rest[: -len("ifexists")] if optional else rest
    if rest in ("ipaddress", "notipaddress"):
        return "ip", "", rest.startswith("not"), quantifier, optional
    for kind, endings in TYPES.items():
        if rest.startswith(kind) and rest[len(kind) :] in endings:
            how = rest[len(kind) :]
            negated = how.startswith("not")
            how = how[3:] if negated else how
            return kind, how or "equals", negated, quantifier, optional
    return None


def condition(name: str, key: str, wanted: Any, version: str, context: dict[str, Any]) -> Possible:
    found = operator(name)
    if found is None:
        return OPEN
    kind, how, negated, quantifier, optional = found
    expected = [
        ("true" if each is True else "false" if each is False else str(each))
        for each in (wanted if isinstance(wanted, list) else [wanted])
    ]
    if not expected:
        return OPEN
    given = context.get(key.lower())
    values = [] if given is None else given if isinstance(given, list) else [given]
    if kind == "null":
        return either(
            *(
                OPEN if boolean(each) is None else known(boolean(each) == (not values))
                for each in expected
            )
        )
    if not values:
        if optional:
            return YES
        if quantifier:
            return known(quantifier == "forallvalues")
        return known(negated)
    if quantifier and values == [""]:
        return known(quantifier == "forallvalues")

    def one(value: str) -> Possible:
        hit = either(*(compare(kind, how, value, each, version, context) for each in expected))
        if not negated:
            return hit
        unresolved = kind in ("string", "arn") and any(
            filled(each, version, context) is None for each in expected
        )
        return OPEN if unresolved and hit == NO else opposite(hit)

    if quantifier == "forallvalues":
        return both(*map(one, values))
    if quantifier == "foranyvalue":
        return either(*map(one, values))
    return one(values[0]) if len(values) == 1 else OPEN


# ---- statements


def listed(element: Any) -> list[Any]:
    return element if isinstance(element, list) else [element]


def covers(statement: dict[str, Any], version: str, request: dict[str, Any]) -> Possible:
    """Whether a statement of a valid document is about the request, whoever makes it."""
    context = request["context"]

    def action(pattern: str) -> Possible:
        return known(fits(letters(pattern.lower()), request["action"].lower()))

    def resource(pattern: str) -> Possible:
        found = filled(pattern, version, context)
        if found is None:
            return OPEN
        if pattern != "*":
            for _ in range(5 - [letter for letter, _ in found].count(":")):
                found = [*found, (":", False), ("*", True)]
        return known(fits(found, request["resource"]))

    parts = []
    if "Action" in statement:
        parts.append(either(*map(action, listed(statement["Action"]))))
    else:
        parts.append(opposite(either(*map(action, listed(statement["NotAction"])))))
    if "Resource" in statement:
        hits = [resource(each) for each in listed(statement["Resource"])]
        parts.append(either(*(NO if hit == OPEN else hit for hit in hits)))
    elif "NotResource" in statement:
        parts.append(opposite(either(*map(resource, listed(statement["NotResource"])))))
    for name, keys in statement.get("Condition", {}).items():
        if not keys:
            parts.append(OPEN)
        for key, wanted in keys.items():
            parts.append(condition(name, key, wanted, version, context))
    return both(*parts)


def names(statement: dict[str, Any], caller: dict[str, str]) -> tuple[Possible, int]:
    """Whether Principal or NotPrincipal takes the caller in, and how closely it names it.

    Closely: 1 as one of an account, 2 as everybody or by its role, 3 as itself.
    """
    element: Any = statement.get("Principal", statement.get("NotPrincipal"))
    groups: dict[str, Any] = {"AWS": "*"} if element == "*" else element
    closeness = 0
    for kind, values in groups.items():
        for value in listed(values):
            near = 0
            if kind == "Service":
                near = 3 if value.lower() == caller.get("service", "").lower() else 0
            elif kind == "Federated":
                near = 3 if value == caller.get("federated") else 0
            elif value == "*":
                near = 2
            elif value == caller.get("arn"):
                near = 3
            elif value == caller.get("role"):
                near = 2
            elif "arn" in caller and value in (
                caller["account"],
                f"arn:aws:iam::{caller['account']}:root",
            ):
                near = 1
            closeness = max(closeness, near)
    if "Principal" in statement:
        return known(closeness > 0), closeness
    everybody = "*" in listed(groups.get("AWS", []))
    return known(not (closeness == 3 or (closeness == 2 and everybody))), closeness


def hits(policies: list[Any], effect: str, request: dict[str, Any], *, addressed: bool) -> int:
    """How closely the closest statement of an effect names the caller; 1 without principals."""
    closest = 0
    for policy in policies:
        document = json.loads(policy)
        version = document.get("Version", "2008-10-17")
        for statement in listed(document["Statement"]):
            if statement["Effect"] != effect:
                continue
            truth, near = covers(statement, version, request), 1
            if addressed:
                taken, near = names(statement, request["caller"])
                truth, near = both(truth, taken), max(near, 1)
            if truth == YES or (effect == "Deny" and True in truth):
                closest = max(closest, near)
    return closest


def decision(
    request: dict[str, Any],
    identity: list[str],
    limits: list[list[str]],
    resource: str | None = None,
    *,
    required: bool = False,
) -> str:
    """AWS's flow: any deny, then the resource's policy, then identity policies in their limits."""
    own = [resource] if resource else []
    everything = [*identity, *(policy for limit in limits for policy in limit)]
    if hits(everything, "Deny", request, addressed=False):
        return "Deny"
    if hits(own, "Deny", request, addressed=True):
        return "Deny"
    near = hits(own, "Allow", request, addressed=True)
    within = all(hits(limit, "Allow", request, addressed=False) for limit in limits)
    if near == 3 or (near == 2 and within):
        return "Allow"
    if required and not near:
        return "ImplicitDeny"
    allowed = hits(identity, "Allow", request, addressed=False)
    return "Allow" if allowed and within else "ImplicitDeny"


# ---- documents


def wellformed(text: str, kind: str) -> bool:
    """Whether AWS would store a document: `kind` is identity, resource or trust."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError(pairs)
        return dict(pairs)

    try:
        document = json.loads(text, object_pairs_hook=once)
        assert isinstance(document, dict)
        assert set(document) <= {"Version", "Id", "Statement"}
        assert document.get("Version", "2012-10-17") in ("2012-10-17", "2008-10-17")
        assert isinstance(document.get("Id", ""), str)
        statements = listed(document["Statement"])
        assert statements
        for statement in statements:
            check(statement, kind)
        sids = [each["Sid"] for each in statements if each.get("Sid")]
        assert len(sids) == len(set(sids))
    except (AssertionError, KeyError, ValueError, RecursionError):
        return False
    return True


def check(statement: Any, kind: str) -> None:
    assert isinstance(statement, dict)
    elements = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
    elements |= {"Principal", "NotPrincipal"} if kind != "identity" else set()
    assert set(statement) <= elements
    assert statement["Effect"] in ("Allow", "Deny")
    assert isinstance(statement.get("Sid", ""), str)
    assert kind != "identity" or re.fullmatch("[0-9A-Za-z]*", statement.get("Sid", ""))
    actions = strings(statement, "Action")
    assert actions
    for action in actions:
        assert action == "*" or re.fullmatch(r"([0-9A-Za-z.-]+|\*):[0-9A-Za-z*?_-]+", action)
        assert kind != "trust" or action.lower().startswith("sts:")
    resources = strings(statement, "Resource")
    assert bool(resources) == (kind != "trust")
    assert kind != "trust" or not {"Resource", "NotResource"} & set(statement)
    for each in resources:
        fields = each.split(":")
        assert each == "*" or (
            fields[0].lower() == "arn"
            and len(fields) > 2
            and fields[1].lower() in ("aws", "aws-cn", "aws-us-gov", "*")
            and fields[2]
            and (len(fields) > 5 or "" not in fields[1:-1])
        )
    if kind != "identity":
        principals(statement, kind)
    conditions = statement.get("Condition", {})
    assert isinstance(conditions, dict)
    for name, keys in conditions.items():
        assert operator(name) is not None
        assert isinstance(keys, dict)
        for key, wanted in keys.items():
            assert ":" in key
            assert all(isinstance(each, (str, bool, int, float)) for each in listed(wanted))
            for each in map(str, listed(wanted)):
                kind_of_value = (operator(name) or ("",))[0]
                assert "${" in each or kind_of_value != "date" or instant(each)
                if kind_of_value == "ip" and "${" not in each:
                    ipaddress.ip_network(each, strict=False)


def strings(statement: dict[str, Any], element: str) -> list[str]:
    assert not {element, f"Not{element}"} <= set(statement)
    found = listed(statement.get(element, statement.get(f"Not{element}", [])))
    assert all(isinstance(each, str) for each in found)
    return found


def principals(statement: dict[str, Any], kind: str) -> None:
    (name,) = {"Principal", "NotPrincipal"} & set(statement) or {""}
    assert name
    assert name == "Principal" or (kind != "trust" and statement["Effect"] == "Deny")
    element = statement[name]
    if element == "*":
        return
    assert isinstance(element, dict)
    assert element
    for group, values in element.items():
        assert values
        for value in listed(values):
            assert isinstance(value, str)
            if group == "AWS":
                assert value == "*" or re.fullmatch(
                    r"\d{12}|arn:aws:(iam::\d{12}:(root|(user|role)/[\w/-]+)"
                    r"|sts::\d{12}:(assumed-role/[\w-]+|federated-user)/[\w-]+)",
                    value,
                )
            else:
                assert group in ("Service", "Federated")
                assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]+|arn:aws:iam::\d{12}:[\w:/.-]+", value)
