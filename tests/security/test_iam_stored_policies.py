"""Malformed policies in calls and templates"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import WaiterError

from tests.platform import LocalPlatform
from tests.security.iam_support import (
    ACCOUNT,
    Principals,
    allow,
    code_of,
    policy,
    principals_of,
    trust,
)

HERE = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
SHARED = {**allow("*"), "Principal": HERE}
BAD_CONDITION = {"Condition": {"StringEqualz": {"aws:x": "y"}}}
# No resource's policy: an operator that is none, nobody named, nothing named, no JSON.
BAD = (
    policy({**SHARED, **BAD_CONDITION}),
    policy(allow("*")),
    policy({"Effect": "Allow", "Principal": HERE, "Resource": "*"}),
    policy({**SHARED, "Principal": {"AWS": "nobody"}}),
    "{",
)


@pytest.fixture(scope="module")
def principals(platform: LocalPlatform) -> Iterator[Principals]:
    yield from principals_of(platform)


def storing(platform: LocalPlatform) -> dict[str, tuple[str, Callable[[str], Any]]]:
    """Every operation that stores a resource's policy, with the code of a refusal."""
    s3, sqs, sns = (platform.client(name) for name in ("s3", "sqs", "sns"))
    kms, ecr, secrets = (platform.client(name) for name in ("kms", "ecr", "secretsmanager"))
    name = f"iam-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    topic = sns.create_topic(Name=name)["TopicArn"]
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    ecr.create_repository(repositoryName=name)
    secrets.create_secret(Name=name, SecretString="x")
    put_key = {"KeyId": key, "PolicyName": "default"}
    topic_policy = {"TopicArn": topic, "AttributeName": "Policy"}
    return {
        "bucket": ("MalformedPolicy", lambda p: s3.put_bucket_policy(Bucket=name, Policy=p)),
        "queue": (
            "InvalidAttributeValue",
            lambda p: sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": p}),
        ),
        "new queue": (
            "InvalidAttributeValue",
            lambda p: sqs.create_queue(QueueName=f"{name}-new", Attributes={"Policy": p}),
        ),
        "topic": (
            "InvalidParameter",
            lambda p: sns.set_topic_attributes(**topic_policy, AttributeValue=p),
        ),
        "new topic": (
            "InvalidParameter",
            lambda p: sns.create_topic(Name=f"{name}-new", Attributes={"Policy": p}),
        ),
        "key": (
            "MalformedPolicyDocumentException",
            lambda p: kms.put_key_policy(**put_key, Policy=p),
        ),
        "new key": ("MalformedPolicyDocumentException", lambda p: kms.create_key(Policy=p)),
        "repository": (
            "InvalidParameterException",
            lambda p: ecr.set_repository_policy(repositoryName=name, policyText=p),
        ),
        "secret": (
            "MalformedPolicyDocumentException",
            lambda p: secrets.put_resource_policy(SecretId=name, ResourcePolicy=p),
        ),
    }


@pytest.mark.holds("A malformed policy is refused by every service that keeps policies.")
def test_no_service_stores_a_malformed_policy(platform: LocalPlatform) -> None:
    for what, (code, store) in storing(platform).items():
        for bad in BAD:
            assert code_of(store, bad) == code, (what, bad)
        store(policy(SHARED))


@pytest.mark.holds(
    "IAM stores no malformed policy of a user, group or role, and no malformed trust."
)
def test_iam_stores_no_malformed_policy(principals: Principals) -> None:
    iam, user = principals.iam, principals.user()
    role = principals.role(trust(HERE)).rpartition("/")[2]
    name = f"iam-{uuid4().hex[:8]}"
    iam.create_group(GroupName=name)
    kept = {"PolicyName": name}
    malformed, bad = "MalformedPolicyDocument", policy({**allow("s3:*"), **BAD_CONDITION})
    for store in (
        lambda p: iam.put_user_policy(UserName=user.name, PolicyDocument=p, **kept),
        lambda p: iam.put_role_policy(RoleName=role, PolicyDocument=p, **kept),
        lambda p: iam.put_group_policy(GroupName=name, PolicyDocument=p, **kept),
        lambda p: iam.create_policy(PolicyDocument=p, **kept),
    ):
        assert code_of(store, bad) == malformed
        assert code_of(store, policy(SHARED)) == malformed
    for bad_trust in (
        policy(allow("sts:AssumeRole")),
        trust({"AWS": "nobody"}),
        trust(HERE, Resource="*"),
        trust(HERE, **BAD_CONDITION),
        trust(HERE, Action="s3:GetObject"),
        "{}",
    ):
        change = {"RoleName": role, "PolicyDocument": bad_trust}
        assert code_of(iam.update_assume_role_policy, **change) == malformed
        made = {"RoleName": name, "AssumeRolePolicyDocument": bad_trust}
        assert code_of(iam.create_role, **made) == malformed
    iam.delete_group(GroupName=name)


