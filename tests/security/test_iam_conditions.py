"""Conditions, wildcards and variables of policies"""

from typing import Any

import pytest

from local.emulator.policies import conditions, document, evaluation
from local.emulator.policies.document import IDENTITY
from local.emulator.policies.evaluation import Decision, Request

ROLE = "arn:aws:iam::000000000000:role/team/worker"


def asked(
    statement: dict[str, Any],
    *,
    action: str = "s3:GetObject",
    resource: str = "arn:aws:s3:::b/k",
    version: str = "2012-10-17",
    **context: Any,
) -> tuple[bool, bool]:
    """Whether a statement matches as an Allow, and whether it does as a Deny."""
    keys = {name.replace("__", ":").replace("_1_", "/").lower(): v for name, v in context.items()}
    request = Request(action, resource, lookup=lambda key: keys.get(key.lower()))
    found = []
    for effect, wanted in (("Allow", Decision.ALLOW), ("Deny", Decision.DENY)):
        whole = {"Action": "s3:*", "Resource": "*", **statement, "Effect": effect}
        if "NotResource" in statement:
            del whole["Resource"]
        if "NotAction" in statement:
            del whole["Action"]
        text = {"Version": version, "Statement": [whole]}
        policy = document.statements(text, IDENTITY)
        found.append(evaluation.decide(request, [policy]).decision is wanted)
    return found[0], found[1]


def met(operator: str, wanted: Any, **context: Any) -> bool | None:
    """Whether a condition on aws:x is met; None when that cannot be decided."""
    allows, denies = asked({"Condition": {operator: {"aws:x": wanted}}}, **context)
    assert allows <= denies
    return None if allows != denies else allows


@pytest.mark.holds("What cannot be decided grants nothing as an Allow and takes all as a Deny.")
@pytest.mark.parametrize(
    "condition",
    [
        {"StringEqualz": {"aws:x": "y"}},
        {"StringEquals": "x"},
        {"StringEquals": {}},
        {"StringEquals": {"aws:x": []}},
        {"StringEquals": {"aws:x": {"a": "b"}}},
        ["x"],
        "x",
        5,
        {"NumericEquals": {"aws:x": "five"}},
        {"NumericEquals": {"aws:x": "nan"}},
        {"DateLessThan": {"aws:x": "soon"}},
        {"Bool": {"aws:x": "perhaps"}},
        {"Null": {"aws:x": "perhaps"}},
        {"IpAddress": {"aws:x": "10.0.0.0/99"}},
        {"BinaryEquals": {"aws:x": "?"}},
        {"ArnLike": {"aws:x": "*"}},
        {"StringNotEquals": {"aws:x": "${aws:nothing}"}},
    ],
)
def test_what_cannot_be_decided_denies(condition: Any) -> None:
    assert asked({"Condition": condition}, aws__x="value") == (False, True)


@pytest.mark.holds("A value of a request that cannot be read matches no Allow and every Deny.")
@pytest.mark.parametrize(
    ("operator", "wanted", "given"),
    [
        ("NumericLessThan", "10", "many"),
        ("NumericNotEquals", "10", "1e3"),
        ("DateGreaterThan", "2026-01-01", "later"),
        ("Bool", "true", "1"),
        ("NotIpAddress", "10.0.0.0/8", "elsewhere"),
        ("ArnNotLike", ROLE, "nobody"),
        ("StringEquals", "a", ["a", "b"]),
        ("StringNotEquals", "c", ["a", "b"]),
    ],
)
def test_a_value_that_cannot_be_read_denies(operator: str, wanted: str, given: Any) -> None:
    assert met(operator, wanted, aws__x=given) is None


