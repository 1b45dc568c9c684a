"""Who may deploy the environment."""

from aws_cdk import CfnOutput
from constructs import Construct

from environments.model import Delivery, Environment
from sagemaker_constructs.github import DeployRole, GitHubProvider
from stacks.platform import PlatformStack


class DeliveryStack(PlatformStack):
    """Trust in GitHub Actions, and the role that deployments of the environment begin with."""

    def __init__(self, scope: Construct, *, config: Environment, delivery: Delivery) -> None:
        super().__init__(scope, "delivery", config=config)
        provider = (
            GitHubProvider(self, "GitHub").provider
            if delivery.oidc_provider == "create"
            else GitHubProvider.existing(self, "ExistingGitHub")
        )
        role = DeployRole(
            self,
            "Deploy",
            role_name=config.resource_name("deploy"),
            provider=provider,
            repository=delivery.repository,
            environment=config.name,
        ).role
        self.publish("RoleArn", "delivery/role-arn", role.role_arn)
        CfnOutput(
            self,
            "DeployRoleArn",
            value=role.role_arn,
            description=f"Variable DEPLOY_ROLE_ARN of the GitHub environment {config.name}",
        )
