"""Calls that are evaluated under IAM"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.platform import LocalPlatform
from tests.security.iam_support import (
    ACCOUNT,
    Principals,
    allow,
    code_of,
    denied,
    deny,
    policy,
    principals_of,
    trust,
    when,
)

KEYS = ("a/x", "b/x", "line\nfeed", "a/x\n", "a//x", "/a/x", "a/", "tagged")
HERE = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


@pytest.fixture(scope="module")
def principals(platform: LocalPlatform) -> Iterator[Principals]:
    yield from principals_of(platform)


@pytest.fixture(scope="module")
def bucket(platform: LocalPlatform) -> Iterator[str]:
    s3, name = platform.client("s3"), f"iam-calls-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    for key in KEYS:
        s3.put_object(Bucket=name, Key=key, Body=b"1")
    s3.put_object_tagging(
        Bucket=name, Key="tagged", Tagging={"TagSet": [{"Key": "secret", "Value": "yes"}]}
    )
    yield name
    for found in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=found["Key"])
    s3.delete_bucket(Bucket=name)


def reads(user: Any, bucket: str, key: str) -> bool:
    return not denied(lambda: user.client("s3").get_object(Bucket=bucket, Key=key))


@pytest.mark.holds("A statement about objects applies to each key exactly as it is stored.")
def test_objects_are_named_as_they_are_stored(principals: Principals, bucket: str) -> None:
    objects = f"arn:aws:s3:::{bucket}"
    user = principals.user(allow("s3:GetObject", f"{objects}/a/x"))
    assert [key for key in KEYS if reads(user, bucket, key)] == ["a/x"]
    user.may(allow("s3:*"), deny("s3:GetObject", f"{objects}/a/*"), deny("s3:*", f"{objects}//*"))
    assert [key for key in KEYS if reads(user, bucket, key)] == ["b/x", "line\nfeed", "tagged"]
    user.may(allow("s3:*"), deny("s3:GetObject", f"{objects}/*"))
    assert not any(reads(user, bucket, key) for key in KEYS)


@pytest.mark.holds("Keys that a request lacks are absent, and AWS's own are there.")
def test_condition_keys_of_a_users_call(principals: Principals, bucket: str) -> None:
    user = principals.user()
    own = {"aws:username": user.name, "aws:PrincipalArn": user.arn, "aws:PrincipalType": "User"}
    account = {"aws:PrincipalAccount": ACCOUNT, "aws:ResourceAccount": ACCOUNT}
    region = {"aws:RequestedRegion": "us-east-1"}
    for granting in (
        when(StringEquals={**own, **account, **region}),
        when(StringLike={"aws:userid": "AIDA*", "aws:UserAgent": "*Boto3*"}),
        when(IpAddress={"aws:SourceIp": "127.0.0.0/8"}, Bool={"aws:ViaAWSService": "false"}),
        when(DateGreaterThan={"aws:CurrentTime": "2020-01-01T00:00:00Z"}),
        when(NumericGreaterThan={"aws:EpochTime": "1577836800"}),
        when(Null={"aws:MultiFactorAuthPresent": "true", "aws:TokenIssueTime": "true"}),
        when(Bool={"aws:PrincipalIsAWSService": "false", "aws:SecureTransport": "true"}),
        when(
            StringEquals={"s3:authType": "REST-HEADER", "s3:signatureversion": "AWS4-HMAC-SHA256"}
        ),
        when(StringEquals={"aws:username": "${aws:username}"}),
    ):
        user.may(allow("s3:GetObject", **granting))
        assert reads(user, bucket, "a/x"), granting
    for refusing in (
        when(StringEquals={"aws:RequestedRegion": "eu-west-1"}),
        when(IpAddress={"aws:SourceIp": "10.0.0.0/8"}),
        when(Bool={"aws:MultiFactorAuthPresent": "true"}),
        when(Bool={"aws:ViaAWSService": "true"}),
        when(StringEquals={"aws:nosuchkey": "x"}),
        when(StringEquals={"s3:ExistingObjectTag/secret": "yes"}),
    ):
        user.may(allow("s3:GetObject", **refusing))
        assert not reads(user, bucket, "a/x"), refusing
    user.may(
        allow("s3:*"), deny("s3:*", **when(BoolIfExists={"aws:MultiFactorAuthPresent": "false"}))
    )
    assert not reads(user, bucket, "a/x")


@pytest.mark.holds("Tags of an object count for every request that reads it, copies included.")
def test_tags_of_an_object_count_for_a_copy(principals: Principals, bucket: str) -> None:
    secret = when(StringEquals={"s3:ExistingObjectTag/secret": "yes"})
    user = principals.user(allow("s3:*"), deny("s3:GetObject", **secret))
    assert reads(user, bucket, "a/x")
    assert not reads(user, bucket, "tagged")
    copy = {"Bucket": bucket, "Key": "copy"}
    s3 = user.client("s3")
    assert denied(lambda: s3.copy_object(**copy, CopySource={"Bucket": bucket, "Key": "tagged"}))


@pytest.mark.holds("A listing is confined to the prefix that a policy names.")
def test_a_listing_is_confined_to_a_prefix(principals: Principals, bucket: str) -> None:
    prefix = when(StringLike={"s3:prefix": ["a/*"]})
    user = principals.user(allow("s3:ListBucket", f"arn:aws:s3:::{bucket}", **prefix))
    s3 = user.client("s3")
    s3.list_objects_v2(Bucket=bucket, Prefix="a/")
    assert denied(lambda: s3.list_objects_v2(Bucket=bucket, Prefix="b/"))
    assert denied(lambda: s3.list_objects_v2(Bucket=bucket))


@pytest.mark.holds("A role is assumed only on the terms of its trust policy and the caller's own.")
def test_a_role_is_assumed_on_its_terms(principals: Principals, bucket: str) -> None:
    secret = when(StringEquals={"sts:ExternalId": "secret"})
    role = principals.role(trust(HERE, **secret), allow("s3:*"))
    user, other = principals.user(allow("sts:AssumeRole")), principals.user(allow("s3:*"))
    wrong: list[dict[str, str]] = [{}, {"ExternalId": "no"}]
    for terms in wrong:
        assert denied(user.assumed, "s3", role, **terms)
    assert denied(lambda: other.assumed("s3", role, ExternalId="secret"))
    narrow = policy(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/a/*"))
    s3 = user.assumed("s3", role, ExternalId="secret", Policy=narrow)
    s3.get_object(Bucket=bucket, Key="a/x")
    assert denied(lambda: s3.get_object(Bucket=bucket, Key="b/x"))
    service = principals.role(trust({"Service": "sagemaker.amazonaws.com"}), allow("s3:*"))
    assert denied(lambda: user.assumed("s3", service))
    named = principals.role(trust({"AWS": other.arn}), allow("s3:*"))
    other.assumed("s3", named).get_object(Bucket=bucket, Key="a/x")
    assert denied(lambda: user.assumed("s3", named))


@pytest.mark.holds("A session is known by its role, and by what AWS says of temporary credentials.")
def test_condition_keys_of_a_session(principals: Principals, bucket: str) -> None:
    role = principals.role(trust(HERE), allow("sts:GetCallerIdentity"), Path="/team/")
    user = principals.user(allow("sts:AssumeRole"))
    granting = when(
        ArnEquals={"aws:PrincipalArn": role},
        StringEquals={"aws:PrincipalType": "AssumedRole"},
        Bool={"aws:MultiFactorAuthPresent": "false"},
        Null={"aws:username": "true", "aws:TokenIssueTime": "false"},
    )
    name = role.rpartition("/")[2]
    s3 = user.assumed("s3", role)
    assert denied(lambda: s3.get_object(Bucket=bucket, Key="a/x"))
    principals.iam.put_role_policy(
        RoleName=name, PolicyName="p", PolicyDocument=policy(allow("s3:GetObject", **granting))
    )
    s3.get_object(Bucket=bucket, Key="a/x")


@pytest.mark.holds("A bucket's policy denies its administrator, too, and NotPrincipal all others.")
def test_a_bucket_policy(principals: Principals, platform: LocalPlatform, bucket: str) -> None:
    s3, objects = platform.client("s3"), f"arn:aws:s3:::{bucket}"
    own, stranger = principals.user(allow("s3:*")), principals.user(allow("ec2:DescribeVpcs"))
    statements = [
        {**deny("s3:GetObject", f"{objects}/b/*"), "Principal": "*"},
        {**allow("s3:GetObject", f"{objects}/a/*"), "Principal": {"AWS": stranger.arn}},
    ]
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(*statements))
    assert denied(lambda: s3.get_object(Bucket=bucket, Key="b/x"))
    assert reads(stranger, bucket, "a/x")
    assert not reads(stranger, bucket, "tagged")
    spared = {**deny("s3:GetObject", f"{objects}/*"), "NotPrincipal": {"AWS": own.arn}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(spared))
    assert reads(own, bucket, "a/x")
    assert denied(lambda: s3.get_object(Bucket=bucket, Key="a/x"))
    s3.delete_bucket_policy(Bucket=bucket)


@pytest.mark.holds("A key is used only by whom its own policy lets in, under whatever name.")
def test_a_key_by_its_policy_and_its_names(principals: Principals, platform: LocalPlatform) -> None:
    kms = platform.client("kms")
    administrator = platform.client("sts").get_caller_identity()["Arn"]
    only = {**allow("kms:*"), "Principal": {"AWS": administrator}}
    key = kms.create_key(Policy=policy(only))["KeyMetadata"]
    user = principals.user(allow("kms:*"))
    assert denied(lambda: user.client("kms").encrypt(KeyId=key["KeyId"], Plaintext=b"x"))
    account = {**allow("kms:*"), "Principal": HERE}
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=policy(only, account))
    user.client("kms").encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    alias = f"alias/iam-{uuid4().hex[:8]}"
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    user.may(allow("kms:*"), deny("kms:Encrypt", key["Arn"]))
    for name in (key["KeyId"], key["Arn"], alias):
        assert denied(user.client("kms").encrypt, KeyId=name, Plaintext=b"x")
    context = when(StringEquals={"kms:EncryptionContext:job": "one"})
    user.may(allow("kms:Encrypt", key["Arn"], **context))
    user.client("kms").encrypt(KeyId=alias, Plaintext=b"x", EncryptionContext={"job": "one"})
    assert denied(lambda: user.client("kms").encrypt(KeyId=alias, Plaintext=b"x"))
    kms.delete_alias(AliasName=alias)


@pytest.mark.holds("Users and roles are named with their paths, and a boundary limits them.")
def test_paths_and_boundaries_of_iam(principals: Principals, bucket: str) -> None:
    protected = principals.role(trust(HERE), Path="/protected/").rpartition("/")[2]
    user = principals.user(
        allow("iam:*"), deny("iam:*", f"arn:aws:iam::{ACCOUNT}:role/protected/*")
    )
    iam = user.client("iam")
    change = {"RoleName": protected, "PolicyName": "p", "PolicyDocument": policy(allow("*"))}
    assert denied(lambda: iam.put_role_policy(**change))
    assert denied(lambda: iam.get_role(RoleName=protected))
    name = f"iam-{uuid4().hex[:8]}"
    created = {"RoleName": name, "AssumeRolePolicyDocument": trust(HERE), "Path": "/protected/"}
    assert denied(lambda: iam.create_role(**created))
    bounds = principals.iam.create_policy(
        PolicyName=name, PolicyDocument=policy(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/a/*"))
    )["Policy"]["Arn"]
    user.may(allow("iam:CreateUser", **when(StringEquals={"iam:PermissionsBoundary": bounds})))
    assert denied(lambda: iam.create_user(UserName=f"{name}-free"))
    limited = principals.user(allow("s3:*"))
    principals.iam.put_user_permissions_boundary(UserName=limited.name, PermissionsBoundary=bounds)
    assert reads(limited, bucket, "a/x")
    assert not reads(limited, bucket, "b/x")
    absent = f"arn:aws:iam::{ACCOUNT}:policy/absent-{name}"
    put = {"UserName": limited.name, "PermissionsBoundary": absent}
    assert code_of(lambda: principals.iam.put_user_permissions_boundary(**put)) == "NoSuchEntity"
    principals.iam.delete_user_permissions_boundary(UserName=limited.name)
    principals.iam.delete_policy(PolicyArn=bounds)


@pytest.mark.holds("A simulation answers by the evaluator that decides the calls themselves.")
def test_a_simulation_is_decided_by_the_same_rules(principals: Principals) -> None:
    user = principals.user(
        allow("s3:GetObject", "arn:aws:s3:::b/${aws:username}/*"),
        deny("s3:*", "arn:aws:s3:::b/*secret*"),
    )
    (own, secret, other) = principals.iam.simulate_principal_policy(
        PolicySourceArn=user.arn,
        ActionNames=["s3:GetObject"],
        ResourceArns=[f"arn:aws:s3:::b/{key}" for key in ("alice/x", "a\nsecret\n", "bob/x")],
        ContextEntries=[
            {
                "ContextKeyName": "aws:username",
                "ContextKeyValues": ["alice"],
                "ContextKeyType": "string",
            }
        ],
    )["EvaluationResults"]
    found = [one["EvalDecision"] for one in (own, secret, other)]
    assert found == ["allowed", "explicitDeny", "implicitDeny"]
    with pytest.raises(ClientError, match="Invalid Condition type"):
        principals.iam.simulate_custom_policy(
            PolicyInputList=[policy(allow("*", **when(StringEqualz={"aws:x": "y"})))],
            ActionNames=["s3:GetObject"],
        )


@pytest.mark.holds("The policy of a session is checked like every other.")
def test_session_policies_are_checked(principals: Principals) -> None:
    role = principals.role(trust(HERE), allow("s3:*"))
    user = principals.user(allow("sts:AssumeRole"))
    bad = json.dumps({"Version": "2012-10-17", "Statement": [allow("GetObject")]})
    assert code_of(lambda: user.assumed("s3", role, Policy=bad)) == "MalformedPolicyDocument"
