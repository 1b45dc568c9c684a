import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Match, Template
from cdk_nag import AwsSolutionsChecks

from sagemaker_constructs.vpc_endpoints import GATEWAYS, NO_CALLS, endpoints_for
from tests.synth.conftest import ENVIRONMENT, declare

# SageMaker makes these calls from its own network, whatever VPC the instances are in: it pulls the
# image, writes logs and metrics, places the interfaces and unlocks disks. KMS is asked by S3.
BY_SAGEMAKER_ITSELF = {"cloudwatch", "ec2", "ecr", "kms", "logs"}


@pytest.fixture(scope="module")
def stacks(functions: Path) -> dict[str, Stack]:
    network = {"mode": "private", "cidr": "10.20.0.0/16"}
    # What notebooks add is tested in test_development.py.
    return declare({**ENVIRONMENT, "network": network, "notebooks": {}}, functions)


@pytest.fixture(scope="module")
def templates(stacks: dict[str, Stack]) -> dict[str, Template]:
    return {part: Template.from_stack(stack) for part, stack in stacks.items()}


@pytest.fixture(scope="module")
def network(templates: dict[str, Template]) -> Template:
    return templates["network"]


def _found(template: Template, kind: str) -> list[dict[str, Any]]:
    return [one["Properties"] for one in template.find_resources(kind).values()]


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _endpoints(network: Template) -> dict[str, dict[str, Any]]:
    """The endpoints by the name of their service."""
    found = {}
    for one in _found(network, "AWS::EC2::VPCEndpoint"):
        name = one["ServiceName"]
        text = name if isinstance(name, str) else "".join(map(str, name["Fn::Join"][1]))
        found[text.partition("eu-west-1.")[2] or text.rpartition(".")[2]] = one
    return found


def _allowed(endpoint: dict[str, Any]) -> set[str]:
    statements = endpoint["PolicyDocument"]["Statement"]
    return {action for one in statements for action in _list(one["Action"])}


def _called_from_inside(templates: dict[str, Template]) -> set[str]:
    """What the roles of jobs and endpoints may call, less what SageMaker calls for them."""
    actions: set[str] = set()
    for role in _found(templates["training"], "AWS::IAM::Role"):
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        if trust["Principal"]["Service"] != "sagemaker.amazonaws.com":
            continue
        for policy in role["Policies"]:
            for one in policy["PolicyDocument"]["Statement"]:
                actions |= set(_list(one["Action"]))
    return {a for a in actions - NO_CALLS if a.partition(":")[0] not in BY_SAGEMAKER_ITSELF}


def test_no_used_service_is_unreachable(templates: dict[str, Template], network: Template) -> None:
    wanted = endpoints_for(_called_from_inside(templates))
    there = _endpoints(network)
    assert wanted.keys() == there.keys()
    for name, actions in wanted.items():
        assert _allowed(there[name]) == set(actions), name


def test_no_endpoint_is_paid_for_while_no_notebook_needs_one(network: Template) -> None:
    assert _endpoints(network).keys() <= GATEWAYS
    assert {one["VpcEndpointType"] for one in _endpoints(network).values()} == {"Gateway"}


def test_endpoints_let_only_this_account_through_and_only_to_its_buckets(
    network: Template,
) -> None:
    (statement,) = _endpoints(network)["s3"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {
            "aws:PrincipalAccount": "111122223333",
            "aws:ResourceAccount": "111122223333",
        }
    }


def test_nothing_leads_out(network: Template) -> None:
    for kind in ("InternetGateway", "NatGateway", "Route", "VPCPeeringConnection"):
        network.resource_count_is(f"AWS::EC2::{kind}", 0)
    network.has_resource_properties("AWS::EC2::VPC", {"CidrBlock": "10.20.0.0/16"})
    subnets = _found(network, "AWS::EC2::Subnet")
    assert [one["MapPublicIpOnLaunch"] for one in subnets] == [False, False]
    assert len({json.dumps(one["AvailabilityZone"]) for one in subnets}) == 2