@pytest.mark.holds("Every operator compares as IAM's reference says.")
@pytest.mark.parametrize(
    ("operator", "wanted", "given", "expected"),
    [
        ("StringEquals", "Red", "red", False),
        ("StringEquals", ["blue", "red"], "red", True),
        ("StringEquals", "r*", "red", False),
        ("StringNotEquals", ["blue", "red"], "red", False),
        ("StringNotEquals", ["blue", "red"], "green", True),
        ("StringEqualsIgnoreCase", "Red", "rED", True),
        ("StringNotEqualsIgnoreCase", "Red", "rED", False),
        ("StringLike", "a*z", "a\nb/z", True),
        ("StringLike", "a?", "a\n", True),
        ("StringLike", "a", "a\n", False),
        ("StringNotLike", ["a*", "b*"], "bz", False),
        ("NumericEquals", "5", "5.0", True),
        ("NumericLessThan", 10, "9.99", True),
        ("NumericGreaterThanEquals", "10", "10", True),
        ("NumericNotEquals", "10", "11", True),
        ("DateLessThan", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", True),
        ("DateEquals", "1767225600", "2026-01-01T01:00:00+01:00", True),
        ("DateGreaterThan", "2026-01-01", "2026-01-01T00:00:00Z", False),
        ("Bool", True, "true", True),
        ("Bool", "TRUE", "false", False),
        ("BinaryEquals", "aGk=", "aGk=", True),
        ("IpAddress", ["192.168.0.0/16", "10.0.0.0/8"], "10.9.9.9", True),
        ("IpAddress", "10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("IpAddress", "0.0.0.0/0", "2001:db8::1", False),
        ("NotIpAddress", "2001:db8::/32", "2001:db8::1", False),
        ("ArnLike", "arn:aws:iam::*:role/team/*", ROLE, True),
        ("ArnEquals", "arn:aws:iam::*:role/team/*", ROLE, True),
        ("ArnLike", "arn:aws:iam:*:role/team/worker", ROLE, None),
        ("ArnLike", "arn:aws:*:000000000000:x:role/team/worker", ROLE, False),
        ("ArnNotLike", "arn:aws:iam::*:role/team/*", ROLE, False),
        ("stringequals", "red", "red", True),
        ("ForAnyValue:StringEquals", "red", ["blue", "red"], True),
        ("ForAnyValue:StringNotEquals", "red", ["red", "red"], False),
        ("ForAllValues:StringEquals", ["red", "blue"], ["red", "green"], False),
        ("ForAllValues:StringLike", "r*", ["red", "rot"], True),
        ("ForAllValues:StringNotEquals", "red", ["blue", "red"], False),
        ("Null", "true", "here", False),
        ("Null", "false", "here", True),
    ],
)
def test_operators_compare_as_documented(
    operator: str, wanted: Any, given: Any, expected: bool | None
) -> None:
    assert met(operator, wanted, aws__x=given) is expected


@pytest.mark.holds(
    "A key that the request does not have meets what IAM says it meets, and no more."
)
@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("StringEquals", False),
        ("StringNotEquals", True),
        ("StringEqualsIfExists", True),
        ("StringNotEqualsIfExists", True),
        ("NumericLessThan", False),
        ("BoolIfExists", True),
        ("IpAddress", False),
        ("NotIpAddress", True),
        ("ArnNotLike", True),
        ("ForAllValues:StringEquals", True),
        ("ForAllValues:StringNotEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("ForAnyValue:StringEqualsIfExists", True),
    ],
)
def test_an_absent_key(operator: str, expected: bool) -> None:
    wanted = "10.0.0.0/8" if "IpAddress" in operator else "true"
    assert met(operator, wanted) is expected
    if operator.startswith("For"):
        assert met(operator, wanted, aws__x=[]) is expected
    assert met("Null", "true") is True


@pytest.mark.holds("All operators and keys of a condition must be met.")
def test_all_parts_of_a_condition_count() -> None:
    both = {
        "StringEquals": {"aws:x": "a", "aws:y": "b"},
        "Bool": {"aws:SecureTransport": "true"},
    }
    given = {"aws__x": "a", "aws__y": "b", "aws__securetransport": "true"}
    assert asked({"Condition": both}, **given) == (True, True)
    for name in given:
        assert asked({"Condition": both}, **{**given, name: "false"}) == (False, False)


@pytest.mark.holds("Wildcards of actions and resources match what they say, newlines included.")
@pytest.mark.parametrize(
    ("statement", "resource", "expected"),
    [
        ({"Resource": "arn:aws:s3:::b/*"}, "arn:aws:s3:::b/line\nfeed", True),
        ({"Resource": "arn:aws:s3:::b/k"}, "arn:aws:s3:::b/k\n", False),
        ({"Resource": "arn:aws:s3:::b/?"}, "arn:aws:s3:::b/\n", True),
        ({"Resource": "arn:aws:s3:::b/?"}, "arn:aws:s3:::b/kk", False),
        ({"Resource": "arn:aws:s3:::B/*"}, "arn:aws:s3:::b/k", False),
        ({"Resource": "arn:aws:s3:::b/a.c"}, "arn:aws:s3:::b/abc", False),
        ({"Resource": "arn:aws:s3:::b/[a]"}, "arn:aws:s3:::b/a", False),
        ({"Resource": "arn:aws:s3:::b/a*c*e"}, "arn:aws:s3:::b/a/c/c/e", True),
        ({"Resource": "arn:aws:s3:::b/a*c*e"}, "arn:aws:s3:::b/ae", False),
        ({"Resource": "arn:aws:s3:::b/a*a"}, "arn:aws:s3:::b/a", False),
        ({"Resource": "arn:aws:s3"}, "arn:aws:s3:::b/k", True),
        ({"Resource": "arn:aws:sqs"}, "arn:aws:s3:::b/k", False),
        ({"NotResource": ["arn:aws:s3:::b/*"]}, "arn:aws:s3:::b/line\nfeed", False),
        ({"NotResource": ["arn:aws:s3:::c/*"]}, "arn:aws:s3:::b/k", True),
        ({"NotAction": ["s3:get*"]}, "arn:aws:s3:::b/k", False),
        ({"NotAction": ["iam:*"]}, "arn:aws:s3:::b/k", True),
        ({"Action": "S3:gEtObJeCt"}, "arn:aws:s3:::b/k", True),
        ({"Action": "s3:Get?bject"}, "arn:aws:s3:::b/k", True),
        ({"Action": "s3:GetObject?"}, "arn:aws:s3:::b/k", False),
    ],
)
def test_wildcards(statement: dict[str, Any], resource: str, expected: bool) -> None:
    assert asked(statement, resource=resource) == (expected, expected)


@pytest.mark.holds("A policy variable is replaced by the request's value, which has no wildcards.")
@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("${aws:username}/*", "alice/x", True),
        ("${aws:username}/*", "bob/x", False),
        ("${aws:username}/*", "${aws:username}/x", False),
        ("${AWS:UserName}/*", "alice/x", True),
        ("${aws:PrincipalTag/star}", "anything", False),
        ("${aws:PrincipalTag/star}", "*", True),
        ("${aws:nothing, 'home'}/x", "home/x", True),
        ("${aws:username, 'home'}/x", "home/x", False),
        ("a${*}", "a*", True),
        ("a${*}", "ab", False),
        ("a${?}${$}", "a?$", True),
        ("${aws:nothing}/*", "/x", False),
        ("${aws:nothing}/*", "alice/x", False),
        ("${aws:TagKeys}/*", "a/x", False),
        ("${aws:username", "alice", False),
        ("${}", "", False),
    ],
)
def test_variables_in_resources(pattern: str, key: str, expected: bool) -> None:
    values: dict[str, Any] = {
        "aws__username": "alice",
        "aws__PrincipalTag_1_star": "*",
        "aws__TagKeys": ["a", "b"],
    }
    found = asked(
        {"Resource": f"arn:aws:s3:::b/{pattern}"}, resource=f"arn:aws:s3:::b/{key}", **values
    )
    assert found == (expected, expected)


