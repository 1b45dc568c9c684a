import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Template
from cdk_nag import AwsSolutionsChecks

from environments.model import MOST_TAKEN, TAKEN_TAGS
from environments.prices import prices
from stacks.idle_cost import priced
from tests.synth.conftest import ENVIRONMENT

ROOT = Path(__file__).parents[2]
PARTS = ["network", "storage", "images", "governance", "training"]
PARTS += ["endpoint-digits", "endpoint-pinned", "development", "delivery"]

# What CloudFormation gives no tags to.
UNTAGGED = {
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CDK::Metadata",
    "AWS::CloudFormation::WaitConditionHandle",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::IAM::Policy",
    "AWS::KMS::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "Custom::ClosedDefaultGroup",
    "Custom::LogRetention",
}

# Services that do not say for which account they assume a role.
NO_SOURCE_ACCOUNT = {"cloudformation.amazonaws.com", "lambda.amazonaws.com"}


def _resources(template: Template) -> dict[str, Any]:
    resources: dict[str, Any] = template.to_json()["Resources"]
    return resources


def test_the_stacks_are_those_of_the_design(stacks: dict[str, Stack]) -> None:
    assert sorted(stacks) == sorted(PARTS)
    assert [stacks[part].stack_name for part in PARTS] == [
        f"sagemaker-platform-test-{part}" for part in PARTS
    ]


@pytest.mark.parametrize("part", PARTS)
def test_what_every_type_costs_at_rest_was_judged(
    templates: dict[str, Template], part: str
) -> None:
    types = {one["Type"] for one in _resources(templates[part]).values()}
    assert [kind for kind in sorted(types) if not priced(kind, prices())] == []


@pytest.mark.parametrize("part", PARTS)
def test_no_cdk_nag_finding_is_left(
    stacks: dict[str, Stack], templates: dict[str, Template], part: str
) -> None:
    assert templates[part]
    report = AwsSolutionsChecks(stacks[part]).validate_scope(stacks[part])
    assert [violation.rule_name for violation in report.violations] == []


def test_the_most_tags_of_a_file_fit_on_everything_beside_those_of_the_platform(
    templates: dict[str, Template],
) -> None:
    own = set()
    for template in templates.values():
        for resource in _resources(template).values():
            tags = resource.get("Properties", {}).get("Tags", [])
            # Of the type of a parameter, they are a mapping.
            keys = set(tags) if isinstance(tags, dict) else {tag["Key"] for tag in tags}
            own.add(frozenset(keys - ENVIRONMENT["tags"].keys()))
    assert set().union(*own) == set(TAKEN_TAGS)
    assert max(map(len, own)) == MOST_TAKEN


@pytest.mark.parametrize("part", PARTS)
def test_everything_says_whose_it_is_and_what_it_may_hold(
    templates: dict[str, Template], part: str
) -> None:
    wanted = {
        "CostCenter": "1234",
        "DataClassification": "confidential",
        "Environment": "test",
        "OwnerTeam": "ml-platform",
    }
    for name, resource in _resources(templates[part]).items():
        if resource["Type"] in UNTAGGED:
            continue
        tags = resource["Properties"].get("Tags", [])
        if isinstance(tags, list):
            tags = {tag["Key"]: tag["Value"] for tag in tags}
        assert wanted.items() <= tags.items(), name


@pytest.mark.parametrize("part", PARTS)
def test_no_role_is_handed_on_without_saying_to_whom(
    templates: dict[str, Template], part: str
) -> None:
    for statement in _statements(templates[part]):
        if "iam:PassRole" in _list(statement["Action"]):
            assert set(statement["Condition"]["StringEquals"]) == {"iam:PassedToService"}
            assert "*" not in str(statement["Resource"])


# GitHub is no service of AWS: test_delivery.py says whom its role trusts.
@pytest.mark.parametrize("part", [part for part in PARTS if part != "delivery"])
def test_a_service_acts_with_a_role_for_this_account_only(
    templates: dict[str, Template], part: str
) -> None:
    for name, role in templates[part].find_resources("AWS::IAM::Role").items():
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if statement["Principal"]["Service"] not in NO_SOURCE_ACCOUNT:
            assert statement["Condition"] == {
                "StringEquals": {"aws:SourceAccount": "111122223333"}
            }, name


@pytest.mark.parametrize("part", PARTS)
def test_no_policy_allows_every_action_of_a_service(
    templates: dict[str, Template], part: str
) -> None:
    for statement in _statements(templates[part]):
        assert not [a for a in _list(statement["Action"]) if re.fullmatch(r"(\w+:)?\*", a)]


@pytest.mark.parametrize("part", PARTS)
def test_no_managed_policy_of_aws_is_used(templates: dict[str, Template], part: str) -> None:
    for role in templates[part].find_resources("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role["Properties"]


@pytest.mark.parametrize("part", PARTS)
def test_nothing_needs_node_in_a_function(templates: dict[str, Template], part: str) -> None:
    for function in templates[part].find_resources("AWS::Lambda::Function").values():
        assert function["Properties"]["Runtime"].startswith("python")


def test_constructs_stays_a_source_root() -> None:
    root = ROOT / "constructs"
    assert not (root / "__init__.py").exists(), "it would hide the constructs package from PyPI"


def _statements(template: Template) -> list[dict[str, Any]]:
    found = []
    for resource in _resources(template).values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Policy":
            found += properties["PolicyDocument"]["Statement"]
        for policy in properties.get("Policies", []) if "Role" in resource["Type"] else []:
            found += policy["PolicyDocument"]["Statement"]
    return found


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
