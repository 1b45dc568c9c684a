import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ACCOUNT, Server, allow

BUCKET = "arn:aws:s3:::simulated"
HERE = f"arn:aws:iam::{ACCOUNT}:root"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements]})


def deny(*actions: str, on: str = "*") -> dict[str, Any]:
    return {**allow(*actions, on=on), "Effect": "Deny"}


def simulated(server: Server, role: str, *actions: str, **more: Any) -> list[dict[str, Any]]:
    answer = server.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=[*actions], **more
    )
    assert not answer["IsTruncated"]
    found: list[dict[str, Any]] = answer["EvaluationResults"]
    return found


def custom(server: Server, *policies: str, **more: Any) -> dict[str, Any]:
    (found,) = server.client("iam").simulate_custom_policy(
        PolicyInputList=[*policies], **{"ActionNames": ["s3:GetObject"], **more}
    )["EvaluationResults"]
    return dict(found)


@pytest.fixture(scope="module")
def role(server: Server) -> str:
    return server.role(
        "simulated",
        "",
        allow("s3:GetObject", on=f"{BUCKET}/*"),
        deny("s3:GetObject", on=f"{BUCKET}/secret/*"),
        trust=HERE,
    )


def test_every_action_is_decided_on_every_resource(server: Server, role: str) -> None:
    resources = [f"{BUCKET}/a", f"{BUCKET}/secret/a", "arn:aws:s3:::other/a"]
    found = simulated(server, role, "s3:GetObject", "s3:PutObject", ResourceArns=resources)
    assert [(one["EvalActionName"], one["EvalResourceName"]) for one in found] == [
        (action, resource) for action in ("s3:GetObject", "s3:PutObject") for resource in resources
    ]
    decisions = [one["EvalDecision"] for one in found]
    assert decisions == ["allowed", "explicitDeny", *["implicitDeny"] * 4]


def test_a_simulation_says_what_a_call_would_meet(server: Server, role: str) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="simulated")
    for key in ("a", "secret/a"):
        s3.put_object(Bucket="simulated", Key=key, Body=b"x")
        (found,) = simulated(server, role, "s3:GetObject", ResourceArns=[f"{BUCKET}/{key}"])
        caller = server.assumed("s3", "simulated")
        if found["EvalDecision"] == "allowed":
            caller.get_object(Bucket="simulated", Key=key)
        else:
            with pytest.raises(ClientError, match="AccessDenied"):
                caller.get_object(Bucket="simulated", Key=key)


def test_the_policy_that_decided_is_named(server: Server, role: str) -> None:
    iam = server.client("iam")
    managed = iam.create_policy(PolicyName="lists", PolicyDocument=policy(allow("s3:ListBucket")))
    iam.attach_role_policy(RoleName="simulated", PolicyArn=managed["Policy"]["Arn"])
    inline, attached = simulated(
        server, role, "s3:GetObject", "s3:ListBucket", ResourceArns=[f"{BUCKET}/a"]
    )
    own = {"SourcePolicyId": "role_simulated_p", "SourcePolicyType": "role"}
    assert inline["MatchedStatements"] == [own]
    assert attached["MatchedStatements"] == [
        {"SourcePolicyId": "lists", "SourcePolicyType": "user-managed"}
    ]


def test_a_context_key_that_was_not_given_is_named_and_one_that_was_counts(server: Server) -> None:
    conditional = policy(allow("s3:GetObject", StringEquals={"s3:prefix": "home"}))
    without = custom(server, conditional)
    assert (without["EvalDecision"], without["MissingContextValues"]) == (
        "implicitDeny",
        ["s3:prefix"],
    )
    named = custom(server, conditional, ResourceArns=[f"{BUCKET}/a"])
    assert named["MissingContextValues"] == []
    assert named["ResourceSpecificResults"][0]["MissingContextValues"] == ["s3:prefix"]
    entry = {"ContextKeyName": "s3:prefix", "ContextKeyType": "string"}
    for value, decision in (("home", "allowed"), ("other", "implicitDeny")):
        entries = [{**entry, "ContextKeyValues": [value]}]
        found = custom(server, conditional, ContextEntries=entries)
        assert (found["EvalDecision"], found["MissingContextValues"]) == (decision, [])


