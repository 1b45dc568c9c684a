"""What each function of the training workflow may do, a statement for each thing that it does.

No statement is there for which nothing would fail. What is encrypted takes a second one, since the
key may be used only by way of the service that keeps it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from sagemaker_constructs import conditions
from sagemaker_constructs.conditions import ENDPOINT_TAG
from sagemaker_constructs.containers import repository_wildcards
from sagemaker_constructs.endpoint import has_local_storage
from sagemaker_constructs.permission import Permission, encrypted, permission, tell
from sagemaker_constructs.private_network import Placement
from sagemaker_constructs.spelling import spellings


@dataclass(frozen=True)
class WorkflowPermissions:
    """Permissions over the things of one workflow."""

    scope: Construct
    key: kms.IKey
    table: dynamodb.ITable
    status_index: str
    data: s3.IBucket
    models: s3.IBucket
    job_prefix: str
    execution_role: iam.IRole
    environment_name: str
    instance_types: Sequence[str]
    """What jobs may run on."""
    require_isolation: bool = True
    """Whether every job runs without a network."""
    placement: Placement | None = None
    """Where in a VPC jobs run, if they do."""

    def list_data(self) -> Permission:
        """See whether a channel's prefix holds anything."""
        return permission("ListData", ["s3:ListBucket"], [self.data.bucket_arn])

    def rows(self, *actions: str) -> Permission:
        """Read and write rows of the job table, which is encrypted."""
        resources = [self.table.table_arn]
        if "Query" in actions:
            resources.append(f"{self.table.table_arn}/index/{self.status_index}")
        return self._encrypted(
            permission("JobTable", [f"dynamodb:{action}" for action in actions], resources),
            "dynamodb",
            "kms:Decrypt",
        )

    def write_records(self) -> Permission:
        """Write beside a job's model."""
        objects = self.models.arn_for_objects("jobs/*")
        return self._encrypted(
            permission(
                "WriteRecords",
                ["s3:PutObject"],
                [objects],
                {objects: "Each job writes below its own name."},
            ),
            "s3",
            "kms:GenerateDataKey",
        )

    def read_sources(self) -> Permission:
        """Read the archives of code that requests name, to keep them beside the models."""
        # Whoever works in a notebook may write below the notebook's own prefix alone.
        places = [self.data.arn_for_objects(f"{place}sources/*") for place in ("", "notebooks/*/")]
        return self._encrypted(
            permission(
                "ReadSources",
                ["s3:GetObject"],
                places,
                dict.fromkeys(places, "Which code a job runs is what its request says."),
            ),
            "s3",
            "kms:Decrypt",
        )

    def begin_jobs(self) -> Permission:
        """Create training jobs of this environment, and find those that are there already.

        Whoever may start the workflow has these functions create jobs, so what a job may be is
        said here once more: a request that got past the checks of its form is refused by IAM.
        """
        jobs = self._jobs()
        create = iam.PolicyStatement(
            sid="CreateTrainingJobs",
            actions=["sagemaker:CreateTrainingJob"],
            resources=[jobs],
            conditions=conditions.merged(
                conditions.isolated() if self.require_isolation else {},
                conditions.encrypted_between_hosts(),
                conditions.on(self.instance_types),
                conditions.within(self.placement),
                self._encrypted_with_key(),
                # No other way in or out than the channels and the model.
                {
                    "BoolIfExists": {"sagemaker:EnableRemoteDebug": "false"},
                    "Null": {"sagemaker:FileSystemId": "true"},
                },
            ),
        )
        tag = iam.PolicyStatement(
            sid="TagTrainingJobs",
            actions=["sagemaker:AddTags"],
            resources=[jobs],
            conditions={
                "StringEquals": {
                    "sagemaker:TaggingAction": "CreateTrainingJob",
                    "aws:RequestTag/sagemaker-platform:environment": self.environment_name,
                }
            },
        )
        (describe,) = self.describe_jobs().statements
        return Permission((create, tag, describe), self.describe_jobs().wildcards)

    def _encrypted_with_key(self) -> conditions.Conditions:
        """Disks and model are encrypted with the key; SageMaker takes none for disks of NVMe."""
        own_disks = any(has_local_storage(one) for one in self.instance_types)
        disks = {"sagemaker:VolumeKmsKeyArn": self.key.key_arn}
        model = {"sagemaker:OutputKmsKeyArn": self.key.key_arn}
        if own_disks:
            return {"ArnEquals": model, "ArnEqualsIfExists": disks}
        return {"ArnEquals": {**model, **disks}}

    def describe_jobs(self) -> Permission:
        """See how training jobs of this environment ended."""
        jobs = self._jobs()
        return permission(
            "TrainingJobs",
            ["sagemaker:DescribeTrainingJob"],
            [jobs],
            {jobs: "Each execution names its own job, with the environment in front."},
        )

    def pass_execution_role(self) -> Permission:
        """Hand the one execution role to SageMaker, and to nobody else."""
        return permission(
            "HandRoleToSageMaker",
            ["iam:PassRole"],
            [self.execution_role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )

    def answer_tasks(self, *, ask: bool = False) -> Permission:
        """Say how a waiting task ended, or `ask` whether it still waits."""
        return permission(
            "AnswerTasks",
            [
                "states:SendTaskSuccess",
                "states:SendTaskFailure",
                *(["states:SendTaskHeartbeat"] if ask else []),
            ],
            ["*"],
            {
                "*": "The token is the resource: it names one task of one execution, and only the "
                "job table holds it."
            },
        )

    def create_packages(self, groups: Sequence[str], repositories: Sequence[str]) -> Permission:
        """Add versions to the model package groups of this environment.

        SageMaker looks at model and image of a version on behalf of whoever registers it, as AWS's
        own policy AmazonSageMakerModelRegistryFullAccess has it.
        """
        artifacts = self.models.arn_for_objects("jobs/*")
        packages = self._named("model-package", *(f"{group}/*" for group in groups))
        return permission(
            "CreatePackages",
            [
                "sagemaker:CreateModelPackage",
                "ecr:BatchGetImage",
                "ecr:DescribeImages",
                "s3:GetObject",
                "kms:Decrypt",
            ],
            [
                *packages,
                *self._named("model-package-group", *groups),
                *repositories,
                artifacts,
                self.key.key_arn,
            ],
            {
                **dict.fromkeys(packages, "SageMaker numbers the versions of a group."),
                artifacts: "Each job writes below its own name.",
                **repository_wildcards(repositories),
            },
        )

    def update_stacks(self, stacks: Sequence[str]) -> Permission:
        """Change a parameter of an endpoint's stack; what that may touch its own role says."""
        return self._on_stacks("UpdateStacks", stacks, "DescribeStacks", "UpdateStack")

    def follow_stacks(self, stacks: Sequence[str]) -> Permission:
        """See how the update of an endpoint's stack goes on."""
        return self._on_stacks("FollowStacks", stacks, "DescribeStacks", "DescribeStackEvents")

    def ask_endpoints(self, endpoints: Sequence[str]) -> Permission:
        """Invoke an endpoint, and see whether it is in service."""
        return permission(
            "AskEndpoints",
            ["sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"],
            self._named("endpoint", *endpoints),
        )

    def see_served_models(self, endpoints: Sequence[str]) -> Permission:
        """See which model package an endpoint serves."""
        config = self._arn("sagemaker", "endpoint-config", "*")
        model = self._arn("sagemaker", "model", "*")
        why = "CloudFormation names it; those of the endpoints have their tags."
        return permission(
            "SeeServedModels",
            ["sagemaker:DescribeEndpointConfig", "sagemaker:DescribeModel"],
            [config, model],
            {config: why, model: why},
            {"StringEquals": {f"aws:ResourceTag/{ENDPOINT_TAG}": list(endpoints)}},
        )

    def tell(self, topic: sns.ITopic) -> Permission:
        """Publish to the topic, whose key asks who publishes."""
        return tell(topic, self.key)

    def send_events(self, source: str) -> Permission:
        """Put events of one source on the account's default bus."""
        bus = self._arn("events", "event-bus", "default")
        return permission(
            "SendEvents",
            ["events:PutEvents"],
            [bus],
            conditions={"StringEquals": {"events:source": source}},
        )

    def _encrypted(self, found: Permission, service: str, *actions: str) -> Permission:
        return encrypted(found, self.key, service, *actions)

    def _jobs(self) -> str:
        return self._arn("sagemaker", "training-job", f"{self.job_prefix}*")

    def _on_stacks(self, sid: str, stacks: Sequence[str], *actions: str) -> Permission:
        arns = [self._arn("cloudformation", "stack", f"{name}/*") for name in stacks]
        return permission(
            sid,
            [f"cloudformation:{action}" for action in actions],
            arns,
            dict.fromkeys(arns, "CloudFormation appends an id to the stack's name."),
        )

    def _named(self, kind: str, *names: str) -> list[str]:
        return [self._arn("sagemaker", kind, spelling) for spelling in spellings(names)]

    def _arn(self, service: str, resource: str, name: str) -> str:
        return Stack.of(self.scope).format_arn(
            service=service,
            resource=resource,
            resource_name=name,
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )
