"""What CloudFormation's types of networks lack in ministack: flow logs, and attributes of a VPC."""

import functools
from typing import Any
from urllib.parse import parse_qs

from local.emulator import identity
from local.emulator.environment import ACCOUNT, REGION

FLOW_LOG = "AWS::EC2::FlowLog"
SERVICE = "vpc-flow-logs.amazonaws.com"
_WRITES = ("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
# What is applied, or says only how a flow would be written; nothing flows in these networks.
_KNOWN = frozenset(
    {
        "DeliverLogsPermissionArn",
        "LogDestinationType",
        "LogFormat",
        "LogGroupName",
        "MaxAggregationInterval",
        "ResourceId",
        "ResourceType",
        "Tags",
        "TrafficType",
    }
)


def install() -> None:
    """Register flow logs, and let a template ask for what a VPC knows of itself."""
    from ministack.services.cloudformation import provisioners

    provisioners._RESOURCE_HANDLERS[FLOW_LOG] = {"create": _create, "delete": _delete}
    # By AWS's schema every property but the tags replaces it; tags alone do here, too.
    provisioners._REPLACING_PROPERTIES[FLOW_LOG] = tuple(sorted(_KNOWN))
    provisioners._STACK_TAG_PROPERTY[FLOW_LOG] = ("Tags", "list")
    vpc = provisioners._RESOURCE_HANDLERS["AWS::EC2::VPC"]
    for operation in ("create", "update"):
        vpc[operation] = _with_addresses(vpc[operation])


def _with_addresses(handler: Any) -> Any:
    @functools.wraps(handler)
    def handled(*arguments: Any) -> Any:
        from ministack.services import ec2

        physical_id, attributes = handler(*arguments)
        return physical_id, {
            **attributes,
            "CidrBlock": ec2._vpcs[physical_id]["CidrBlock"],
            "CidrBlockAssociations": [],
            "Ipv6CidrBlocks": [],
        }

    return handled


def _create(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
    unknown = sorted(set(props) - _KNOWN)
    if unknown:
        raise ValueError(f"Encountered unsupported property {unknown[0]}")
    if props.get("LogDestinationType", "cloud-watch-logs") != "cloud-watch-logs":
        raise ValueError(
            f"The local platform writes no flow log to {props['LogDestinationType']}; "
            "it takes cloud-watch-logs."
        )
    _check_role(str(props.get("DeliverLogsPermissionArn", "")), str(props.get("LogGroupName", "")))
    from ministack.services import ec2

    _check_resource(ec2, str(props["ResourceType"]), str(props["ResourceId"]))
    request = {
        "ResourceId.1": [props["ResourceId"]],
        "ResourceType": [props["ResourceType"]],
        "TrafficType": [props.get("TrafficType", "ALL")],
        "LogGroupName": [props["LogGroupName"]],
        "DeliverLogsPermissionArn": [props["DeliverLogsPermissionArn"]],
    }
    before = set(ec2._flow_logs)
    status, _, body = ec2._create_flow_logs(request)
    if status >= 400:
        raise ValueError(body.decode(errors="replace"))
    (made,) = set(ec2._flow_logs) - before
    if props.get("Tags"):
        ec2._tags[made] = [{"Key": t["Key"], "Value": str(t["Value"])} for t in props["Tags"]]
    return made, {"Id": made}


def _check_resource(ec2: Any, kind: str, name: str) -> None:
    stores = {"VPC": ec2._vpcs, "Subnet": ec2._subnets}
    if kind not in stores:
        raise ValueError(f"The local platform has no flow log of a {kind}; of a VPC or a Subnet.")
    if name not in stores[kind]:
        raise ValueError(f"The {kind} ID '{name}' does not exist")


def _check_role(role: str, group: str) -> None:
    """Refuse a role that could not write, as EC2 does when a flow log is made."""
    try:
        key = identity.session(role, SERVICE, "flow-logs")[0]
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*"
        for action in _WRITES:
            identity.authorize(key, action, arn)
    except (identity.NotAssumable, identity.Denied) as error:
        raise ValueError(
            f"Access to the log destination {group} is denied for {role}: {error}"
        ) from error


def _delete(physical_id: str, props: dict[str, Any]) -> None:
    from ministack.services import ec2

    ec2._delete_flow_logs(parse_qs(f"FlowLogId.1={physical_id}"))
