"""Managed policies of AWS"""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from local.emulator import managed_policies
from tests.platform import LocalPlatform
from tests.security.iam_support import (
    ACCOUNT,
    Principals,
    allow,
    code_of,
    denied,
    principals_of,
    trust,
)

PREFIX = "arn:aws:iam::aws:policy"
# What the samples of AWS attach.
USED = (
    *("AmazonSageMakerFullAccess", "AmazonSageMakerReadOnly", "AmazonS3FullAccess"),
    *("AmazonS3ReadOnlyAccess", "AmazonEC2ContainerRegistryReadOnly", "AdministratorAccess"),
    *("AmazonEC2ContainerRegistryFullAccess", "AmazonEC2ContainerRegistryPowerUser"),
    *("CloudWatchLogsFullAccess", "CloudWatchFullAccess", "PowerUserAccess", "IAMFullAccess"),
    *("ReadOnlyAccess", "AmazonDynamoDBFullAccess", "AWSStepFunctionsFullAccess"),
    *("AWSLambda_FullAccess", "AmazonAthenaFullAccess", "AWSGlueConsoleFullAccess"),
    *("service-role/AWSLambdaBasicExecutionRole", "service-role/AWSGlueServiceRole"),
)


@pytest.fixture(scope="module")
def principals(platform: LocalPlatform) -> Iterator[Principals]:
    yield from principals_of(platform)


@pytest.mark.holds(
    "The managed policies that AWS's samples attach are there, as AWS publishes them."
)
def test_the_policies_that_samples_attach_are_there(principals: Principals) -> None:
    iam = principals.iam
    for name in USED:
        arn = f"{PREFIX}/{name}"
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]
        assert found["Document"]["Statement"], name
    listed = iam.get_paginator("list_policies").paginate(Scope="AWS").search("Policies[].Arn")
    assert {f"{PREFIX}/{name}" for name in USED} <= {*listed}


@pytest.mark.holds("A managed policy that does not exist cannot be attached.")
def test_a_policy_that_is_not_there_cannot_be_attached(principals: Principals) -> None:
    iam, user = principals.iam, principals.user()
    role = principals.role(trust({"AWS": user.arn})).rpartition("/")[2]
    iam.create_group(GroupName=user.name)
    for arn in (
        f"{PREFIX}/AmazonSageMakerFulAccess",
        f"{PREFIX}/AWSLambdaBasicExecutionRole",
        f"arn:aws:iam::{ACCOUNT}:policy/absent",
        "arn:aws:iam::111111111111:policy/absent",
    ):
        for attach in (
            lambda a: iam.attach_user_policy(UserName=user.name, PolicyArn=a),
            lambda a: iam.attach_role_policy(RoleName=role, PolicyArn=a),
            lambda a: iam.attach_group_policy(GroupName=user.name, PolicyArn=a),
            lambda a: iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=a),
            lambda a: iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=a),
        ):
            assert code_of(attach, arn) == "NoSuchEntity"
    iam.delete_group(GroupName=user.name)


@pytest.mark.holds("An attached managed policy grants what its published document grants.")
def test_an_attached_policy_grants_what_it_says(principals: Principals) -> None:
    user = principals.user()
    arn = f"{PREFIX}/AmazonEC2ContainerRegistryReadOnly"
    assert denied(lambda: user.client("ecr").describe_repositories())
    principals.iam.attach_user_policy(UserName=user.name, PolicyArn=arn)
    user.client("ecr").describe_repositories()
    assert denied(lambda: user.client("ecr").create_repository(repositoryName="iam-managed"))
    role = principals.role(trust({"AWS": user.arn}))
    user.may(allow("sts:AssumeRole"))
    principals.iam.attach_role_policy(
        RoleName=role.rpartition("/")[2], PolicyArn=f"{PREFIX}/AmazonSageMakerReadOnly"
    )
    sagemaker = user.assumed("sagemaker", role)
    sagemaker.list_models()
    assert denied(lambda: sagemaker.delete_model(ModelName="none"))


@pytest.mark.holds("AWS's managed policies are there for every thread, also while they are read.")
def test_who_asks_while_the_policies_are_read_waits_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def published() -> dict[str, Any]:
        reading.set()
        assert go_on.wait(60)
        return {"arn": "document"}

    monkeypatch.setattr(managed_policies, "published", published)
    policies = managed_policies.PublishedPolicies({})
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(policies.get("arn"))) for _ in range(2)]
    threads[0].start()
    assert reading.wait(60)
    threads[1].start()
    # Without a wait, the second would have its answer, and end, before the first goes on.
    threads[1].join(0.2)
    go_on.set()
    for thread in threads:
        thread.join()
    assert found == ["document", "document"]