def test_flows_are_logged_and_the_log_is_encrypted(network: Template) -> None:
    network.has_resource_properties("AWS::EC2::FlowLog", {"TrafficType": "ALL"})
    groups = network.find_resources("AWS::Logs::LogGroup")
    (flow_log,) = _found(network, "AWS::EC2::FlowLog")
    log = groups[flow_log["LogGroupName"]["Ref"]]["Properties"]
    assert log["KmsKeyId"] and log["RetentionInDays"] == 30


def test_hosts_of_a_job_reach_one_another_and_no_one_else_reaches_them(network: Template) -> None:
    rules = _found(network, "AWS::EC2::SecurityGroupIngress")
    assert {(one["IpProtocol"], one.get("FromPort"), one.get("ToPort")) for one in rules} == {
        ("tcp", 0, 65535),
        ("udp", 500, 500),
        ("50", None, None),
    }
    assert all(one["SourceSecurityGroupId"] == one["GroupId"] for one in rules)
    for group in _found(network, "AWS::EC2::SecurityGroup"):
        assert "SecurityGroupIngress" not in group
        (egress,) = group["SecurityGroupEgress"]
        assert (egress["IpProtocol"], egress["FromPort"], egress["ToPort"]) == ("tcp", 443, 443)


def test_the_default_group_is_emptied_by_a_function_that_may_touch_no_other(
    network: Template,
) -> None:
    (vpc,) = network.find_resources("AWS::EC2::VPC")
    default = {"Fn::GetAtt": [vpc, "DefaultSecurityGroup"]}
    network.has_resource_properties("Custom::ClosedDefaultGroup", {"GroupId": default})
    statements = [
        one
        for role in _found(network, "AWS::IAM::Role")
        for policy in role["Policies"]
        for one in policy["PolicyDocument"]["Statement"]
        if "ec2:RevokeSecurityGroupIngress" in _list(one["Action"])
    ]
    (statement,) = statements
    assert json.dumps(default) in json.dumps(statement["Resource"])
    assert "*" not in json.dumps(statement["Resource"])


def test_jobs_and_models_are_placed_in_every_subnet(templates: dict[str, Template]) -> None:
    templates["training"].has_resource_properties(
        "AWS::Lambda::Function",
        {
            "Handler": "jobs.handlers.validate.lambda_handler",
            "Environment": {
                "Variables": Match.object_like(
                    {"SUBNETS": Match.any_value(), "SECURITY_GROUPS": Match.any_value()}
                )
            },
        },
    )
    for part in ("endpoint-digits", "endpoint-pinned"):
        (model,) = _found(templates[part], "AWS::SageMaker::Model")
        assert len(model["VpcConfig"]["Subnets"]) == 2
        assert len(model["VpcConfig"]["SecurityGroupIds"]) == 1
        assert model["EnableNetworkIsolation"] is True


def test_roles_place_instances_in_these_subnets_alone(templates: dict[str, Template]) -> None:
    roles = [
        {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}
        for role in _found(templates["training"], "AWS::IAM::Role")
        for policy in role["Policies"]
    ]
    placing = [role for role in roles if "CreateInterfaces" in role]
    assert len(placing) == 3, "the execution role and the roles of two endpoints"
    for role in placing:
        # The interface that is made, one group and two subnets.
        assert len(role["CreateInterfaces"]["Resource"]) == 4
        (condition,) = role["HandInterfacesToSageMaker"]["Condition"]["ArnEquals"].values()
        assert len(condition) == 2


@pytest.mark.parametrize("part", ["network", "training", "endpoint-digits"])
def test_no_cdk_nag_finding_is_left(
    stacks: dict[str, Stack], templates: dict[str, Template], part: str
) -> None:
    assert templates[part]
    report = AwsSolutionsChecks(stacks[part]).validate_scope(stacks[part])
    assert [violation.rule_name for violation in report.violations] == []


def test_a_call_without_a_known_endpoint_ends_the_synth() -> None:
    with pytest.raises(ValueError, match="no VPC endpoint is known for 'glue:GetTable'"):
        endpoints_for(["s3:GetObject", "glue:GetTable"])


def test_invoking_goes_another_way_than_the_rest_of_sagemaker() -> None:
    assert endpoints_for(
        ["sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint", "iam:PassRole"]
    ) == {
        "sagemaker.api": ("sagemaker:DescribeEndpoint",),
        "sagemaker.runtime": ("sagemaker:InvokeEndpoint",),
    }
