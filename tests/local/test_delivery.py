import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_ssm as ssm
from aws_cdk.assertions import Template
from botocore.exceptions import ClientError

from local.platform.home import ACCOUNT, REGION, cdk, tool_environment
from sagemaker_constructs.github import DeployRole, GitHubProvider
from tests.platform import LocalPlatform

HERE = Environment(account=ACCOUNT, region=REGION)
BOOTSTRAP = f"arn:aws:iam::{ACCOUNT}:role/cdk-hnb659fds-{{}}-role-{ACCOUNT}-{REGION}"
ANYONE_HERE = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def _permissions() -> Any:
    """What a deploy role allows in this account, as its template has it."""
    stack = Stack(App(builtin_cloud_formation_validation=False), "Delivery", env=HERE)
    provider: iam.IOidcProvider = GitHubProvider.existing(stack, "GitHub")
    DeployRole(
        stack,
        "Deploy",
        role_name="deploy",
        provider=provider,
        repository="example/platform",
        environment="local",
    )
    (role,) = Template.from_stack(stack).find_resources("AWS::IAM::Role").values()
    (policy,) = role["Properties"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        statement["Resource"] = [
            arn if isinstance(arn, str) else arn["Fn::Join"][1][0] + "aws" + arn["Fn::Join"][1][2]
            for arn in statement["Resource"]
        ]
    return policy["PolicyDocument"]


@pytest.fixture
def workflow(platform: LocalPlatform) -> Iterator[dict[str, str]]:
    """Environment variables of a workflow that has become the deploy role.

    Only the trust differs: nobody on this machine has a token of GitHub's.
    """
    client, name = platform.client("iam"), f"deploy-{uuid4().hex[:8]}"
    role = client.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(ANYONE_HERE))
    client.put_role_policy(
        RoleName=name, PolicyName="deploy", PolicyDocument=json.dumps(_permissions())
    )
    answer = platform.client("sts").assume_role(
        RoleArn=role["Role"]["Arn"], RoleSessionName="workflow"
    )
    yield {
        "AWS_ACCESS_KEY_ID": answer["Credentials"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": answer["Credentials"]["SecretAccessKey"],
        "AWS_SESSION_TOKEN": answer["Credentials"]["SessionToken"],
    }
    client.delete_role_policy(RoleName=name, PolicyName="deploy")
    client.delete_role(RoleName=name)


@pytest.fixture
def stack_name(platform: LocalPlatform) -> Iterator[str]:
    name = f"delivered-{uuid4().hex[:8]}"
    yield name
    platform.client("cloudformation").delete_stack(StackName=name)


def test_the_deploy_role_suffices_to_publish_and_deploy_an_assembly(
    platform: LocalPlatform, workflow: dict[str, str], stack_name: str, tmp_path: Path
) -> None:
    app = App(outdir=str(tmp_path / "assembly"), builtin_cloud_formation_validation=False)
    stack = Stack(app, stack_name, env=HERE)
    file = tmp_path / "asset.txt"
    file.write_text(stack_name, encoding="utf-8")
    asset = assets.Asset(stack, "Asset", path=str(file))
    ssm.StringParameter(
        stack, "Parameter", parameter_name=f"/{stack_name}", string_value=asset.s3_object_key
    )
    app.synth()
    result = subprocess.run(
        [*cdk(), "deploy", "--app", "assembly", "--all", "--require-approval", "never"],
        cwd=tmp_path,
        env={
            **tool_environment(),
            **platform.credentials.variables(platform.endpoint_url),
            **workflow,
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    parameter = platform.client("ssm").get_parameter(Name=f"/{stack_name}")
    published = platform.client("s3").get_object(
        Bucket=f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}", Key=parameter["Parameter"]["Value"]
    )
    assert published["Body"].read().decode() == stack_name


def test_the_deploy_role_may_do_nothing_by_itself(
    platform: LocalPlatform, workflow: dict[str, str]
) -> None:
    keys = {name.lower(): value for name, value in workflow.items()}
    for service, operation, arguments in (
        ("s3", "list_buckets", {}),
        ("cloudformation", "describe_stacks", {}),
        ("sts", "assume_role", _assume("cfn-exec")),
        ("sts", "assume_role", _assume("lookup")),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            getattr(platform.client(service, **keys), operation)(**arguments)


def _assume(kind: str) -> dict[str, str]:
    return {"RoleArn": BOOTSTRAP.format(kind), "RoleSessionName": "workflow"}
