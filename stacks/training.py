"""How models come about."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from environments.model import PREFIX, Environment
from sagemaker_constructs.endpoint_stack_role import EndpointStackRole
from sagemaker_constructs.inference_role import InferenceRole
from sagemaker_constructs.model_registry import ModelRegistry
from sagemaker_constructs.retention import RETENTION
from sagemaker_constructs.training_role import TrainingRole
from sagemaker_constructs.training_workflow import JobDefaults, TrainingWorkflow
from stacks.network import NetworkStack
from stacks.platform import PlatformStack


class TrainingStack(PlatformStack):
    """The job workflow, the roles it hands to SageMaker, and the model registry.

    The roles of the endpoints live here too: their stacks need them before they exist, and must not
    be able to change them.
    """

    inference_roles: Mapping[str, iam.IRole]
    """What SageMaker acts with to serve, by the short name of the endpoint."""

    execution_role: iam.IRole
    """What SageMaker acts with for a training job."""

    state_machine: sfn.IStateMachine
    """The workflow that a job request starts."""

    def __init__(
        self,
        scope: Construct,
        *,
        config: Environment,
        key: kms.IKey,
        data: s3.IBucket,
        models: s3.IBucket,
        topic: sns.ITopic,
        network: NetworkStack,
        aws_images: Sequence[str],
        functions: Path,
        architecture: lambda_.Architecture,
    ) -> None:
        super().__init__(scope, "training", config=config)
        groups = {name: config.resource_name(name) for name in config.training.model_package_groups}
        ModelRegistry(
            self,
            "Registry",
            groups=groups,
            removal_policy=(
                RemovalPolicy.RETAIN if config.storage.retain else RemovalPolicy.DESTROY
            ),
        )
        own = self.format_arn(
            service="ecr", resource="repository", resource_name=f"{PREFIX}-{config.name}/*"
        )
        repositories = [own, *(self._repository(image) for image in aws_images)]
        role = TrainingRole(
            self,
            "Execution",
            data=data,
            models=models,
            key=key,
            repositories=repositories,
            placement=network.training,
        ).role
        workflow = TrainingWorkflow(
            self,
            "Workflow",
            environment_name=config.name,
            code_path=functions,
            architecture=architecture,
            data_bucket=data,
            models_bucket=models,
            key=key,
            execution_role=role,
            topic=topic,
            placement=network.training,
            repositories=repositories,
            model_package_groups=groups,
            endpoints={
                name: "" if endpoint.model else config.stack_name(f"endpoint-{name}")
                for name, endpoint in config.endpoints.items()
            },
            defaults=JobDefaults(
                instance_types=tuple(config.training.instance_types),
                other_instance_types=tuple(config.training.other_instance_types),
                require_isolation=config.training.require_isolation,
                volume_gb=config.training.volume_gb,
                max_runtime_seconds=config.training.max_runtime_seconds,
            ),
            log_retention=RETENTION[config.governance.log_retention_days],
            retain=config.storage.retain,
        )
        self.execution_role, self.state_machine = role, workflow.state_machine
        self.publish(
            "StateMachineArn",
            "training/state-machine-arn",
            workflow.state_machine.state_machine_arn,
        )
        self.publish("JobTable", "training/job-table", workflow.table.table_name)
        self.publish("ExecutionRoleArn", "training/execution-role-arn", role.role_arn)
        deploy_role = iam.Role.from_role_name(
            self, "BootstrapDeploy", f"cdk-hnb659fds-deploy-role-{self.account}-{self.region}"
        )
        self.inference_roles = {
            name: InferenceRole(
                self,
                f"{name}Inference",
                endpoint_name=config.resource_name(name),
                stack_name=config.stack_name(f"endpoint-{name}"),
                data=data,
                models=models,
                key=key,
                repositories=repositories,
                placement=network.serving,
            ).role
            for name in config.endpoints
        }
        for name, inference_role in self.inference_roles.items():
            stack_name = config.stack_name(f"endpoint-{name}")
            EndpointStackRole(
                self,
                f"{name}Stack",
                role_name=config.endpoint_role_name(name),
                endpoint_name=config.resource_name(name),
                stack_name=stack_name,
                upstream_stacks=[
                    config.stack_name(part)
                    for part in ("storage", "network", "governance", "training")
                ],
                model_package_groups=list(groups.values()),
                inference_role=inference_role,
                key=key,
                instance_type=config.endpoints[name].instance_type,
                placement=network.serving,
            ).let_deploy(deploy_role)
            self.publish(f"{name}StackName", f"endpoints/{name}/stack-name", stack_name)

    def _repository(self, image: str) -> str:
        """ARN of the ECR repository that an image's URI names."""
        found = re.match(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.[^/]+/([^:@]+)", image)
        if not found:
            raise ValueError(f"{image!r} is no image in ECR")
        account, region, repository = found.groups()
        return self.format_arn(
            service="ecr",
            account=account,
            region=region,
            resource="repository",
            resource_name=repository,
        )
