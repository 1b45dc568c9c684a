"""What GitHub Actions may do in the account."""

from aws_cdk import DefaultStackSynthesizer, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"

# What `cdk deploy` assumes. Bootstrap's execution role is CloudFormation's alone, there are no
# images to publish, and its lookup role may read the whole account: a synthesis asks nothing.
BOOTSTRAP_ROLES = ("deploy", "file-publishing")


class GitHubProvider(Construct):
    """GitHub Actions as an identity provider of the account, which can have one of it.

    It stays when its stack goes, since roles of other stacks and projects may trust it by then.
    """

    provider: iam.IOidcProvider
    """The provider itself."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        self.provider = iam.OidcProviderNative(
            self,
            "Provider",
            url=f"https://{ISSUER}",
            client_ids=[AUDIENCE],
            removal_policy=RemovalPolicy.RETAIN,
        )

    @staticmethod
    def existing(scope: Construct, id: str) -> iam.IOidcProvider:
        """The provider that the account has already."""
        arn = Stack.of(scope).format_arn(
            service="iam", region="", resource="oidc-provider", resource_name=ISSUER
        )
        return iam.OidcProviderNative.from_oidc_provider_arn(scope, id, arn)


class DeployRole(Construct):
    """The role that a workflow deploys with: it may act as the roles of `cdk bootstrap`, no more.

    Only jobs of one GitHub environment of one repository get it, so that the reviewers and branches
    of that environment are what stands before a deployment.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        role_name: Name of the role, by which people know it in the logs of the account.
        provider: GitHub Actions as an identity provider.
        repository: Repository as the `sub` of GitHub's tokens has it.
        environment: Name of the GitHub environment.
    """

    role: iam.Role
    """The role itself."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        role_name: str,
        provider: iam.IOidcProvider,
        repository: str,
        environment: str,
    ) -> None:
        super().__init__(scope, id)
        self.role = iam.Role(
            self,
            "Role",
            role_name=role_name,
            assumed_by=iam.WebIdentityPrincipal(
                provider.oidc_provider_arn,
                conditions={
                    "StringEquals": {
                        f"{ISSUER}:aud": AUDIENCE,
                        f"{ISSUER}:sub": f"repo:{repository}:environment:{environment}",
                    }
                },
            ),
            description=f"GitHub Actions deploys {environment} with it",
            inline_policies={
                "deploy": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="ActAsBootstrap",
                            actions=["sts:AssumeRole"],
                            resources=[self._bootstrap_role(kind) for kind in BOOTSTRAP_ROLES],
                        )
                    ]
                )
            },
        )

    def _bootstrap_role(self, kind: str) -> str:
        stack = Stack.of(self)
        qualifier = DefaultStackSynthesizer.DEFAULT_QUALIFIER
        return stack.format_arn(
            service="iam",
            region="",
            resource="role",
            resource_name=f"cdk-{qualifier}-{kind}-role-{stack.account}-{stack.region}",
        )
