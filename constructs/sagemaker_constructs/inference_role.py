"""What an endpoint may do."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from sagemaker_constructs.containers import ContainerPermissions, encrypt_disks
from sagemaker_constructs.endpoint_alarms import alarm_names
from sagemaker_constructs.network_interfaces import NetworkInterfaces
from sagemaker_constructs.private_network import Placement
from sagemaker_constructs.trust import own_account
from sagemaker_constructs.wildcards import Grants, acknowledge_wildcards, all_reasons


class InferenceRole(Construct):
    """The role that SageMaker acts with for one endpoint: read models, write what it captures.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        endpoint_name: Name of the endpoint in SageMaker.
        stack_name: Name of the endpoint's stack, with which the names of its alarms begin.
        data: Bucket for captured requests, under `capture/`.
        models: Bucket of the models, under `jobs/`.
        key: Key of both buckets and of the instances' disks.
        repositories: ARNs of the ECR repositories whose images may serve.
        placement: Where in a VPC the endpoint runs, if it does.
    """

    CALLS = ("s3:GetObject", "s3:PutObject")
    """What is called from where an endpoint runs; all else SageMaker does from its own network."""

    role: iam.Role
    """The execution role."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        endpoint_name: str,
        stack_name: str,
        data: s3.IBucket,
        models: s3.IBucket,
        key: kms.IKey,
        repositories: Sequence[str],
        placement: Placement | None = None,
    ) -> None:
        super().__init__(scope, id)
        captured = data.arn_for_objects(f"capture/{endpoint_name}/*")
        alarms = Stack.of(self).format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name=alarm_names(stack_name),
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        containers = ContainerPermissions(
            self,
            place=f"Endpoints/{endpoint_name}",
            namespace="/aws/sagemaker/Endpoints",
            repositories=repositories,
        )
        statements = [
            iam.PolicyStatement(
                sid="ReadModel",
                actions=["s3:GetObject"],
                resources=[models.arn_for_objects("jobs/*")],
            ),
            iam.PolicyStatement(
                sid="DecryptModel", actions=["kms:Decrypt"], resources=[key.key_arn]
            ),
            iam.PolicyStatement(
                sid="CaptureRequests", actions=["s3:PutObject"], resources=[captured]
            ),
            iam.PolicyStatement(
                sid="EncryptCapture", actions=["kms:GenerateDataKey"], resources=[key.key_arn]
            ),
            encrypt_disks(key),
            iam.PolicyStatement(
                # SageMaker watches a deployment with it, and returns to the old model on an alarm.
                sid="WatchAlarms",
                actions=["cloudwatch:DescribeAlarms"],
                resources=[alarms],
            ),
        ]
        extras: list[Grants] = [containers]
        if placement:
            extras.append(NetworkInterfaces(self, placement))
        statements += [one for extra in extras for one in extra.statements()]
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=own_account("sagemaker.amazonaws.com", self),
            description=f"SageMaker acts with it to serve {endpoint_name}",
            inline_policies={"serving": iam.PolicyDocument(statements=statements)},
        )
        acknowledge_wildcards(
            self.role,
            {
                models.arn_for_objects("jobs/*"): "Any model of the environment may be deployed.",
                alarms: "CloudFormation names the alarms of a stack after it.",
                captured: "SageMaker writes below the endpoint's own prefix.",
                **all_reasons(extra.wildcards() for extra in extras),
            },
        )