@pytest.mark.holds(
    "A variable without a value widens no statement that is written with a negation."
)
def test_a_variable_without_a_value_in_a_negation() -> None:
    spared = {"NotResource": "arn:aws:s3:::b/${aws:username}/*"}
    assert asked(spared) == (False, True)
    assert asked(spared, aws__username="k") == (True, True)
    assert asked(spared, aws__username="k", resource="arn:aws:s3:::b/k/x") == (False, False)
    assert met("StringNotLike", "${aws:username}*", aws__x="a") is None
    assert met("StringLike", "${aws:username}*", aws__x="a") is False


@pytest.mark.holds("In a document of 2008 a policy variable is plain text.")
def test_variables_of_an_old_document_are_plain_text() -> None:
    own = {"Resource": "arn:aws:s3:::b/${aws:username}"}
    old = {"version": "2008-10-17", "aws__username": "alice"}
    assert asked(own, resource="arn:aws:s3:::b/alice", **old) == (False, False)
    assert asked(own, resource="arn:aws:s3:::b/${aws:username}", **old) == (True, True)


@pytest.mark.holds("No pattern of a policy can keep the evaluator busy.")
def test_many_wildcards_are_matched_without_backtracking() -> None:
    pattern = "arn:aws:s3:::b/" + "*a" * 500 + "b"
    # By backtracking it would not end.
    assert asked({"Resource": pattern}, resource="arn:aws:s3:::b/" + "a" * 1_000) == (False, False)


@pytest.mark.holds("Every operator of IAM's reference is there, and no other.")
def test_every_operator_of_the_reference_is_there() -> None:
    ordered = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan")
    known = [
        *(f"String{end}" for end in ("Equals", "NotEquals", "Like", "NotLike")),
        *("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
        *(f"{kind}{end}" for kind in ("Numeric", "Date") for end in ordered),
        *("NumericGreaterThanEquals", "DateGreaterThanEquals", "Bool", "BinaryEquals"),
        *("IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"),
    ]
    assert {name.lower() for name in known} == {*conditions._OPERATORS}
    assert conditions.operator_named("Null") is not None
    assert conditions.operator_named("StringMatches") is None
