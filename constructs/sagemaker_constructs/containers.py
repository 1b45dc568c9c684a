"""What SageMaker does for every container that it runs."""

from collections.abc import Mapping, Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct


def encrypt_disks(key: kms.IKey) -> iam.PolicyStatement:
    """Let AWS encrypt the disks of instances with `key`, and nobody pass the key on otherwise."""
    return iam.PolicyStatement(
        sid="EncryptDisks",
        actions=["kms:CreateGrant"],
        resources=[key.key_arn],
        conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
    )


class ContainerPermissions:
    """Pull an image, write logs and metrics: what any execution role needs, and no more.

    Args:
        scope: Anything in the stack of the role.
        place: Log group below `/aws/sagemaker/` that the containers write to.
        namespace: Where SageMaker counts what the instances do.
        repositories: ARNs of the ECR repositories whose images may run.
    """

    def __init__(
        self, scope: Construct, *, place: str, namespace: str, repositories: Sequence[str]
    ) -> None:
        self._log_group = Stack.of(scope).format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"/aws/sagemaker/{place}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        self._namespace = namespace
        self._repositories = repositories

    def statements(self) -> list[iam.PolicyStatement]:
        """The statements of the policy."""
        return [
            iam.PolicyStatement(
                sid="WriteLogs",
                actions=[
                    "logs:CreateLogGroup",
                    "logs:CreateLogStream",
                    "logs:DescribeLogStreams",
                    "logs:PutLogEvents",
                ],
                resources=[self._log_group, f"{self._log_group}:*"],
            ),
            iam.PolicyStatement(
                sid="WriteMetrics",
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": self._namespace}},
            ),
            iam.PolicyStatement(
                sid="LogInToRegistries", actions=["ecr:GetAuthorizationToken"], resources=["*"]
            ),
            iam.PolicyStatement(
                sid="PullImages",
                actions=[
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ],
                resources=[*self._repositories],
            ),
        ]

    def wildcards(self) -> Mapping[str, str]:
        """Why each wildcard of the statements is there."""
        return {
            "*": "Logging in to registries and writing metrics cannot be told by resource; the "
            "metrics are by namespace.",
            f"{self._log_group}:*": "The streams of one log group.",
            **repository_wildcards(self._repositories),
        }


def repository_wildcards(repositories: Sequence[str]) -> Mapping[str, str]:
    """Why ARNs of ECR repositories may have a wildcard, for those that have one."""
    return {
        repository: "All repositories of one environment."
        for repository in repositories
        if repository.endswith("*")
    }
