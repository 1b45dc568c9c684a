"""A SageMaker notebook instance that passes Security Hub by default."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from sagemaker_constructs.network_interfaces import NetworkInterfaces
from sagemaker_constructs.notebook_files import NotebookFiles
from sagemaker_constructs.permission import Permission
from sagemaker_constructs.private_network import Placement
from sagemaker_constructs.spelling import spellings
from sagemaker_constructs.trust import own_account
from sagemaker_constructs.wildcards import acknowledge_wildcards, all_reasons

PLATFORM = "notebook-al2023-v1"
"""What the instances run: operating system and version of JupyterLab."""


class Notebook(Construct):
    """A notebook without internet or root access, on an encrypted volume, with a role of its own.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        name: Name of the instance in SageMaker.
        instance_type: SageMaker instance type, such as `ml.t3.medium`.
        volume_gb: Size of the storage volume.
        placement: Where in a VPC it runs; the first subnet holds it.
        key: Key of the volume.
        permissions: All that may be done from it.
        files: What it gets when it starts.
        settings: What the delivered program is told.
        repository: CodeCommit repository that is cloned into it.
    """

    role: iam.Role
    """What everything in the notebook acts with."""

    name: str
    """Name of the instance in SageMaker."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        instance_type: str,
        volume_gb: int,
        placement: Placement,
        key: kms.IKey,
        permissions: Sequence[Permission],
        files: NotebookFiles,
        settings: Mapping[str, Any],
        repository: str | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.name = name
        interfaces = NetworkInterfaces(self, placement)
        statements = [one for each in (*permissions, files.read()) for one in each.statements]
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=own_account("sagemaker.amazonaws.com", self),
            description=f"Whoever works in the notebook {name} acts with it",
            inline_policies={
                "own": iam.PolicyDocument(statements=[*statements, *interfaces.statements()])
            },
        )
        acknowledge_wildcards(
            self.role,
            all_reasons([*(each.wildcards for each in permissions), interfaces.wildcards()]),
        )
        lifecycle = files.lifecycle(self, "Lifecycle", settings)
        instance = sagemaker.CfnNotebookInstance(
            self,
            "Instance",
            notebook_instance_name=name,
            role_arn=self.role.role_arn,
            instance_type=instance_type,
            volume_size_in_gb=volume_gb,
            kms_key_id=key.key_arn,
            subnet_id=placement.subnet_ids[0],
            security_group_ids=[placement.group.security_group_id],
            direct_internet_access="Disabled",
            root_access="Disabled",
            platform_identifier=PLATFORM,
            instance_metadata_service_configuration=sagemaker.CfnNotebookInstance.InstanceMetadataServiceConfigurationProperty(
                minimum_instance_metadata_service_version="2"
            ),
            lifecycle_config_name=lifecycle.attr_notebook_instance_lifecycle_config_name,
            default_code_repository=(
                self._repository(repository).attr_code_repository_name if repository else None
            ),
        )
        # SageMaker acts with the role while it starts the notebook, so its policy must exist first.
        instance.node.add_dependency(self.role)

    def grant_open(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let `grantee` open this notebook in a browser, and no other."""
        return iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["sagemaker:CreatePresignedNotebookInstanceUrl"],
            resource_arns=[
                Stack.of(self).format_arn(
                    service="sagemaker", resource="notebook-instance", resource_name=spelling
                )
                for spelling in spellings([self.name])
            ],
        )

    def _repository(self, name: str) -> sagemaker.CfnCodeRepository:
        stack = Stack.of(self)
        host = f"git-codecommit.{stack.region}.{stack.url_suffix}"
        return sagemaker.CfnCodeRepository(
            self,
            "Repository",
            git_config=sagemaker.CfnCodeRepository.GitConfigProperty(
                repository_url=f"https://{host}/v1/repos/{name}"
            ),
        )
