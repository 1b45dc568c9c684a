"""What a training job may do."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from sagemaker_constructs.wildcards import acknowledge_wildcards

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
METRICS = "/aws/sagemaker/TrainingJobs"
JOBS = "jobs"


class TrainingRole(Construct):
    """The role that SageMaker acts with for a training job: read data, write one place.

    Every statement is something SageMaker calls; without any one of them a job fails or is blind.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        data: Bucket that jobs read.
        models: Bucket that jobs write to, under `jobs/`.
        key: Key of both buckets and of the instances' disks.
        repositories: ARNs of the ECR repositories whose images jobs may run.
    """

    role: iam.Role
    """The execution role."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        data: s3.IBucket,
        models: s3.IBucket,
        key: kms.IKey,
        repositories: Sequence[str],
    ) -> None:
        super().__init__(scope, id)
        stack = Stack.of(self)
        log_group = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name=LOG_GROUP,
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"),
            description="SageMaker acts with it for the training jobs of one environment",
            inline_policies={
                "training": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="ListData",
                            actions=["s3:ListBucket"],
                            resources=[data.bucket_arn],
                        ),
                        iam.PolicyStatement(
                            sid="ReadData",
                            actions=["s3:GetObject"],
                            resources=[data.arn_for_objects("*")],
                        ),
                        iam.PolicyStatement(
                            sid="WriteModels",
                            actions=["s3:PutObject"],
                            resources=[models.arn_for_objects(f"{JOBS}/*")],
                        ),
                        iam.PolicyStatement(
                            sid="DecryptData",
                            # A multipart upload reads back its parts, so writing needs it too.
                            actions=["kms:Decrypt"],
                            resources=[key.key_arn],
                        ),
                        iam.PolicyStatement(
                            sid="EncryptModels",
                            actions=["kms:Encrypt", "kms:GenerateDataKey"],
                            resources=[key.key_arn],
                        ),
                        iam.PolicyStatement(
                            sid="EncryptDisks",
                            actions=["kms:CreateGrant"],
                            resources=[key.key_arn],
                            conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
                        ),
                        iam.PolicyStatement(
                            sid="WriteLogs",
                            actions=[
                                "logs:CreateLogGroup",
                                "logs:CreateLogStream",
                                "logs:DescribeLogStreams",
                                "logs:PutLogEvents",
                            ],
                            resources=[log_group, f"{log_group}:*"],
                        ),
                        iam.PolicyStatement(
                            sid="WriteMetrics",
                            actions=["cloudwatch:PutMetricData"],
                            resources=["*"],
                            conditions={"StringEquals": {"cloudwatch:namespace": METRICS}},
                        ),
                        iam.PolicyStatement(
                            sid="LogInToRegistries",
                            actions=["ecr:GetAuthorizationToken"],
                            resources=["*"],
                        ),
                        iam.PolicyStatement(
                            sid="PullImages",
                            actions=[
                                "ecr:BatchCheckLayerAvailability",
                                "ecr:BatchGetImage",
                                "ecr:GetDownloadUrlForLayer",
                            ],
                            resources=[*repositories],
                        ),
                    ]
                )
            },
        )
        acknowledge_wildcards(
            self.role,
            {
                "*": "Neither logging in to registries nor writing metrics can be told by resource; "
                "the metrics are by namespace.",
                data.arn_for_objects("*"): "Which data a job reads is what its request says.",
                models.arn_for_objects(f"{JOBS}/*"): "Each job writes below its own name.",
                f"{log_group}:*": "The streams of one log group.",
                **{
                    repository: "All repositories of one environment."
                    for repository in repositories
                    if "*" in repository
                },
            },
        )