def test_this_request_is_not_taken_for_the_simulated_one(server: Server) -> None:
    only_tls = policy(allow("s3:GetObject", Bool={"aws:SecureTransport": "true"}))
    assert custom(server, only_tls)["MissingContextValues"] == ["aws:SecureTransport"]


def test_a_key_of_several_values_is_compared_as_a_set(server: Server) -> None:
    condition: dict[str, Any] = {
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team", "cost"]},
    }
    tagged = policy(allow("s3:GetObject", **condition))
    entry = {"ContextKeyName": "aws:TagKeys", "ContextKeyType": "stringList"}
    for values, decision in ((["team", "cost"], "allowed"), (["team", "x"], "implicitDeny")):
        found = custom(server, tagged, ContextEntries=[{**entry, "ContextKeyValues": values}])
        assert found["EvalDecision"] == decision


def test_a_boundary_narrows_and_is_told_apart(server: Server) -> None:
    everything = policy(allow("s3:*"))
    within = policy(allow("s3:PutObject"))
    found = custom(server, everything, PermissionsBoundaryPolicyInputList=[within])
    assert found["EvalDecision"] == "implicitDeny"
    assert found["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}
    iam = server.client("iam")
    arn = iam.create_policy(PolicyName="bound", PolicyDocument=within)["Policy"]["Arn"]
    trust = {"Effect": "Allow", "Principal": {"AWS": HERE}, "Action": "sts:AssumeRole"}
    bounded = iam.create_role(
        RoleName="bounded", AssumeRolePolicyDocument=policy(trust), PermissionsBoundary=arn
    )["Role"]["Arn"]
    iam.put_role_policy(RoleName="bounded", PolicyName="p", PolicyDocument=everything)
    read, write = simulated(server, bounded, "s3:GetObject", "s3:PutObject")
    assert [read["EvalDecision"], write["EvalDecision"]] == ["implicitDeny", "allowed"]


def test_policies_of_a_users_groups_count(server: Server) -> None:
    iam = server.client("iam")
    user = iam.create_user(UserName="simulated-user")["User"]["Arn"]
    iam.create_group(GroupName="readers")
    iam.put_group_policy(
        GroupName="readers", PolicyName="g", PolicyDocument=policy(allow("s3:GetObject"))
    )
    assert simulated(server, user, "s3:GetObject")[0]["EvalDecision"] == "implicitDeny"
    iam.add_user_to_group(GroupName="readers", UserName="simulated-user")
    (found,) = simulated(server, user, "s3:GetObject")
    assert found["MatchedStatements"] == [
        {"SourcePolicyId": "group_readers_g", "SourcePolicyType": "group"}
    ]


def test_a_resource_policy_is_evaluated_for_the_caller(server: Server, role: str) -> None:
    bucket = policy({**deny("s3:*", on=f"{BUCKET}/*"), "Principal": {"AWS": role}})
    (found,) = simulated(
        server,
        role,
        "s3:GetObject",
        ResourceArns=[f"{BUCKET}/a"],
        ResourcePolicy=bucket,
        CallerArn=role,
    )
    assert found["EvalDecision"] == "explicitDeny"
    assert {"SourcePolicyId": "ResourcePolicy", "SourcePolicyType": "resource"} in found[
        "MatchedStatements"
    ]


def test_results_come_in_pages(server: Server, role: str) -> None:
    actions = [f"s3:Action{number}" for number in range(7)]
    pages = server.client("iam").get_paginator("simulate_principal_policy")
    found = pages.paginate(
        PolicySourceArn=role, ActionNames=actions, PaginationConfig={"PageSize": 3}
    )
    sizes = [len(page["EvaluationResults"]) for page in found]
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:role/nobody"}, "NoSuchEntity"),
        ({"PolicySourceArn": f"arn:aws:s3:::{'x' * 30}"}, "InvalidInput"),
        ({"ActionNames": ["s3:*"]}, "InvalidInput"),
        ({"PolicyInputList": ["{"]}, "InvalidInput"),
        ({"Marker": "9"}, "ValidationError"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    server: Server, role: str, change: dict[str, Any], code: str
) -> None:
    request = {"PolicySourceArn": role, "ActionNames": ["s3:GetObject"], **change}
    with pytest.raises(ClientError) as refused:
        server.client("iam").simulate_principal_policy(**request)
    assert refused.value.response["Error"]["Code"] == code
