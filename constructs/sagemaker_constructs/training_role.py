"""What a training job may do."""

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from sagemaker_constructs.containers import ContainerPermissions, encrypt_disks
from sagemaker_constructs.network_interfaces import NetworkInterfaces
from sagemaker_constructs.private_network import Placement
from sagemaker_constructs.trust import own_account
from sagemaker_constructs.wildcards import Grants, acknowledge_wildcards, all_reasons


class TrainingRole(Construct):
    """The role that SageMaker acts with for a training job: read data, write below `jobs/`.

    Every statement is something that SageMaker calls; without any one of them a job fails.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        data: Bucket that jobs read.
        models: Bucket that jobs write to.
        key: Key of both buckets and of the instances' disks.
        repositories: ARNs of the ECR repositories whose images jobs may run.
        placement: Where in a VPC jobs run, if they do.
    """

    CALLS = ("s3:GetObject", "s3:ListBucket", "s3:PutObject")
    """What is called from where a job runs; all else SageMaker does from its own network."""

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
        placement: Placement | None = None,
    ) -> None:
        super().__init__(scope, id)
        containers = ContainerPermissions(
            self,
            place="TrainingJobs",
            namespace="/aws/sagemaker/TrainingJobs",
            repositories=repositories,
        )
        statements = [
            iam.PolicyStatement(
                sid="ListData", actions=["s3:ListBucket"], resources=[data.bucket_arn]
            ),
            iam.PolicyStatement(
                sid="ReadData", actions=["s3:GetObject"], resources=[data.arn_for_objects("*")]
            ),
            iam.PolicyStatement(
                sid="WriteModels",
                actions=["s3:PutObject"],
                resources=[models.arn_for_objects("jobs/*")],
            ),
            iam.PolicyStatement(
                sid="FindCheckpoints",
                actions=["s3:ListBucket"],
                resources=[models.bucket_arn],
                conditions={"StringLike": {"s3:prefix": "jobs/*"}},
            ),
            iam.PolicyStatement(
                # To go on after an interruption of spot training.
                sid="ReadCheckpoints",
                actions=["s3:GetObject"],
                resources=[models.arn_for_objects("jobs/*/checkpoints/*")],
            ),
            iam.PolicyStatement(
                sid="DecryptData", actions=["kms:Decrypt"], resources=[key.key_arn]
            ),
            iam.PolicyStatement(
                sid="EncryptModels",
                actions=["kms:Encrypt", "kms:GenerateDataKey"],
                resources=[key.key_arn],
            ),
            encrypt_disks(key),
        ]
        extras: list[Grants] = [containers]
        if placement:
            extras.append(NetworkInterfaces(self, placement))
        statements += [one for extra in extras for one in extra.statements()]
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=own_account("sagemaker.amazonaws.com", self),
            description="SageMaker acts with it for the training jobs of one environment",
            inline_policies={"training": iam.PolicyDocument(statements=statements)},
        )
        acknowledge_wildcards(
            self.role,
            {
                data.arn_for_objects("*"): "Which data a job reads is what its request says.",
                models.arn_for_objects("jobs/*"): "Each job writes below its own name.",
                models.arn_for_objects("jobs/*/checkpoints/*"): "Each job has its own below it.",
                **all_reasons(extra.wildcards() for extra in extras),
            },
        )
