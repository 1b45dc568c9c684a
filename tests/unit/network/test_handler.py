from typing import Any

import boto3
import pytest

from network.handler import lambda_handler


@pytest.fixture
def group(answers: list[dict[str, Any]]) -> str:
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    (found,) = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    return str(found["GroupId"])


def _rules(group: str) -> list[Any]:
    filters: Any = [{"Name": "group-id", "Values": [group]}]
    return list(
        boto3.client("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]
    )


def _event(url: str, group: str, kind: str = "Create") -> dict[str, Any]:
    return {
        "RequestType": kind,
        "ResponseURL": url,
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Closed",
        "ResourceProperties": {"GroupId": group},
    }


def test_takes_every_rule_out_and_may_be_repeated(
    answers: list[dict[str, Any]], answer_url: str, group: str
) -> None:
    assert _rules(group), "AWS gives the group rules"
    lambda_handler(_event(answer_url, group), None)
    assert _rules(group) == []
    lambda_handler(_event(answer_url, group, "Update"), None)
    assert [answer["Status"] for answer in answers] == ["SUCCESS", "SUCCESS"]
    assert answers[0]["PhysicalResourceId"] == group


def test_deleting_the_resource_opens_nothing(
    answers: list[dict[str, Any]], answer_url: str, group: str
) -> None:
    before = _rules(group)
    lambda_handler(_event(answer_url, group, "Delete"), None)
    assert _rules(group) == before
    assert answers[-1]["Status"] == "SUCCESS"


def test_tells_cloudformation_why_it_failed(
    answers: list[dict[str, Any]], answer_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("not authorized to perform ec2:DescribeSecurityGroupRules")

    monkeypatch.setattr("network.handler.rules", refused)
    lambda_handler(_event(answer_url, "sg-1"), None)
    assert answers[-1]["Status"] == "FAILED"
    assert "ec2:DescribeSecurityGroupRules" in answers[-1]["Reason"]
