"""Policy documents: read into statements, and refused where AWS calls them malformed.

A document that is only evaluated is read leniently: what cannot be read of a statement becomes
undecidable, so that its Allow grants nothing and its Deny takes everything.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from local.emulator.policies import conditions
from local.emulator.policies.conditions import Condition

VERSIONS = ("2008-10-17", "2012-10-17")
# Only here are `${...}` variables.
_CURRENT = "2012-10-17"
_DOCUMENT = {"Version", "Id", "Statement"}
_STATEMENT = {
    *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction"),
    *("Resource", "NotResource", "Condition"),
}
# What the largest of AWS's own limits leaves room for; beyond it nothing is even parsed.
_MOST_CHARACTERS = 262_144
_ACTION = re.compile(r"\*|([A-Za-z0-9.-]+|\*):[A-Za-z0-9*?_-]+", re.ASCII)
_SID = re.compile(r"[A-Za-z0-9]*", re.ASCII)
_PARTITIONS = ("aws", "aws-cn", "aws-us-gov", "*")
_IAM_PATHS = (
    *("user/", "federated-user/", "role/", "group/", "instance-profile/", "mfa/"),
    *(
        "server-certificate/",
        "policy/",
        "sms-mfa/",
        "role-template/",
        "saml-provider/",
        "oidc-provider/",
    ),
    *("report/", "access-report/"),
)
_PRINCIPALS = {
    "AWS": re.compile(
        r"\*|\d{12}|arn:aws:iam::\d{12}:(root|(user|role)/[\w+=,.@/-]+)"
        r"|arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity [A-Z0-9]+"
        r"|arn:aws:sts::\d{12}:(assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+)"
        r"|A[A-Z]{3}[A-Z0-9]{12,28}",
        re.ASCII,
    ),
    "Service": re.compile(r"[a-z0-9][a-z0-9.-]*\.[a-z.]+", re.ASCII),
    "Federated": re.compile(
        r"arn:aws:iam::\d{12}:(saml-provider|oidc-provider)/[\w+=,.@:/-]+|[a-z0-9.-]+\.[a-z]+",
        re.ASCII,
    ),
}
_SYNTAX = "Syntax errors in policy."
_VENDOR = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
_WHITE = re.compile(r"\s+")


class Malformed(ValueError):
    """A document that AWS does not take, in AWS's words."""


@dataclass(frozen=True)
class Rules:
    """What a kind of policy must and must not hold."""

    principal: bool
    # "required", "prohibited" or "optional"
    resource: str = "required"
    # The one service whose actions may be named, if any.
    service: str = ""
    not_principal: bool = True


IDENTITY = Rules(principal=False)
RESOURCE = Rules(principal=True)
# Repositories of ECR: the policy is about that repository alone.
REPOSITORY = Rules(principal=True, resource="optional")
TRUST = Rules(principal=True, resource="prohibited", service="sts", not_principal=False)


class Unreadable(Enum):
    """In the place of an element that cannot be read."""

    ELEMENT = "unreadable"


# The texts of an element; None when the statement does not have it.
Texts = tuple[str, ...] | Unreadable | None
# Kinds and names of principals, such as ("AWS", "*").
Principals = tuple[tuple[str, str], ...] | Unreadable | None


@dataclass(frozen=True)
class Statement:
    """One statement, as it is evaluated."""

    sid: str
    effect: str
    actions: Texts = None
    not_actions: Texts = None
    resources: Texts = None
    not_resources: Texts = None
    principals: Principals = None
    not_principals: Principals = None
    conditions: tuple[Condition, ...] | Unreadable = ()
    # Whether `${...}` in it are policy variables.
    variables: bool = False
    # False of a statement that AWS would not have taken.
    valid: bool = True


Document = str | Mapping[str, Any]
_EVERYTHING_DENIED = Statement("", "Deny", actions=("*",), resources=("*",))


def statements(document: Document, rules: Rules) -> tuple[Statement, ...]:
    """The statements of a document; one that denies everything where it cannot be read at all."""
    text = document if isinstance(document, str) else json.dumps(document)
    return _statements(text, rules)


@functools.lru_cache(4096)
def _statements(text: str, rules: Rules) -> tuple[Statement, ...]:
    try:
        document = _loaded(text)
        if not isinstance(document, dict) or not document.keys() <= _DOCUMENT:
            return (_EVERYTHING_DENIED,)
        if not isinstance(document.get("Id", ""), str):
            return (_EVERYTHING_DENIED,)
        version = document.get("Version", VERSIONS[0])
        listed = document.get("Statement")
        listed = [listed] if isinstance(listed, dict) else listed
        if version not in VERSIONS or not isinstance(listed, list):
            return (_EVERYTHING_DENIED,)
        return tuple(_read(statement, version == _CURRENT, rules) for statement in listed)
    except Malformed:
        return (_EVERYTHING_DENIED,)


