"""Which VPC endpoint carries a call, by the IAM action that the call needs."""

from collections.abc import Iterable, Mapping

GATEWAYS = frozenset({"dynamodb", "s3"})
"""Endpoints that are routes: they cost nothing and need no security group."""

# "AWS services that integrate with AWS PrivateLink" in the PrivateLink guide; SageMaker's two are
# in "Connect to SageMaker AI Within your VPC" of its own guide. By the prefix of an IAM action.
_INTERFACES = {
    "cloudwatch": "monitoring",
    "codecommit": "git-codecommit",
    "events": "events",
    "kms": "kms",
    "lambda": "lambda",
    "logs": "logs",
    "sagemaker": "sagemaker.api",
    "servicequotas": "servicequotas",
    "sns": "sns",
    "sqs": "sqs",
    "ssm": "ssm",
    "states": "states",
    "sts": "sts",
}
_RUNTIME = frozenset(
    {
        "sagemaker:InvokeEndpoint",
        "sagemaker:InvokeEndpointAsync",
        "sagemaker:InvokeEndpointWithResponseStream",
    }
)
# Permissions that no call of their own asks for: another call passes a role, or S3 uses a key.
NO_CALLS = frozenset({"iam:PassRole"})


def endpoints_for(actions: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """The endpoints that `actions` need, each with those that it must let through, in order.

    Raises:
        ValueError: For an action of a service whose endpoint is not known here.
    """
    found: dict[str, set[str]] = {}
    for action in actions:
        if action not in NO_CALLS:
            found.setdefault(_endpoint(action), set()).add(action)
    return {name: tuple(sorted(found[name])) for name in sorted(found)}


def _endpoint(action: str) -> str:
    service = action.partition(":")[0]
    if action in _RUNTIME:
        return "sagemaker.runtime"
    if service in GATEWAYS:
        return service
    if service not in _INTERFACES:
        known = ", ".join(sorted({*GATEWAYS, *_INTERFACES}))
        raise ValueError(
            f"no VPC endpoint is known for {action!r}; known are those of {known}. Add the "
            "service's to sagemaker_constructs/vpc_endpoints.py"
        )
    return _INTERFACES[service]
