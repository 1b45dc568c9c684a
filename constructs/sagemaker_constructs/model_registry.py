"""The versions of each model."""

from collections.abc import Mapping

from aws_cdk import RemovalPolicy
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct


class ModelRegistry(Construct):
    """Model package groups: one a model, holding its versions.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        groups: Name of each group in SageMaker, by the short name that requests use.
        removal_policy: Whether a group stays when its stack goes; only empty ones can go.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        groups: Mapping[str, str],
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        for short, name in groups.items():
            group = sagemaker.CfnModelPackageGroup(
                self,
                short,
                model_package_group_name=name,
                model_package_group_description=f"Versions of {short}",
            )
            group.apply_removal_policy(removal_policy)