def _read(statement: Any, variables: bool, rules: Rules) -> Statement:
    if not isinstance(statement, dict):
        return _EVERYTHING_DENIED
    try:
        _check_statement(statement, rules)
        valid = True
    except Malformed:
        valid = False
    return Statement(
        sid=str(statement.get("Sid", "")),
        # What is not an Allow denies.
        effect="Allow" if statement.get("Effect") == "Allow" else "Deny",
        actions=_texts(statement.get("Action"), _check_action),
        not_actions=_texts(statement.get("NotAction"), _check_action),
        resources=_texts(statement.get("Resource"), _check_resource),
        not_resources=_texts(statement.get("NotResource"), _check_resource),
        principals=_principals(statement.get("Principal")),
        not_principals=_principals(statement.get("NotPrincipal")),
        conditions=_conditions(statement.get("Condition"), variables),
        variables=variables,
        valid=valid,
    )


def _texts(element: Any, check: Callable[[str], None] | None = None) -> Texts:
    """The texts of an element, each of which must pass `check`."""
    if element is None:
        return None
    listed = [element] if isinstance(element, str) else element
    if not isinstance(listed, list) or not listed:
        return Unreadable.ELEMENT
    if not all(isinstance(text, str) for text in listed):
        return Unreadable.ELEMENT
    try:
        for text in listed:
            (check or _taken)(text)
    except Malformed:
        return Unreadable.ELEMENT
    return tuple(listed)


def _taken(text: str) -> None:
    """The check of an element whose every text is read."""


def _principals(element: Any) -> Principals:
    if element is None:
        return None
    if element == "*":
        return (("AWS", "*"),)
    if not isinstance(element, dict) or not element:
        return Unreadable.ELEMENT
    found: list[tuple[str, str]] = []
    for kind, names in element.items():
        listed = _texts(names)
        form = _PRINCIPALS.get(kind)
        if form is None or not isinstance(listed, tuple):
            return Unreadable.ELEMENT
        if not all(form.fullmatch(name) for name in listed):
            return Unreadable.ELEMENT
        found += [(kind, name) for name in listed]
    return tuple(found)


def _conditions(element: Any, variables: bool) -> tuple[Condition, ...] | Unreadable:
    if element is None:
        return ()
    if not isinstance(element, dict):
        return Unreadable.ELEMENT
    found: list[Condition] = []
    for name, keys in element.items():
        if not isinstance(keys, dict) or not keys:
            return Unreadable.ELEMENT
        for key, values in keys.items():
            listed = values if isinstance(values, list) else [values]
            if not all(isinstance(value, str | bool | int | float) for value in listed):
                return Unreadable.ELEMENT
            texts = tuple(_scalar(value) for value in listed)
            found.append(Condition(conditions.operator_named(name), key, texts, variables))
    return tuple(found)


