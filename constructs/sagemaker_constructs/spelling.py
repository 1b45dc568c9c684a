"""How IAM sees the names of SageMaker's resources."""

from collections.abc import Iterable

from aws_cdk import Token


def spellings(names: Iterable[str]) -> list[str]:
    """Each name as it was given and in lower case, for the ARNs of a policy.

    SageMaker authorized requests on ARNs with names in lower case until April 2023, and has since
    taken the case of the request, in which CloudFormation was seen to use lower case. A policy that
    holds one spelling alone denies the other.
    """
    found = [
        spelling
        for name in names
        for spelling in ((name,) if Token.is_unresolved(name) else (name, name.lower()))
    ]
    return list(dict.fromkeys(found))
