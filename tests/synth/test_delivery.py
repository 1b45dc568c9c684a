from collections.abc import Mapping
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template

from environments.model import Environment
from stacks.delivery import DeliveryStack

ISSUER = "token.actions.githubusercontent.com"
BOOTSTRAP = "arn:aws:iam::111122223333:role/cdk-hnb659fds-{}-role-111122223333-eu-west-1"


@pytest.fixture
def delivery(templates: dict[str, Template]) -> Template:
    return templates["delivery"]


def _role(template: Template) -> dict[str, Any]:
    (role,) = template.find_resources("AWS::IAM::Role").values()
    properties: dict[str, Any] = role["Properties"]
    return properties


def _provider(template: Template) -> tuple[str, Mapping[str, Any]]:
    (found,) = template.find_resources("AWS::IAM::OIDCProvider").items()
    return found


def _with_delivery(app: App, environment: dict[str, Any], **delivery: str) -> Template:
    config = Environment.model_validate({**environment, "delivery": delivery})
    assert config.delivery
    return Template.from_stack(DeliveryStack(app, config=config, delivery=config.delivery))


def test_only_one_github_environment_of_one_repository_gets_the_role(delivery: Template) -> None:
    provider, _ = _provider(delivery)
    assert _role(delivery)["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Federated": {"Ref": provider}},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    f"{ISSUER}:aud": "sts.amazonaws.com",
                    f"{ISSUER}:sub": "repo:example@1234567/platform@7654321:environment:test",
                }
            },
        }
    ]


def test_a_repository_older_than_ids_in_tokens_is_known_by_its_name(
    app: App, environment: dict[str, Any]
) -> None:
    role = _role(_with_delivery(app, environment, repository="example/platform"))
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    subject = statement["Condition"]["StringEquals"][f"{ISSUER}:sub"]
    assert subject == "repo:example/platform:environment:test"


def test_nothing_of_what_is_trusted_or_allowed_is_a_pattern(delivery: Template) -> None:
    role = _role(delivery)
    text = str([role["AssumeRolePolicyDocument"], role["Policies"]])
    assert "*" not in text
    assert "?" not in text
    assert "StringLike" not in text


def test_the_role_may_act_as_the_roles_that_deploy_and_nothing_else(delivery: Template) -> None:
    role = _role(delivery)
    (policy,) = role["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement == {
        "Sid": "ActAsBootstrap",
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Resource": [BOOTSTRAP.format("deploy"), BOOTSTRAP.format("file-publishing")],
    }
    assert "ManagedPolicyArns" not in role
    delivery.resource_count_is("AWS::IAM::Policy", 0)
    delivery.resource_count_is("AWS::IAM::ManagedPolicy", 0)


def test_the_accounts_provider_is_made_without_a_function_and_outlives_the_stack(
    delivery: Template,
) -> None:
    _, provider = _provider(delivery)
    assert provider["Properties"]["Url"] == f"https://{ISSUER}"
    assert provider["Properties"]["ClientIdList"] == ["sts.amazonaws.com"]
    assert provider["DeletionPolicy"] == "Retain"
    assert provider["UpdateReplacePolicy"] == "Retain"
    delivery.resource_count_is("AWS::Lambda::Function", 0)


def test_a_provider_that_is_there_already_is_trusted_and_not_made_again(
    app: App, environment: dict[str, Any]
) -> None:
    template = _with_delivery(
        app, environment, repository="example/platform", oidc_provider="existing"
    )
    template.resource_count_is("AWS::IAM::OIDCProvider", 0)
    (statement,) = _role(template)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {
        "Federated": f"arn:aws:iam::111122223333:oidc-provider/{ISSUER}"
    }


def test_people_find_what_the_github_environment_needs(delivery: Template) -> None:
    (role,) = delivery.find_resources("AWS::IAM::Role")
    arn = {"Fn::GetAtt": [role, "Arn"]}
    delivery.has_output("DeployRoleArn", {"Value": arn})
    delivery.has_resource_properties(
        "AWS::SSM::Parameter",
        {"Name": "/sagemaker-platform/test/delivery/role-arn", "Value": arn},
    )
