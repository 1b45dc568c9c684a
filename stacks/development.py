"""Where people write code."""

from collections.abc import Mapping
from pathlib import Path

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from environments.instance_types import Use
from environments.model import Environment
from environments.prices import prices
from sagemaker_constructs.notebook import Notebook
from sagemaker_constructs.notebook_files import NotebookFiles
from sagemaker_constructs.notebook_permissions import NAMESPACE, NotebookPermissions
from sagemaker_constructs.private_network import Placement
from stacks.platform import PlatformStack

LOOK_EVERY_SECONDS = 60


def _prices(config: Environment) -> Mapping[str, object]:
    """Dollars an hour of what the environment may run, for notebooks, or the word unknown."""
    table, training = prices(), config.training
    types = [*training.instance_types, *training.other_instance_types]

    def hour(use: Use, instance_type: str) -> float | str:
        usd = table.instance(use, instance_type, config.region).usd
        # The CDK leaves a null out when it makes text of this.
        return "unknown" if usd is None else float(usd)

    return {
        "as_of": table.read_on.isoformat(),
        "training": {one: hour("training", one) for one in dict.fromkeys(types)},
        "endpoints": {
            name: [one.instance_type, hour("endpoint", one.instance_type)]
            for name, one in config.endpoints.items()
        },
    }


class DevelopmentStack(PlatformStack):
    """The notebook instances of one environment.

    Each acts with a role of its own and has a prefix of its own in the data bucket, where the
    packages of its kernel lie as well.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        config: Environment,
        key: kms.IKey,
        data: s3.IBucket,
        models: s3.IBucket,
        state_machine: sfn.IStateMachine,
        execution_role: iam.IRole,
        placement: Placement,
        files: Path,
    ) -> None:
        super().__init__(scope, "development", config=config)
        groups = {name: config.resource_name(name) for name in config.training.model_package_groups}
        endpoints = {name: config.resource_name(name) for name in config.endpoints}
        may = NotebookPermissions(
            scope=self,
            key=key,
            data=data,
            models=models,
            state_machine_arn=state_machine.state_machine_arn,
            state_machine_name=config.resource_name("training"),
            job_prefix=f"{config.name}-",
            model_package_groups=list(groups.values()),
            endpoint_names=list(endpoints.values()),
        )
        delivered = NotebookFiles(self, "Files", folder=files)
        for short, wanted in config.notebooks.items():
            name, prefix = config.resource_name(short), f"notebooks/{short}/"
            platform: Mapping[str, object] = {
                "environment": config.name,
                "region": config.region,
                "data_bucket": data.bucket_name,
                "data_prefix": prefix,
                "models_bucket": models.bucket_name,
                "key_arn": key.key_arn,
                "state_machine_arn": state_machine.state_machine_arn,
                "execution_role_arn": execution_role.role_arn,
                "job_prefix": f"{config.name}-",
                "model_package_groups": groups,
                "endpoints": endpoints,
                "prices": _prices(config),
            }
            repository = wanted.code_repository
            notebook = Notebook(
                self,
                short,
                name=name,
                instance_type=wanted.instance_type,
                volume_gb=wanted.volume_gb,
                placement=placement,
                key=key,
                permissions=[
                    *may.work(prefix),
                    *may.run(name),
                    *([may.repository(repository)] if repository else []),
                ],
                files=delivered,
                settings={
                    "region": config.region,
                    "namespace": NAMESPACE,
                    "idle_seconds": 60 * wanted.idle_minutes,
                    "interval_seconds": LOOK_EVERY_SECONDS,
                    "packages_bucket": data.bucket_name,
                    "packages_prefix": f"{prefix}packages/",
                    "platform": platform,
                },
                repository=repository,
            )
            self.publish(f"{short}Name", f"notebooks/{short}/name", name)
            self.publish(f"{short}RoleArn", f"notebooks/{short}/role-arn", notebook.role.role_arn)