def _scalar(value: str | bool | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def check(document: Document, rules: Rules, *, most: int = 0, resource: str = "") -> None:
    """Refuse a document that AWS would not store.

    Args:
        document: as it was sent, or as a template holds it.
        rules: of its kind.
        most: the characters that it may have, without white space; 0 for any number.
        resource: what the limit is of, for the message.

    Raises:
        Malformed: with the reason.
    """
    text = document if isinstance(document, str) else json.dumps(document, default=str)
    if most and size(text) > most:
        raise Malformed(f"Maximum policy size of {most} bytes exceeded for {resource}")
    loaded = _loaded(text)
    if not isinstance(loaded, dict) or not loaded.keys() <= _DOCUMENT:
        raise Malformed(_SYNTAX)
    if loaded.get("Version", VERSIONS[0]) not in VERSIONS:
        raise Malformed(_SYNTAX)
    if not isinstance(loaded.get("Id", ""), str):
        raise Malformed(_SYNTAX)
    listed = loaded.get("Statement")
    listed = [listed] if isinstance(listed, dict) else listed
    if not isinstance(listed, list) or not listed:
        raise Malformed(_SYNTAX)
    for statement in listed:
        if not isinstance(statement, dict):
            raise Malformed(_SYNTAX)
        _check_statement(statement, rules)
    sids = [statement["Sid"] for statement in listed if statement.get("Sid")]
    if len(set(sids)) < len(sids):
        raise Malformed("Statement IDs (SID) in a single policy must be unique.")


def size(text: str) -> int:
    """The characters of a document as IAM counts them, without white space."""
    return len(_WHITE.sub("", text))


def _loaded(text: str) -> Any:
    if len(text) > _MOST_CHARACTERS:
        raise Malformed(f"Maximum policy size of {_MOST_CHARACTERS} bytes exceeded")
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(_SYNTAX) from error


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Malformed(_SYNTAX)
    return found


def _no_constant(name: str) -> Any:
    raise Malformed(_SYNTAX)


def _check_statement(statement: Mapping[str, Any], rules: Rules) -> None:
    unknown = [*(statement.keys() - _STATEMENT)]
    if unknown or statement.get("Effect") not in ("Allow", "Deny"):
        raise Malformed(_SYNTAX)
    sid = statement.get("Sid", "")
    if not isinstance(sid, str):
        raise Malformed(_SYNTAX)
    if not rules.principal and not _SID.fullmatch(sid):
        raise Malformed(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the "
            "regular expression [0-9A-Za-z]*"
        )
    _check_principal(statement, rules)
    _check_actions(statement, rules)
    _check_resources(statement, rules)
    if "Condition" in statement:
        _check_condition(statement["Condition"])


def _one_of(statement: Mapping[str, Any], name: str) -> list[str]:
    """The texts of an element or of its negation, of which a statement has one at most."""
    if name in statement and f"Not{name}" in statement:
        raise Malformed(_SYNTAX)
    element = statement.get(name, statement.get(f"Not{name}", []))
    listed = [element] if isinstance(element, str) else element
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise Malformed(_SYNTAX)
    return listed


def _check_actions(statement: Mapping[str, Any], rules: Rules) -> None:
    actions = _one_of(statement, "Action")
    if not actions:
        raise Malformed("Policy statement must contain actions.")
    for action in actions:
        _check_action(action)
        if rules.service and action.partition(":")[0].lower() != rules.service:
            raise Malformed("AssumeRole policy may only specify STS AssumeRole actions.")


def _check_action(action: str) -> None:
    if action != "*" and ":" not in action:
        raise Malformed(_VENDOR)
    if action.count(":") > 1:
        raise Malformed("Actions/Condition can contain only one colon.")
    if not _ACTION.fullmatch(action):
        raise Malformed(f"Vendor {action.partition(':')[0]} is not valid")


def _check_resources(statement: Mapping[str, Any], rules: Rules) -> None:
    resources = _one_of(statement, "Resource")
    present = "Resource" in statement or "NotResource" in statement
    if rules.resource == "prohibited" and present:
        raise Malformed("Has prohibited field Resource.")
    if not resources and (present or rules.resource == "required"):
        raise Malformed("Policy statement must contain resources.")
    for resource in resources:
        _check_resource(resource)


def _check_resource(resource: str) -> None:
    if resource == "*":
        return
    prefix, colon, rest = resource.partition(":")
    # In whatever case: what it matches is another question, and there case counts.
    if prefix.lower() != "arn" or not colon:
        raise Malformed(f'Resource {resource} must be in ARN format or "*".')
    partition, _, rest = rest.partition(":")
    if partition.lower() not in _PARTITIONS and "${" not in partition:
        raise Malformed(f'Partition "{partition}" is not valid for resource "{resource}".')
    service, _, rest = rest.partition(":")
    if not service:
        raise Malformed("Resource vendor must be fully qualified and cannot contain regexes.")
    if resource.count(":") < 5 and "::" in resource:
        raise Malformed("The policy failed legacy parsing")
    if service != "iam" or resource.count(":") < 5:
        return
    region, _, rest = rest.partition(":")
    if region:
        raise Malformed(f"IAM resource {resource} cannot contain region information.")
    path = rest.partition(":")[2]
    if path not in ("*", "root") and not path.startswith((*_IAM_PATHS, "*", "$")):
        raise Malformed(
            f'IAM resource path must either be "*" or start with {", ".join(_IAM_PATHS)}.'
        )


def _check_principal(statement: Mapping[str, Any], rules: Rules) -> None:
    names = [name for name in ("Principal", "NotPrincipal") if name in statement]
    if not rules.principal:
        if names:
            raise Malformed("Policy document should not specify a principal.")
        return
    if not names:
        raise Malformed("Missing required field Principal")
    if len(names) == 2:
        raise Malformed(_SYNTAX)
    if names == ["NotPrincipal"]:
        if statement["Effect"] == "Allow":
            raise Malformed("Allow with NotPrincipal is not allowed.")
        if not rules.not_principal:
            raise Malformed("AssumeRole policy must not contain NotPrincipal field.")
    if not isinstance(_principals(statement[names[0]]), tuple):
        raise Malformed(f"Invalid principal in policy: {json.dumps(statement[names[0]])[:200]}")


def _check_condition(element: Any) -> None:
    if not isinstance(element, dict):
        raise Malformed(_SYNTAX)
    for name, keys in element.items():
        if conditions.operator_named(name) is None:
            raise Malformed(f"Invalid Condition type : {name}")
        if not isinstance(keys, dict):
            raise Malformed(_SYNTAX)
        for key, values in keys.items():
            if ":" not in key:
                raise Malformed(_VENDOR)
            listed = values if isinstance(values, list) else [values]
            if not all(isinstance(value, str | bool | int | float) for value in listed):
                raise Malformed(_SYNTAX)
            if not all(conditions.readable(name, _scalar(value)) for value in listed):
                raise Malformed("The policy failed legacy parsing")
