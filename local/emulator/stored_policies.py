"""Policies that are stored with users, roles and resources: what AWS calls malformed is refused.

Identity policies of IAM are checked where ministack's own check stood (`evaluator.problem`); here
are their sizes, trust policies, and the policies of resources, in calls and in templates.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.emulator import request_members
from local.emulator.policies import document
from local.emulator.policies.document import (
    IDENTITY,
    REPOSITORY,
    RESOURCE,
    TRUST,
    Malformed,
    Rules,
)

# Characters without white space: of all inline policies together, or of one managed policy.
_INLINE = {"user": 2_048, "role": 10_240, "group": 5_120}
_MANAGED = 6_144
_TRUST = 2_048
_BUCKET = 20 * 1_024
_KEY = 32 * 1_024


@dataclass(frozen=True)
class Stored:
    """Where a request has a resource's policy, and what the service says of a bad one."""

    code: str
    member: str = ""
    rules: Rules = RESOURCE
    most: int = 0
    message: str = "{}"


_IN_QUEUES = Stored(
    "InvalidAttributeValue", "Attributes", message="Invalid value for the parameter Policy: {}"
)
_IN_TOPICS = Stored("InvalidParameter", "Attributes", message="Invalid parameter: Policy Error: {}")
_IN_KEYS = Stored("MalformedPolicyDocumentException", "Policy", most=_KEY)
# By IAM action.
_OPERATIONS = {
    "s3:PutBucketPolicy": Stored("MalformedPolicy", most=_BUCKET),
    "sqs:SetQueueAttributes": _IN_QUEUES,
    "sqs:CreateQueue": _IN_QUEUES,
    "sns:SetTopicAttributes": _IN_TOPICS,
    "sns:CreateTopic": _IN_TOPICS,
    "kms:CreateKey": _IN_KEYS,
    "kms:PutKeyPolicy": _IN_KEYS,
    "kms:ReplicateKey": _IN_KEYS,
    "ecr:SetRepositoryPolicy": Stored(
        "InvalidParameterException",
        "policyText",
        REPOSITORY,
        message="Invalid parameter at 'PolicyText' failed to satisfy constraint: "
        "'Invalid repository policy provided': {}",
    ),
    "secretsmanager:PutResourcePolicy": Stored(
        "MalformedPolicyDocumentException", "ResourcePolicy", most=_BUCKET
    ),
    "logs:PutResourcePolicy": Stored("InvalidParameterException", "policyDocument", most=5_120),
    "events:PutPermission": Stored("ValidationException", "Policy"),
    "glue:PutResourcePolicy": Stored("InvalidInputException", "PolicyInJson"),
    "lambda:AddPermission": Stored("InvalidParameterValueException"),
    "lambda:AddLayerVersionPermission": Stored("InvalidParameterValueException"),
}
# By type of CloudFormation: the property, and the rules of what it holds.
_PROPERTIES: Mapping[str, tuple[str, Rules, int]] = {
    "AWS::S3::BucketPolicy": ("PolicyDocument", RESOURCE, _BUCKET),
    "AWS::SQS::QueuePolicy": ("PolicyDocument", RESOURCE, 0),
    "AWS::SNS::TopicPolicy": ("PolicyDocument", RESOURCE, 0),
    "AWS::KMS::Key": ("KeyPolicy", RESOURCE, _KEY),
    "AWS::ECR::Repository": ("RepositoryPolicyText", REPOSITORY, 0),
    "AWS::SecretsManager::ResourcePolicy": ("ResourcePolicy", RESOURCE, _BUCKET),
    "AWS::Logs::ResourcePolicy": ("PolicyDocument", RESOURCE, 5_120),
    "AWS::EC2::VPCEndpoint": ("PolicyDocument", RESOURCE, _BUCKET),
    "AWS::IAM::Role": ("AssumeRolePolicyDocument", TRUST, _TRUST),
    "AWS::IAM::ManagedPolicy": ("PolicyDocument", IDENTITY, _MANAGED),
    "AWS::IAM::Policy": ("PolicyDocument", IDENTITY, _INLINE["role"]),
}


def install() -> None:
    """Check trust policies and the sizes of all of IAM's policies."""
    from ministack.services import iam

    iam._trust_policy_not_principal_error = trust_problem
    for kind, name in (("User", "UserName"), ("Role", "RoleName"), ("Group", "GroupName")):
        _limit(f"Put{kind}Policy", functools.partial(_inline_problem, kind.lower(), name))
    for operation in ("CreatePolicy", "CreatePolicyVersion"):
        _limit(operation, _managed_problem)


def _limit(operation: str, problem: Callable[[Any], str]) -> None:
    from ministack.services import iam

    function = "_" + "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")
    handler = getattr(iam, function)

    @functools.wraps(handler)
    def limited(params: Any) -> Any:
        found = problem(params)
        if found:
            return iam._error(400, "MalformedPolicyDocument", found, ns="iam")
        return handler(params)

    # CloudFormation's types call the function, and requests the handler.
    setattr(iam, function, limited)
    iam._IAM_HANDLERS[operation] = limited


