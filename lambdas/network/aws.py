"""Reads and writes of security groups."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client


class Rules(NamedTuple):
    """Ids of the rules of one security group."""

    ingress: list[str]
    egress: list[str]


def rules(ec2: "EC2Client", group: str) -> Rules:
    """What a security group lets in and out."""
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": [group]}]
    )
    found = [rule for page in pages for rule in page["SecurityGroupRules"]]
    return Rules(
        [rule["SecurityGroupRuleId"] for rule in found if not rule["IsEgress"]],
        [rule["SecurityGroupRuleId"] for rule in found if rule["IsEgress"]],
    )


def take_out(ec2: "EC2Client", group: str, unwanted: Rules) -> None:
    """Remove rules from a security group."""
    if unwanted.ingress:
        ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=unwanted.ingress)
    if unwanted.egress:
        ec2.revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=unwanted.egress)
