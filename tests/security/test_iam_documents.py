"""Policy documents that AWS calls malformed"""

import json
from typing import Any

import pytest

from local.emulator import managed_policies
from local.emulator.policies import document
from local.emulator.policies.document import (
    IDENTITY,
    REPOSITORY,
    RESOURCE,
    TRUST,
    Malformed,
    Rules,
)

ALLOWED = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
SHARED = {**ALLOWED, "Principal": {"AWS": "000000000000"}}
TRUSTING = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}


def text(statement: Any, **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statement, **more})


def refusal(found: str, rules: Rules = IDENTITY) -> str:
    with pytest.raises(Malformed) as refused:
        document.check(found, rules)
    return str(refused.value)


def without(statement: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key != name}


@pytest.mark.holds("A policy with an error of form is refused, in AWS's words.")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Condition": {"StringEqualz": {"aws:x": "y"}}}, "Invalid Condition type"),
        ({"Condition": {"StringEqualsIfExistsIfExists": {"aws:x": "y"}}}, "Invalid Condition"),
        ({"Condition": {"ForEachValue:StringEquals": {"aws:x": "y"}}}, "Invalid Condition"),
        ({"Condition": {"NullIfExists": {"aws:x": "true"}}}, "Invalid Condition"),
        ({"Condition": {"StringEquals": "x"}}, "Syntax"),
        ({"Condition": ["x"]}, "Syntax"),
        ({"Condition": "x"}, "Syntax"),
        ({"Condition": {"StringEquals": {"aws:x": {"a": "b"}}}}, "Syntax"),
        ({"Condition": {"StringEquals": {"aws:x": [["a"]]}}}, "Syntax"),
        ({"Condition": {"StringEquals": {"nothing": "x"}}}, "vendor"),
        ({"Condition": {"DateLessThan": {"aws:CurrentTime": "soon"}}}, "legacy"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/64"}}}, "legacy"),
        ({"Action": "GetObject"}, "prefaced by a vendor"),
        ({"Action": "s3:Get:Object"}, "one colon"),
        ({"Action": "s 3:GetObject"}, "Vendor"),
        ({"Action": "s3:Get\nObject"}, "Vendor"),
        ({"Action": []}, "must contain actions"),
        ({"Action": [5]}, "Syntax"),
        ({"Action": None}, "Syntax"),
        ({"NotAction": "s3:*"}, "Syntax"),
        ({"Resource": "bucket"}, "ARN format"),
        ({"Resource": ["*", "bucket/*"]}, "ARN format"),
        ({"Resource": "arn:elsewhere:s3:::b"}, "Partition"),
        ({"Resource": "arn:aws:iam:us-east-1:000000000000:role/r"}, "region"),
        ({"Resource": "arn:aws:iam::000000000000:roles/r"}, "path"),
        ({"Resource": []}, "must contain resources"),
        ({"NotResource": "*"}, "Syntax"),
        ({"Principal": "*"}, "should not specify a principal"),
        ({"NotPrincipal": {"AWS": "*"}}, "should not specify a principal"),
        ({"Effect": "allow"}, "Syntax"),
        ({"Effect": "Permit"}, "Syntax"),
        ({"Sid": "has space"}, "SID"),
        ({"Sid": 5}, "Syntax"),
        ({"Actions": "s3:*"}, "Syntax"),
        ({"action": "s3:*"}, "Syntax"),
    ],
)
def test_a_statement_with_an_error_of_form_is_refused(change: dict[str, Any], words: str) -> None:
    document.check(text(ALLOWED), IDENTITY)
    assert words in refusal(text({**ALLOWED, **change}))


@pytest.mark.holds("A policy that lacks an element is refused.")
@pytest.mark.parametrize("element", ["Effect", "Action", "Resource"])
def test_an_element_that_is_missing_is_refused(element: str) -> None:
    assert refusal(text(without(ALLOWED, element)))
    assert refusal(text(without(SHARED, element)), RESOURCE)


@pytest.mark.holds("What is no policy document at all is refused.")
@pytest.mark.parametrize(
    "found",
    [
        "{",
        "",
        "null",
        "[]",
        '"text"',
        "5",
        '{"Version": "2012-10-17"}',
        text([]),
        text("x"),
        text([ALLOWED, "x"]),
        text(ALLOWED, Extra=1),
        text(ALLOWED, Id=5),
        json.dumps({"Version": "2012-10-18", "Statement": ALLOWED}),
        json.dumps({"Version": None, "Statement": ALLOWED}),
        text(ALLOWED).replace('"Effect"', '"Effect": "Deny", "Effect"'),
        text(ALLOWED).replace('"Statement"', '"Statement": [], "Statement"'),
        text(ALLOWED) + text(ALLOWED),
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        text(ALLOWED).replace('"*"', "NaN"),
        text([{**ALLOWED, "Sid": "One"}, {**ALLOWED, "Sid": "One"}]),
    ],
    ids=range(21),
)
def test_what_is_no_policy_document_is_refused(found: str) -> None:
    assert refusal(found)


@pytest.mark.holds("A policy of a resource names principals that can exist.")
@pytest.mark.parametrize(
    "principal",
    [
        "alice",
        [],
        {},
        {"AWS": []},
        {"AWS": "arn:aws:iam::000000000000:user/*"},
        {"AWS": "arn:aws:iam::000000000000:group/g"},
        {"AWS": "0000"},
        {"AWS": {"a": "b"}},
        {"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"},
        {"Service": "lambda"},
        {"Everybody": "*"},
    ],
)
def test_a_principal_that_cannot_exist_is_refused(principal: Any) -> None:
    assert refusal(text({**SHARED, "Principal": principal}), RESOURCE)
    assert refusal(text({**TRUSTING, "Principal": principal}), TRUST)


@pytest.mark.holds("Each kind of policy has the elements that belong to it, and no others.")
def test_each_kind_of_policy_has_its_own_elements() -> None:
    document.check(text(SHARED), RESOURCE)
    document.check(text(without(SHARED, "Resource")), REPOSITORY)
    document.check(text(TRUSTING), TRUST)
    assert "Principal" in refusal(text(ALLOWED), RESOURCE)
    assert "Resource" in refusal(text({**TRUSTING, "Resource": "*"}), TRUST)
    assert "AssumeRole" in refusal(text({**TRUSTING, "Action": "s3:GetObject"}), TRUST)
    spared = {**without(SHARED, "Principal"), "NotPrincipal": {"AWS": "000000000000"}}
    assert "NotPrincipal" in refusal(text(spared), RESOURCE)
    document.check(text({**spared, "Effect": "Deny"}), RESOURCE)


@pytest.mark.holds("Sizes are counted without white space, as IAM counts them.")
def test_a_document_over_its_size_is_refused() -> None:
    found = text(ALLOWED)
    document.check(found.replace(",", ",\n   "), IDENTITY, most=document.size(found))
    with pytest.raises(Malformed, match="Maximum policy size"):
        document.check(found, IDENTITY, most=document.size(found) - 1)


@pytest.mark.holds("Every managed policy that AWS publishes is a document that is taken here.")
def test_every_policy_that_aws_publishes_is_taken() -> None:
    for policy in managed_policies.published().values():
        document.check(policy["Versions"][policy["DefaultVersionId"]]["Document"], IDENTITY)
