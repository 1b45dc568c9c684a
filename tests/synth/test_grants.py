"""Grants of the templates."""

from collections.abc import Mapping
from typing import Any

import pytest
from aws_cdk.assertions import Template

from tests.synth.grants import UNBOUNDED, findings, statements

MODEL = "arn:aws:sagemaker:eu-west-1:111122223333:model/*"
ALARMS = "arn:aws:cloudwatch:eu-west-1:111122223333:alarm:*"
ROLE = "arn:aws:iam::111122223333:role/one"
JOBS = "arn:aws:sagemaker:eu-west-1:111122223333:training-job/dev-*"
TAG = "aws:ResourceTag/team"


def _template(action: str, resource: Any, **condition: Any) -> dict[str, Any]:
    statement = {"Sid": "S", "Effect": "Allow", "Action": action, "Resource": resource}
    policy = {"PolicyDocument": {"Statement": [statement | {"Condition": condition}]}}
    return {"Resources": {"R": {"Type": "AWS::IAM::Policy", "Properties": policy}}}


@pytest.mark.parametrize(
    "template",
    [
        _template("sagemaker:DeleteModel", MODEL),
        _template("sagemaker:DeleteModel", [{"Fn::Join": ["", ["arn:aws:s:r:1:model", "/*"]]}]),
        _template("sagemaker:DeleteModel", MODEL, StringEqualsIfExists={TAG: "a"}),
        _template("sagemaker:DeleteTags", MODEL, **{"ForAllValues:StringEquals": {TAG: "a"}}),
        _template("cloudwatch:DeleteAlarms", ALARMS),
        _template("iam:PassRole", ROLE),
        _template("iam:PassRole", f"{ROLE}*", StringEquals={"iam:PassedToService": "a"}),
        _template("sagemaker:CreateTrainingJob", JOBS),
        _template("sagemaker:CreateModel", MODEL, StringEquals={"aws:RequestTag/team": "a"}),
    ],
)
def test_a_grant_over_what_is_anothers_is_found(template: dict[str, Any]) -> None:
    (finding,) = findings(template)
    assert finding.startswith("R.S: ")


def test_a_grant_over_ones_own_is_none() -> None:
    for template in (
        _template("sagemaker:DeleteModel", MODEL, StringEquals={TAG: "a"}),
        _template("sagemaker:DescribeModel", MODEL),
        _template("sagemaker:StopTrainingJob", JOBS),
        _template("iam:PassRole", ROLE, StringEquals={"iam:PassedToService": "a"}),
    ):
        assert findings(template) == []


@pytest.mark.holds(
    "No role of the templates may change what is another's, or create without limits."
)
def test_no_stack_grants_anything_over_what_is_anothers(templates: dict[str, Template]) -> None:
    found = {part: findings(_without_own_disks(one.to_json())) for part, one in templates.items()}
    assert {part: each for part, each in found.items() if each} == {}


def _without_own_disks(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template without the role of the endpoint whose instances take no key for their disks."""
    return {
        "Resources": {
            name: one for name, one in template["Resources"].items() if "pinned" not in name
        }
    }


def test_instances_with_disks_of_their_own_get_no_key_and_nothing_else_changes(
    templates: dict[str, Template],
) -> None:
    (finding,) = findings(templates["training"].to_json())
    assert finding.endswith("sagemaker:CreateEndpointConfig without ['sagemaker:VolumeKmsKeyArn']")


def test_every_exception_is_of_something_that_the_templates_grant(
    templates: dict[str, Template],
) -> None:
    granted = {
        action
        for one in templates.values()
        for _, statement in statements(one.to_json())
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
    }
    assert set(UNBOUNDED) - granted == set()
