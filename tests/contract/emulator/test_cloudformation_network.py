import json
from typing import Any

import pytest

from .conftest import ACCOUNT, Server, allow
from .test_cloudformation import Stack, stack

__all__ = ["stack"]

WRITES = ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")


def _template(role: str, **changes: Any) -> str:
    properties = {
        "ResourceType": "VPC",
        "ResourceId": {"Ref": "Vpc"},
        "TrafficType": "ALL",
        "LogGroupName": "flows",
        "DeliverLogsPermissionArn": role,
        "Tags": [{"Key": "Owner", "Value": "me"}],
        **changes,
    }
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}}
    return json.dumps(
        {
            "Resources": {
                "Vpc": vpc,
                "Flows": {"Type": "AWS::EC2::FlowLog", "Properties": properties},
            },
            "Outputs": {
                "Addresses": {"Value": {"Fn::GetAtt": ["Vpc", "CidrBlock"]}},
                "Flows": {"Value": {"Ref": "Flows"}},
            },
        }
    )


@pytest.fixture(scope="module")
def role(server: Server) -> str:
    return server.role("flows", "vpc-flow-logs.amazonaws.com", allow(*WRITES))


def test_a_vpc_has_a_flow_log_and_knows_its_addresses(
    server: Server, stack: Stack, role: str
) -> None:
    assert stack.create(_template(role)) == "CREATE_COMPLETE"
    assert stack.output("Addresses") == "10.9.0.0/16"
    ec2 = server.client("ec2")
    (flows,) = ec2.describe_flow_logs(FlowLogIds=[stack.output("Flows")])["FlowLogs"]
    assert flows["LogDestination"] == "flows"
    assert {"Key": "Owner", "Value": "me"} in flows["Tags"]
    stack.delete()
    assert ec2.describe_flow_logs(FlowLogIds=[flows["FlowLogId"]])["FlowLogs"] == []


def test_a_flow_log_needs_a_role_that_may_write_it(server: Server, stack: Stack) -> None:
    poor = server.role("flows-poor", "vpc-flow-logs.amazonaws.com", allow(*WRITES[:2]))
    assert stack.create(_template(poor)) == "ROLLBACK_COMPLETE"
    assert any("logs:PutLogEvents" in reason for reason in stack.reasons("Flows"))


def test_a_flow_log_needs_a_role_that_trusts_its_service(server: Server, stack: Stack) -> None:
    other = server.role("flows-other", "lambda.amazonaws.com", allow(*WRITES))
    assert stack.create(_template(other)) == "ROLLBACK_COMPLETE"
    assert any("Could not assume role" in reason for reason in stack.reasons("Flows"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"LogDestinationType": "s3"}, "it takes cloud-watch-logs"),
        ({"ResourceType": "TransitGateway"}, "has no flow log of a TransitGateway"),
        ({"ResourceId": "vpc-0"}, "The VPC ID 'vpc-0' does not exist"),
        ({"Colour": "red"}, "Encountered unsupported property Colour"),
    ],
)
def test_a_flow_log_that_would_not_be_written_is_refused(
    stack: Stack, role: str, change: dict[str, Any], reason: str
) -> None:
    assert stack.create(_template(role, **change)) == "ROLLBACK_COMPLETE"
    assert any(reason in said for said in stack.reasons("Flows"))


def test_flow_logs_are_made_with_the_permissions_of_the_stack(server: Server, role: str) -> None:
    server.role(
        "flows-stack", "cloudformation.amazonaws.com", allow("ec2:CreateVpc", "ec2:DeleteVpc")
    )
    found = Stack(server, "s-flows-as-role")
    cfn = f"arn:aws:iam::{ACCOUNT}:role/flows-stack"
    assert found.create(_template(role), RoleARN=cfn) == "ROLLBACK_COMPLETE"
    assert any("ec2:CreateFlowLogs" in reason for reason in found.reasons("Flows"))