def _inline_problem(kind: str, name_parameter: str, params: Any) -> str:
    from ministack.services import iam

    name, policy = iam._p(params, name_parameter), iam._p(params, "PolicyName")
    stores = {"user": iam._user_inline_policies, "group": iam._group_inline_policies}
    others = (
        (iam._roles.get(name) or {}).get("InlinePolicies")
        if kind == "role"
        else stores[kind].get(name)
    ) or {}
    total = document.size(iam._p(params, "PolicyDocument")) + sum(
        document.size(_text(each)) for other, each in others.items() if other != policy
    )
    if total <= _INLINE[kind]:
        return ""
    return f"Maximum policy size of {_INLINE[kind]} bytes exceeded for {kind} {name}"


def _managed_problem(params: Any) -> str:
    from ministack.services import iam

    if document.size(iam._p(params, "PolicyDocument")) <= _MANAGED:
        return ""
    return f"Cannot exceed quota for PolicySize: {_MANAGED}"


def _text(found: Any) -> str:
    return found if isinstance(found, str) else json.dumps(found)


def trust_problem(doc: Any) -> str | None:
    """Why IAM would not take a role's trust policy, or None."""
    try:
        document.check(doc if doc is not None else "", TRUST)
    except Malformed as error:
        return str(error)
    if document.size(_text(doc)) > _TRUST:
        return f"Cannot exceed quota for ACLSizePerRole: {_TRUST}"
    return None


def refusal(iam_action: str, body: bytes, query: Mapping[str, Any]) -> tuple[str, str] | None:
    """The code and the message for a request that would store a malformed policy, or None."""
    stored = _OPERATIONS.get(iam_action)
    if stored is None:
        return None
    try:
        for found in _policies(iam_action, stored, body, query):
            document.check(found, stored.rules, most=stored.most, resource="the resource")
    except Malformed as error:
        return stored.code, stored.message.format(error)
    return None


def _policies(
    iam_action: str, stored: Stored, body: bytes, query: Mapping[str, Any]
) -> Iterator[Any]:
    if iam_action == "s3:PutBucketPolicy":
        yield body.decode("utf-8", "replace")
        return
    if iam_action.startswith("lambda:"):
        yield _permission(body)
        return
    found = request_members.value(stored.member, body, query)
    if stored.member == "Attributes":
        found = _attribute(found, body, query)
    if isinstance(found, str | dict) and found:
        yield found


def _attribute(attributes: Any, body: bytes, query: Mapping[str, Any]) -> Any:
    """The attribute Policy of a queue or a topic, in the forms of both protocols."""
    if isinstance(attributes, dict):
        return attributes.get("Policy")
    if request_members.value("AttributeName", body, query) == "Policy":
        return request_members.value("AttributeValue", body, query)
    given = {**request_members.form(body), **query}
    for name, value in given.items():
        text = value[0] if isinstance(value, list) and value else value
        if text == "Policy" and name.lower().endswith((".key", ".name")):
            stem = name.rpartition(".")[0]
            found = given.get(f"{stem}.value") or given.get(f"{stem}.Value")
            return found[0] if isinstance(found, list) and found else found
    return None


def _permission(body: bytes) -> dict[str, Any]:
    """The statement that AddPermission would add, as a document of its own."""
    given = request_members.document(body)
    given = given if isinstance(given, dict) else {}
    principal = str(given.get("Principal", ""))
    service = "." in principal and not principal.startswith("arn:")
    return {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service" if service else "AWS": principal},
            "Action": given.get("Action", "lambda:InvokeFunction"),
            "Resource": "*",
        },
    }


def check_template(resource_type: str, props: Mapping[str, Any]) -> None:
    """Refuse a resource of a template whose policies are malformed.

    Raises:
        ValueError: with the reason, which becomes the resource's.
    """
    found = _PROPERTIES.get(resource_type)
    try:
        if found is not None and props.get(found[0]):
            name, rules, most = found
            document.check(props[name], rules, most=most, resource=resource_type)
        _check_inline(resource_type, props.get("Policies"))
    except Malformed as error:
        service = resource_type.split("::")[1]
        raise ValueError(
            f"{error} (Service: {service}; Status Code: 400; Error Code: MalformedPolicyDocument)"
        ) from error


def _check_inline(resource_type: str, policies: Any) -> None:
    kind = resource_type.removeprefix("AWS::IAM::").lower()
    if kind not in _INLINE or not isinstance(policies, list):
        return
    documents = [policy.get("PolicyDocument") for policy in policies if isinstance(policy, dict)]
    for each in documents:
        document.check(each if each is not None else "", IDENTITY)
    if sum(document.size(_text(each)) for each in documents) > _INLINE[kind]:
        raise Malformed(f"Maximum policy size of {_INLINE[kind]} bytes exceeded for {kind}")
