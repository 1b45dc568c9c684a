"""What the policies of a template let somebody create, change, tag, delete or hand on."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Verbs of actions that change nothing.
_READING = ("Batch", "Describe", "Decrypt", "Filter", "Get", "List", "Query")
# Wildcards of a whole kind, without a part of a name: `*`, `...:model/*`, `...:alarm:*`.
_WHOLE_KIND = re.compile(r"\*|(?:[^:]*:){5}[a-z-]+[/:]\*")
# Operators that a request satisfies by leaving the key out.
_SATISFIED_WITHOUT = re.compile(r"ForAllValues:.*|.*IfExists|Null")

UNBOUNDED = {
    "ec2:CreateNetworkInterface": "the statement's subnets and security group bound it",
    "logs:CreateLogDelivery": "takes no resource; what delivers is the one state machine's role",
    "logs:DeleteLogDelivery": "takes no resource",
    "logs:PutResourcePolicy": "takes no resource",
    "logs:UpdateLogDelivery": "takes no resource",
    "states:SendTaskFailure": "takes no resource: the token is known to the job table alone",
    "states:SendTaskHeartbeat": "takes no resource: the token is known to the job table alone",
    "states:SendTaskSuccess": "takes no resource: the token is known to the job table alone",
    "xray:PutTelemetryRecords": "takes no resource",
    "xray:PutTraceSegments": "takes no resource",
}
"""Actions that are allowed on everything, and why nothing else is possible or needed."""

SAYS = {
    "sagemaker:CreateTrainingJob": {
        "sagemaker:InstanceTypes",
        "sagemaker:InterContainerTrafficEncryption",
        "sagemaker:NetworkIsolation",
        "sagemaker:OutputKmsKeyArn",
        "sagemaker:VolumeKmsKeyArn",
    },
    "sagemaker:CreateModel": {"sagemaker:NetworkIsolation"},
    "sagemaker:CreateEndpointConfig": {"sagemaker:InstanceTypes", "sagemaker:VolumeKmsKeyArn"},
}
"""What the condition of a creation must speak of."""

IN_A_VPC = {"sagemaker:CreateTrainingJob", "sagemaker:CreateModel"}
_NETWORK = {"sagemaker:VpcSubnets", "sagemaker:VpcSecurityGroupIds"}


def statements(template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of a policy of a role, with the logical id of what has it."""
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::IAM::Role":
            documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        elif resource["Type"] in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
            documents = [properties["PolicyDocument"]]
        else:
            continue
        for document in documents:
            yield from ((name, statement) for statement in document["Statement"])


def findings(template: Mapping[str, Any], *, private: bool = False) -> list[str]:
    """Grants by which somebody could use what is another's; none is what is wanted."""
    found = []
    for name, statement in statements(template):
        if statement["Effect"] != "Allow":
            continue
        where, condition = f"{name}.{statement.get('Sid')}", statement.get("Condition", {})
        resources = [_text(one) for one in _list(statement["Resource"])]
        for action in _list(statement["Action"]):
            verb = action.partition(":")[2]
            if verb.startswith(_READING):
                continue
            whole = [one for one in resources if _WHOLE_KIND.fullmatch(one)]
            if whole and action not in UNBOUNDED and not _demanded(condition):
                found.append(f"{where}: {action} on all of {whole} without a condition")
            if action == "iam:PassRole" and (
                any("*" in one for one in resources)
                or "iam:PassedToService" not in condition.get("StringEquals", {})
            ):
                found.append(f"{where}: hands on {resources} to anybody")
            wanted = SAYS.get(action, set()) | (
                _NETWORK if private and action in IN_A_VPC else set()
            )
            missing = wanted - {key for keys in condition.values() for key in keys}
            if missing:
                found.append(f"{where}: {action} without {sorted(missing)}")
    return found


def _demanded(condition: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The condition keys that a request must have, with one of the wanted values."""
    return {
        key
        for operator, keys in condition.items()
        if not _SATISFIED_WITHOUT.fullmatch(operator)
        for key in keys
    }


def _text(value: Any) -> str:
    """A resource of a template as text, with a sign in place of each reference."""
    if isinstance(value, dict) and "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(_text(part) for part in parts)
    return value if isinstance(value, str) else "<reference>"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
