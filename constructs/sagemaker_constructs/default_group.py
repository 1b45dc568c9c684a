"""The security group that comes with every VPC, emptied."""

from pathlib import Path

from aws_cdk import CustomResource, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from sagemaker_constructs.function import PlatformFunction


class ClosedDefaultGroup(Construct):
    """Takes every rule out of a VPC's default security group, as Security Hub's EC2.2 demands.

    AWS makes the group and lets its members speak with one another and with everybody. Whatever is
    started without a group gets it. CloudFormation can only add rules to it, so a function does it.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        vpc: Whose default group.
        code_path: Folder that `make functions` stages.
        architecture: Processor that the folder was built for.
        key: Key of the function's own log.
        log_retention: How long that log is kept.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.Vpc,
        code_path: Path,
        architecture: lambda_.Architecture,
        key: kms.IKey,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        group = vpc.vpc_default_security_group
        function = PlatformFunction(
            self,
            "Function",
            code_path=code_path,
            handler="network.handler.lambda_handler",
            description="Takes the rules out of the VPC's default security group",
            architecture=architecture,
            key=key,
            statements=[
                iam.PolicyStatement(
                    sid="TakeRulesOut",
                    actions=["ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"],
                    resources=[
                        Stack.of(self).format_arn(
                            service="ec2", resource="security-group", resource_name=group
                        )
                    ],
                ),
                iam.PolicyStatement(
                    sid="SeeRules", actions=["ec2:DescribeSecurityGroupRules"], resources=["*"]
                ),
            ],
            wildcards={"*": "Rules of security groups can be described only all together."},
            environment={},
            timeout=Duration.minutes(1),
            log_retention=log_retention,
        )
        CustomResource(
            self,
            "Closed",
            resource_type="Custom::ClosedDefaultGroup",
            service_token=function.function.function_arn,
            service_timeout=Duration.minutes(5),
            properties={"GroupId": group},
        )
