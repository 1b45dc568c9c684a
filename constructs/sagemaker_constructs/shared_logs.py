"""How long the logs that SageMaker itself writes are kept."""

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import ArnFormat, CustomResource, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from sagemaker_constructs.function import PlatformFunction
from sagemaker_constructs.retention import RETENTION

ACCOUNT_WIDE = (
    "/aws/sagemaker/NotebookInstances",
    "/aws/sagemaker/ProcessingJobs",
    "/aws/sagemaker/TrainingJobs",
    "/aws/sagemaker/TransformJobs",
)


class SharedLogs(Construct):
    """A retention for log groups that SageMaker makes by itself and then keeps for ever.

    They belong to the account and not to one environment: another one, or a job from before, may
    have made them. CloudFormation would refuse to, so a function makes what is missing.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        endpoint_names: Endpoints, each of which has a log group of its own.
        days: How long logs are kept, unless another environment keeps them longer.
        code_path: Folder that `make functions` stages.
        architecture: Processor that the folder was built for.
        key: Key of the function's own log.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        endpoint_names: Sequence[str],
        days: int,
        code_path: Path,
        architecture: lambda_.Architecture,
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, id)
        names = [*ACCOUNT_WIDE, *(f"/aws/sagemaker/Endpoints/{name}" for name in endpoint_names)]
        groups = [
            Stack.of(self).format_arn(
                service="logs",
                resource="log-group",
                resource_name=name,
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            )
            for name in names
        ]
        function = PlatformFunction(
            self,
            "Function",
            code_path=code_path,
            handler="logs.handler.lambda_handler",
            description="Gives the log groups of SageMaker a retention",
            architecture=architecture,
            key=key,
            statements=[
                iam.PolicyStatement(
                    sid="KeepLogs",
                    actions=["logs:CreateLogGroup", "logs:PutRetentionPolicy"],
                    resources=[*groups, *(f"{group}:*" for group in groups)],
                ),
                iam.PolicyStatement(
                    sid="ReadRetention", actions=["logs:DescribeLogGroups"], resources=["*"]
                ),
            ],
            wildcards={
                "*": "Log groups can be listed only all together.",
                **{f"{group}:*": "Logs names a group with this ending too." for group in groups},
            },
            environment={},
            timeout=Duration.minutes(2),
            log_retention=RETENTION[days],
        )
        CustomResource(
            self,
            "Retention",
            resource_type="Custom::LogRetention",
            service_token=function.function.function_arn,
            service_timeout=Duration.minutes(5),
            properties={"LogGroups": names, "Days": days},
        )
