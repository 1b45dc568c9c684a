"""Policy documents and requests at random: mostly sensible, some wrong in all ways."""

import json
from random import Random
from typing import Any

ACCOUNT = "000000000000"
OTHER = "111111111111"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/worker"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/one"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
CALLERS: list[dict[str, str]] = [
    {"arn": ALICE, "account": ACCOUNT},
    {"arn": f"arn:aws:iam::{ACCOUNT}:user/team/bob", "account": ACCOUNT},
    {"arn": SESSION, "account": ACCOUNT, "role": ROLE},
    {"arn": f"arn:aws:iam::{OTHER}:user/alice", "account": OTHER},
    {"arn": f"arn:aws:iam::{ACCOUNT}:root", "account": ACCOUNT},
    {"service": "sagemaker.amazonaws.com"},
    {"federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/id.example.com"},
    {},
]
REQUESTED = ("s3:GetObject", "s3:PutObject", "sts:AssumeRole", "sqs:SendMessage", "S3:GETOBJECT")
ACTIONS = (
    *("*", "s3:*", "s3:Get*", "s3:GetObject", "s3:getobject", "S3:Put?bject", "sqs:SendMessage"),
    *("s3:*Object", "*:*", "s3:?etObject", "iam:*"),
)
TRUST_ACTIONS = ("sts:AssumeRole", "sts:*", "STS:assumerole", "sts:TagSession")
RESOURCES = (
    "arn:aws:s3:::b/a/x",
    "arn:aws:s3:::b/alice/x",
    "arn:aws:s3:::b/line\nfeed",
    "arn:aws:s3:::b/a*x",
    "arn:aws:s3:::b/",
    "arn:aws:sqs:us-east-1:000000000000:q",
    "*",
)
PATTERNS = (
    *("*", "arn:aws:s3:::*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a/x", "arn:aws:s3:::b/?/x"),
    *("arn:aws:s3:::b/${aws:username}/*", "arn:aws:s3:::b/${aws:username, 'alice'}/*"),
    *("arn:aws:s3:::b/a${*}x", "arn:aws:s3:::b/a*x", "arn:aws:s3:::b/${aws:nothing}/*"),
    *("arn:aws:s3:::b/*/${aws:PrincipalTag/team}", "arn:aws:sqs:*:000000000000:*", "arn:aws:sqs"),
    *("ARN:aws:s3:::b/*", "arn:aws:s3:::B/*", "arn:*:s3:::b/*", "arn:aws:s3:::b/line?feed"),
)
KEYS: dict[str, tuple[Any, ...]] = {
    "aws:username": ("alice", "Alice", "bob"),
    "aws:PrincipalTag/team": ("red", "x", ""),
    "aws:SourceIp": ("10.1.2.3", "192.168.0.1", "::1", "2001:db8::1", "no"),
    "aws:SecureTransport": ("true", "false", "maybe"),
    "aws:CurrentTime": ("2026-05-01T00:00:00Z", "2019-12-31T23:59:59Z", "1767225600", "later"),
    "aws:TagKeys": (["team"], ["team", "cost"], ["Team"], [""], []),
    "aws:PrincipalArn": (ROLE, ALICE, "nobody"),
    "aws:SourceArn": ("arn:aws:s3:::b", "arn:aws:sns:us-east-1:000000000000:t:x"),
    "s3:max-keys": ("5", "10", "-1", "1.5", "many"),
    "s3:prefix": ("a/", "home/alice/", "", "a*"),
    "kms:bytes": ("aGk=", "aG8=", "?"),
    "aws:nothing": (),
}
OPERATORS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "String": (
        "Equals NotEquals EqualsIgnoreCase NotEqualsIgnoreCase Like NotLike",
        (
            *("alice", "ALICE", "a*", "team", "${aws:username}", "*", "home/${aws:username}/"),
            *("${aws:nothing}", "${aws:nothing, 'alice'}", "a${*}", "?lice", "", "cost", "red"),
        ),
    ),
    "Numeric": (
        "Equals NotEquals LessThan LessThanEquals GreaterThan GreaterThanEquals",
        ("5", "10", 5, 1.5, "x", "-1"),
    ),
    "Date": (
        "Equals NotEquals LessThan LessThanEquals GreaterThan GreaterThanEquals",
        ("2026-01-01T00:00:00Z", "2020-01-01", "1767225600", "2026-01-01T02:00:00+02:00"),
    ),
    "Bool": ("", ("true", "false", True, "TRUE", "perhaps")),
    "Null": ("", ("true", "false", True, "no")),
    "Binary": ("Equals", ("aGk=", "aG8=", "!")),
    "IpAddress": ("", ("10.0.0.0/8", "192.168.0.1", "::/0", "0.0.0.0/0", "2001:db8::/32")),
    "NotIpAddress": ("", ("10.0.0.0/8", "192.168.0.1", "::/0")),
    "Arn": (
        "Equals NotEquals Like NotLike",
        (ROLE, "arn:aws:iam::*:role/*", "arn:aws:iam::*:user/${aws:username}", "arn:aws:s3:::*"),
    ),
}
# The keys that go with a type; others are tried now and then.
SUITING = {
    "Numeric": ("s3:max-keys",),
    "Date": ("aws:CurrentTime",),
    "Bool": ("aws:SecureTransport",),
    "Binary": ("kms:bytes",),
    "IpAddress": ("aws:SourceIp",),
    "NotIpAddress": ("aws:SourceIp",),
    "Arn": ("aws:PrincipalArn", "aws:SourceArn"),
    "String": ("aws:username", "s3:prefix", "aws:TagKeys", "aws:PrincipalTag/team"),
}
PRINCIPALS: tuple[Any, ...] = (
    "*",
    {"AWS": "*"},
    {"AWS": ACCOUNT},
    {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    {"AWS": [ALICE, ROLE]},
    {"AWS": SESSION},
    {"AWS": ROLE},
    {"Service": "sagemaker.amazonaws.com"},
    {"Service": ["lambda.amazonaws.com", "sagemaker.amazonaws.com"], "AWS": OTHER},
    {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/id.example.com"},
)


def _several(random: Random, pool: tuple[Any, ...]) -> Any:
    if random.random() < 0.6:
        return random.choice(pool)
    return random.sample(pool, random.randint(1, 3))


def condition(random: Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(random.choice((1, 1, 1, 2))):
        kind = random.choice([*OPERATORS])
        endings, values = OPERATORS[kind]
        name = kind + random.choice(endings.split(" "))
        if kind != "Null":
            name = random.choice(("", "", "", "ForAllValues:", "ForAnyValue:")) + name
            name += random.choice(("", "", "IfExists"))
        if random.random() < 0.1:
            name = random.choice((name.lower(), name.upper()))
        keys = SUITING.get(kind, tuple(KEYS)) if random.random() < 0.85 else tuple(KEYS)
        key = random.choice(keys)
        key = key.lower() if random.random() < 0.2 else key
        found.setdefault(name, {})[key] = _several(random, values)
    return found


def statement(random: Random, kind: str) -> dict[str, Any]:
    effect = random.choice(("Allow", "Allow", "Allow", "Deny"))
    found: dict[str, Any] = {"Effect": effect}
    actions = TRUST_ACTIONS if kind == "trust" else ACTIONS
    element = "Action" if random.random() < 0.85 else "NotAction"
    found[element] = _several(random, actions)
    if kind != "trust":
        element = "Resource" if random.random() < 0.85 else "NotResource"
        found[element] = _several(random, PATTERNS)
    if kind != "identity":
        opposed = kind == "resource" and effect == "Deny" and random.random() < 0.4
        found["NotPrincipal" if opposed else "Principal"] = random.choice(PRINCIPALS)
    if random.random() < 0.6:
        found["Condition"] = condition(random)
    return found


def document(random: Random, kind: str) -> dict[str, Any]:
    statements = [statement(random, kind) for _ in range(random.choice((1, 1, 2, 3)))]
    found: dict[str, Any] = {"Statement": statements if random.random() < 0.8 else statements[0]}
    version = random.choice(("2012-10-17",) * 8 + ("2008-10-17", ""))
    return {"Version": version, **found} if version else found


def policy(random: Random, kind: str) -> str:
    return json.dumps(document(random, kind))


def request(random: Random, caller: dict[str, str], *, trust: bool = False) -> dict[str, Any]:
    context = {
        key.lower(): random.choice(values)
        for key, values in KEYS.items()
        if values and random.random() < 0.7
    }
    return {
        "action": "sts:AssumeRole" if trust else random.choice(REQUESTED),
        "resource": ROLE if trust else random.choice(RESOURCES),
        "context": context,
        "caller": caller,
    }


def damaged(random: Random, kind: str) -> str:
    """A document with one thing changed, which AWS may or may not take."""
    found = document(random, kind)
    statements = found["Statement"]
    first = statements[0] if isinstance(statements, list) else statements
    change = random.choice(DAMAGES)
    text = change(random, found, first)
    return text if isinstance(text, str) else json.dumps(found)


def _set(name: str, *values: Any, top: bool = False) -> Any:
    def change(random: Random, found: dict[str, Any], first: dict[str, Any]) -> None:
        (found if top else first)[name] = random.choice(values)

    return change


def _without(*names: str) -> Any:
    def change(random: Random, found: dict[str, Any], first: dict[str, Any]) -> None:
        for name in names:
            first.pop(name, None)

    return change


def _twice(random: Random, found: dict[str, Any], first: dict[str, Any]) -> str:
    return json.dumps(found).replace('"Effect"', '"Effect": "Deny", "Effect"', 1)


def _broken(random: Random, found: dict[str, Any], first: dict[str, Any]) -> str:
    text = json.dumps(found)
    return random.choice((text[:-1], f"[{text}]", "", "{", "[" * 100_000, "null", f"{text} {text}"))


def _same_sid(random: Random, found: dict[str, Any], first: dict[str, Any]) -> None:
    first["Sid"] = random.choice(("One", "o ne", ""))
    found["Statement"] = [first, {**first}]


DAMAGES = (
    _set("Effect", "allow", "Maybe", None, ["Allow"]),
    _set("Action", "GetObject", "", [], "s3:Get:Object", 5, None, "s3 :x", ["s3:*", 1], {}),
    _set("Resource", "bucket", [], "arn:aws", "arn:nowhere:s3:::b", 1, "arn::s3:::b", ["*", None]),
    _set("NotAction", "s3:*"),
    _set("NotResource", "*"),
    _set("Condition", [], "x", {"StringEqualz": {"aws:x": "y"}}, {"StringEquals": "x"}, {}),
    _set("Condition", {"StringEquals": {"key": "x"}}, {"StringEquals": {"aws:x": {"a": "b"}}}),
    _set(
        "Condition", {"ForAllValues:Null": {"aws:x": "true"}}, {"NullIfExists": {"aws:x": "true"}}
    ),
    _set("Condition", {"IpAddress": {"aws:SourceIp": "10.0.0.0/99"}}, {"StringEquals": None}),
    _set("Condition", {"DateLessThan": {"aws:CurrentTime": "soon"}}, {"Bool": {"aws:x": [None]}}),
    _set("Condition", {"StringEquals": {}}, {"StringEquals": {"aws:x": []}}, {"Bool": {"a:b": 1}}),
    _set("Principal", "*", {"AWS": f"arn:aws:iam::{ACCOUNT}:user/*"}, {"CanonicalUser": "x"}, {}),
    _set("Principal", "alice", {"AWS": []}, {"AWS": "alice"}, [], None, {"Service": "lambda"}),
    _set("NotPrincipal", {"AWS": ACCOUNT}, "*"),
    _set("Sid", 5, "with space", "Fine"),
    _set("Extra", "x"),
    _set("action", "s3:*"),
    _set("Version", "2012-10-18", "", None, 2012, ["2012-10-17"], top=True),
    _set("Statement", [], None, "x", [[]], [None], top=True),
    _set("Extra", "x", top=True),
    _set("Id", 5, "fine", top=True),
    _without("Action", "NotAction"),
    _without("Resource", "NotResource"),
    _without("Effect"),
    _without("Principal", "NotPrincipal"),
    _twice,
    _broken,
    _same_sid,
)