@pytest.mark.holds("Inline policies count together against the size of their user or role.")
def test_inline_policies_have_a_size_together(principals: Principals) -> None:
    iam, user = principals.iam, principals.user()
    role = principals.role(trust(HERE)).rpartition("/")[2]

    def document(size: int) -> str:
        return policy(allow([f"s3:{'x' * 100}{number}" for number in range(size // 110)]))

    def of_user(name: str, text: str) -> Any:
        return iam.put_user_policy(UserName=user.name, PolicyName=name, PolicyDocument=text)

    of_user("one", document(1_300))
    of_user("one", document(1_400))
    assert code_of(lambda: of_user("two", document(1_300))) == "MalformedPolicyDocument"
    assert code_of(lambda: of_user("one", document(2_200))) == "MalformedPolicyDocument"
    put = {"RoleName": role, "PolicyName": "p"}
    iam.put_role_policy(**put, PolicyDocument=document(9_000))
    over = {**put, "PolicyDocument": document(11_000)}
    assert code_of(lambda: iam.put_role_policy(**over)) == "MalformedPolicyDocument"
    managed = {"PolicyName": user.name, "PolicyDocument": document(7_000)}
    assert code_of(lambda: iam.create_policy(**managed)) == "MalformedPolicyDocument"


def failure(platform: LocalPlatform, resource: dict[str, Any]) -> str:
    """Why a stack of one resource cannot be made."""
    stacks, name = platform.client("cloudformation"), f"iam-{uuid4().hex[:8]}"
    stacks.create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": {"One": resource}}),
        OnFailure="DO_NOTHING",
        Capabilities=["CAPABILITY_IAM"],
    )
    with pytest.raises(WaiterError):
        stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    events = stacks.describe_stack_events(StackName=name)["StackEvents"]
    stacks.delete_stack(StackName=name)
    (reason,) = [
        event["ResourceStatusReason"]
        for event in events
        if event["ResourceStatus"] == "CREATE_FAILED" and event["LogicalResourceId"] == "One"
    ]
    return str(reason)


@pytest.mark.holds("A template's malformed policy fails its resource, as on AWS.")
def test_a_template_stores_no_malformed_policy(platform: LocalPlatform) -> None:
    trusted = json.loads(trust(HERE))
    bad = json.loads(policy({**allow("s3:*"), **BAD_CONDITION}))
    shared = json.loads(policy({**SHARED, **BAD_CONDITION}))
    inline = [{"PolicyName": "p", "PolicyDocument": bad}]
    role = {"AssumeRolePolicyDocument": trusted}
    for kind, properties in (
        ("IAM::Role", {**role, "Policies": inline}),
        ("IAM::Role", {"AssumeRolePolicyDocument": bad}),
        ("IAM::ManagedPolicy", {"PolicyDocument": bad}),
        ("KMS::Key", {"KeyPolicy": shared}),
        ("S3::BucketPolicy", {"Bucket": "nothing", "PolicyDocument": shared}),
    ):
        found = failure(platform, {"Type": f"AWS::{kind}", "Properties": properties})
        assert "Invalid Condition type" in found or "Missing required field" in found, kind


@pytest.mark.holds(
    "A template's role takes only policies and a boundary that are there, and keeps it."
)
def test_a_templates_role_names_policies_that_are_there(platform: LocalPlatform) -> None:
    role = {"AssumeRolePolicyDocument": json.loads(trust(HERE))}
    absent = "arn:aws:iam::aws:policy/AmazonSageMakerFulAccess"
    for properties in ({"ManagedPolicyArns": [absent]}, {"PermissionsBoundary": absent}):
        resource = {"Type": "AWS::IAM::Role", "Properties": {**role, **properties}}
        assert "does not exist" in failure(platform, resource)
    there = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    name = f"iam-{uuid4().hex[:8]}"
    properties = {**role, "RoleName": name, "PermissionsBoundary": there}
    stacks = platform.client("cloudformation")
    resource = {"Type": "AWS::IAM::Role", "Properties": properties}
    stacks.create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": {"One": resource}}),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    found = platform.client("iam").get_role(RoleName=name)["Role"]
    assert found["PermissionsBoundary"]["PermissionsBoundaryArn"] == there
    stacks.delete_stack(StackName=name)
