"""A network without a way out, and endpoints for exactly the calls that are made in it."""

from collections.abc import Iterable
from dataclasses import dataclass

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from sagemaker_constructs.trust import own_account
from sagemaker_constructs.vpc_endpoints import GATEWAYS, endpoints_for
from sagemaker_constructs.wildcards import acknowledge_wildcards

_HTTPS = ec2.Port.tcp(443)
# CDK's own names ports, which this protocol does not have.
_ESP = ec2.Port(protocol=ec2.Protocol.ESP, string_representation="ESP")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where in a VPC something of SageMaker runs, as `VpcConfig` has it."""

    vpc: ec2.IVpc
    group: ec2.ISecurityGroup

    @property
    def subnet_ids(self) -> list[str]:
        """Every subnet, so that instances spread over the zones."""
        return [subnet.subnet_id for subnet in self.vpc.isolated_subnets]


class PrivateNetwork(Construct):
    """Isolated subnets with flow logs; nothing but the endpoints leads out of them.

    Each endpoint lets through only the calls that it is there for, and only from identities of this
    account. S3 also only to buckets of this account, so that nothing is carried to another's.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        cidr: Addresses of the VPC.
        zones: How many zones have a subnet; each interface endpoint is paid for in every one.
        calls: IAM actions of every call that is made from inside.
        key: Key of the flow log.
        log_retention: How long the flow log is kept.
    """

    vpc: ec2.Vpc
    """The VPC itself."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        cidr: str,
        zones: int,
        calls: Iterable[str],
        key: kms.IKey,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(cidr),
            max_azs=zones,
            nat_gateways=0,
            # CDK's own function for it needs node, and may do it to any group of the account.
            restrict_default_security_group=False,
            subnet_configuration=[
                ec2.SubnetConfiguration(name="work", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
            ],
        )
        self._log_flows(key, log_retention)
        entrance: ec2.SecurityGroup | None = None
        for name, actions in endpoints_for(calls).items():
            if name in GATEWAYS:
                self._gateway(name, actions)
                continue
            if entrance is None:
                entrance = self._entrance(cidr)
            self._interface(name, actions, entrance)

    def training(self, id: str) -> Placement:
        """Make the group of training jobs, whose hosts speak with one another alone.

        IKE and ESP are what `EnableInterContainerTrafficEncryption` wraps their traffic into, see
        "Protect Communications Between ML Compute Instances" in SageMaker's guide.
        """
        group = self._group(id, "Hosts of training jobs")
        for port, why in (
            (ec2.Port.all_tcp(), "Hosts of one job train together"),
            (ec2.Port.udp(500), "Keys of encrypted traffic between hosts (IKE)"),
            (_ESP, "Encrypted traffic between hosts (ESP)"),
        ):
            group.add_ingress_rule(group, port, why)
            group.add_egress_rule(group, port, why)
        return Placement(self.vpc, group)

    def serving(self, id: str) -> Placement:
        """Make the group of endpoints: SageMaker hands requests in by other ways than the VPC."""
        return Placement(self.vpc, self._group(id, "Instances of endpoints"))

    def notebooks(self, id: str) -> Placement:
        """Make the group of notebooks: whoever opens one comes by SageMaker, not by the VPC."""
        return Placement(self.vpc, self._group(id, "Notebook instances"))

    def _group(self, id: str, description: str) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self, id, vpc=self.vpc, description=description, allow_all_outbound=False
        )
        # The addresses of a gateway are in a list whose id only AWS knows, a different one in each
        # region. The routes end at the endpoints, so there is nothing else to be reached.
        group.add_egress_rule(ec2.Peer.any_ipv4(), _HTTPS, "AWS services, by the VPC's endpoints")
        return group

    def _entrance(self, cidr: str) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self,
            "Endpoints",
            vpc=self.vpc,
            description="Endpoints of AWS services",
            allow_all_outbound=False,
        )
        group.add_ingress_rule(ec2.Peer.ipv4(cidr), _HTTPS, "Everything inside of the VPC")
        return group

    def _gateway(self, name: str, actions: Iterable[str]) -> None:
        endpoint = self.vpc.add_gateway_endpoint(
            name.capitalize(), service=ec2.GatewayVpcEndpointAwsService(name)
        )
        endpoint.add_to_policy(self._let_through(actions, own_resources=True))

    def _interface(self, name: str, actions: Iterable[str], group: ec2.ISecurityGroup) -> None:
        endpoint = self.vpc.add_interface_endpoint(
            "".join(part.capitalize() for part in name.replace("-", ".").split(".")),
            service=ec2.InterfaceVpcEndpointAwsService(name),
            subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[group],
            open=False,
        )
        endpoint.add_to_policy(self._let_through(actions))

    def _let_through(
        self, actions: Iterable[str], *, own_resources: bool = False
    ) -> iam.PolicyStatement:
        """Calls of this account's identities; what each of them may do, its own policy says."""
        account = Stack.of(self).account
        same = {"aws:PrincipalAccount": account}
        if own_resources:
            same["aws:ResourceAccount"] = account
        return iam.PolicyStatement(
            principals=[iam.AnyPrincipal()],
            actions=list(actions),
            resources=["*"],
            conditions={"StringEquals": same},
        )

    def _log_flows(self, key: kms.IKey, retention: logs.RetentionDays) -> None:
        group = logs.LogGroup(
            self,
            "Flows",
            encryption_key=key,
            retention=retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        streams = f"{group.log_group_arn}:*"
        role = iam.Role(
            self,
            "FlowsRole",
            assumed_by=own_account("vpc-flow-logs.amazonaws.com", self),
            description="The VPC writes its flow log with it",
            inline_policies={
                "own": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="WriteFlows",
                            actions=[
                                "logs:CreateLogStream",
                                "logs:DescribeLogStreams",
                                "logs:PutLogEvents",
                            ],
                            resources=[group.log_group_arn, streams],
                        )
                    ]
                )
            },
        )
        acknowledge_wildcards(role, {streams: "The streams of one log group."})
        log = ec2.CfnFlowLog(
            self,
            "FlowLog",
            resource_type="VPC",
            resource_id=self.vpc.vpc_id,
            traffic_type="ALL",
            log_group_name=group.log_group_name,
            deliver_logs_permission_arn=role.role_arn,
        )
        # EC2 refuses a role that may not write yet.
        log.node.add_dependency(role)
