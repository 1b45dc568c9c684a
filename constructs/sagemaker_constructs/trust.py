"""Who may act with a role."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct


def own_account(service: str, scope: Construct) -> iam.IPrincipal:
    """A service while it works for the account of `scope`, and for no other one.

    Without the condition somebody else's account could name the role, and the service, which acts
    for both, would be their deputy. Lambda and CloudFormation send no account to compare.
    """
    return iam.ServicePrincipal(
        service, conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}}
    )
