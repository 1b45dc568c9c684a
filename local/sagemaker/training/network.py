"""The VPC of a training job: what AWS does there as the execution role, and would be refused.

The hosts of a local job are processes on the loopback interface. What AWS looks at is checked all
the same: that subnets and security groups are there and belong together, and that the role may
place network interfaces among them, by the actions that SageMaker's guide lists under "Give
SageMaker AI Training Jobs Access to Resources in Your Amazon VPC".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from local.sagemaker.arns import Arns
from local.sagemaker.errors import invalid
from local.sagemaker.roles import CALL_ERRORS, CallFailed, Role

_SEEN = ("ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeVpcs")
_HANDED_OVER = (
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
)


def check(config: Mapping[str, Any], role: Role, arns: Arns) -> None:
    """Check the VpcConfig of a request.

    Raises:
        ServiceError: with the text of EC2 for what is not there or what the role may not do.
    """
    try:
        _check(config["Subnets"], config["SecurityGroupIds"], role, arns)
    except CallFailed as error:
        raise invalid(f"VpcConfig cannot be used: {error}") from error


def _check(subnets: Sequence[str], groups: Sequence[str], role: Role, arns: Arns) -> None:
    ec2 = role.client("ec2")
    networks = {
        found["SubnetId"]: found["VpcId"]
        for found in _described(
            role,
            "ec2:DescribeSubnets",
            lambda: ec2.describe_subnets(SubnetIds=[*subnets])["Subnets"],
        )
    } | {
        found["GroupId"]: found["VpcId"]
        for found in _described(
            role,
            "ec2:DescribeSecurityGroups",
            lambda: ec2.describe_security_groups(GroupIds=[*groups])["SecurityGroups"],
        )
    }
    for noun, names in (("subnet", subnets), ("security group", groups)):
        for name in names:
            if name not in networks:
                raise invalid(f"The {noun} ID '{name}' does not exist")
    if len(set(networks.values())) > 1:
        listed = ", ".join(f"{name} in {vpc}" for name, vpc in networks.items())
        raise invalid(
            f"All subnets and security groups must belong to one VPC. These do not: {listed}."
        )
    for action in _SEEN:
        role.authorize(action, "*")
    interfaces = _arn(arns, "network-interface", "*")
    for subnet in subnets:
        within = {
            "ec2:Subnet": _arn(arns, "subnet", subnet),
            "ec2:Vpc": _arn(arns, "vpc", networks[subnet]),
        }
        role.authorize("ec2:CreateNetworkInterface", within["ec2:Subnet"], within)
        role.authorize("ec2:CreateNetworkInterface", interfaces, within)
        for action in _HANDED_OVER:
            role.authorize(action, interfaces, within)
    for group in groups:
        vpc = {"ec2:Vpc": _arn(arns, "vpc", networks[group])}
        role.authorize("ec2:CreateNetworkInterface", _arn(arns, "security-group", group), vpc)


def _described(
    role: Role, action: str, describe: Callable[[], Sequence[Mapping[str, Any]]]
) -> Sequence[Mapping[str, Any]]:
    try:
        return describe()
    except CALL_ERRORS as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"].endswith("NotFound"):
            raise invalid(str(error.response["Error"]["Message"])) from error
        raise role.failure(error, action, "*") from error


def _arn(arns: Arns, kind: str, name: str) -> str:
    return f"arn:aws:ec2:{arns.region}:{arns.account}:{kind}/{name}"
