"""What SageMaker does to put its instances into a VPC."""

from collections.abc import Mapping

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from sagemaker_constructs.private_network import Placement


class NetworkInterfaces:
    """Permissions of an execution role to place its instances in one network, and in no other.

    The actions are those of "Give SageMaker AI Training Jobs Access to Resources in Your Amazon
    VPC" in SageMaker's guide.

    Args:
        scope: Anything in the stack of the role.
        placement: Subnets and security group of the instances.
    """

    def __init__(self, scope: Construct, placement: Placement) -> None:
        self._stack = Stack.of(scope)
        self._interfaces = self._arn("network-interface", "*")
        self._subnets = [self._arn("subnet", subnet) for subnet in placement.subnet_ids]
        self._group = self._arn("security-group", placement.group.security_group_id)

    def statements(self) -> list[iam.PolicyStatement]:
        """The statements of the policy."""
        within = {"ArnEquals": {"ec2:Subnet": self._subnets}}
        return [
            iam.PolicyStatement(
                sid="CreateInterfaces",
                actions=["ec2:CreateNetworkInterface"],
                resources=[self._interfaces, self._group, *self._subnets],
            ),
            iam.PolicyStatement(
                sid="HandInterfacesToSageMaker",
                actions=[
                    "ec2:CreateNetworkInterfacePermission",
                    "ec2:DeleteNetworkInterface",
                    "ec2:DeleteNetworkInterfacePermission",
                ],
                resources=[self._interfaces],
                conditions=within,
            ),
            iam.PolicyStatement(
                sid="SeeNetwork",
                actions=[
                    "ec2:DescribeDhcpOptions",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeVpcs",
                ],
                resources=["*"],
            ),
        ]

    def wildcards(self) -> Mapping[str, str]:
        """Why each wildcard of the statements is there."""
        return {
            "*": "Networks can be described only all together.",
            self._interfaces: "EC2 names interfaces; they may lie in the given subnets alone.",
        }

    def _arn(self, resource: str, name: str) -> str:
        return self._stack.format_arn(service="ec2", resource=resource, resource_name=name)
