"""iam:PassRole, of whoever hands a role to a service.

AWS asks for it in every operation that takes a role, with the service in iam:PassedToService.
Which members of a request are roles is read from botocore's models, so an operation that nobody
has listed is asked, too; of an operation that they do not have, every role counts.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]*:role/.+", re.DOTALL)
_PROFILE = re.compile(r"(^|\.)IamInstanceProfile(\.(Arn|Name))?$")
_READS = re.compile(r"(BatchGet|Describe|Get|List|Search|Lookup|Head|Query|Scan)[A-Z].*")
# Members that hold a role, by the words of AWS's models, whatever is in them: a name will do.
_NAMES_ROLE = re.compile(
    r"role|credentials(arn)?|service_?access|instance_?profile|callerarn", re.IGNORECASE
)
_NAMES_OTHER = re.compile(
    r"rolename|.*principal.*|.*resource_?arn.*|(parameter|string)?value|.*policyarn|sourcearn",
    re.IGNORECASE,
)
# Services that keep roles, or are asked about them by their own handlers.
_EXEMPT = ("iam", "sts", "sagemaker", "runtime.sagemaker", "servicequotas", "cloudformation")
# Roles are values of maps there, or of patches whose path names what they are.
_ANYWHERE = ("sns", "cognito-identity", "apigateway")

# Names of ministack's, where botocore has others.
MODELS = {
    "states": ("stepfunctions",),
    "elasticmapreduce": ("emr",),
    "elasticloadbalancing": ("elbv2", "elb"),
    "monitoring": ("cloudwatch",),
    "tagging": ("resourcegroupstaggingapi",),
}
# The principal of a service whose name is not that of its principal.
_PRINCIPALS = {
    "monitoring": "cloudwatch",
    "opensearch": "opensearchservice",
    "stepfunctions": "states",
    "emr": "elasticmapreduce",
}
# A member whose role another service takes; a name alone is for all services.
_BY_MEMBER = {
    ("ecs", "taskRoleArn"): "ecs-tasks",
    ("ecs", "executionRoleArn"): "ecs-tasks",
    ("batch", "jobRoleArn"): "ecs-tasks",
    ("batch", "executionRoleArn"): "ecs-tasks",
    ("batch", "instanceRole"): "ec2",
    ("batch", "spotIamFleetRole"): "spotfleet",
    ("rds", "monitoringRoleArn"): "monitoring.rds",
    ("eks", "nodeRole"): "ec2",
    ("elasticmapreduce", "jobFlowRole"): "ec2",
    ("elasticmapreduce", "autoScalingRole"): "application-autoscaling",
    ("ec2", "deliverLogsPermissionArn"): "vpc-flow-logs",
    ("s3", "role"): "s3",
}


@dataclass(frozen=True)
class PassedRole:
    """A role that a request hands to a service."""

    arn: str
    service: str

    @property
    def context(self) -> dict[str, Any]:
        """The condition keys of iam:PassRole."""
        return {"iam:PassedToService": self.service}


def passed(service: str, operation: str, pairs: Iterable[tuple[str, str]]) -> list[PassedRole]:
    """The roles that one request passes.

    Args:
        service: as ministack names it.
        operation: of that service; empty when it is not known.
        pairs: the texts of the request, each with the name of its member.
    """
    if service in _EXEMPT or _READS.fullmatch(operation):
        return []
    candidates = [pair for pair in pairs if _is_candidate(*pair)]
    if not candidates:
        return []
    names = members(service).get(operation)
    found = {
        PassedRole(arn, _principal(service, name))
        for name, value in candidates
        if names is None or service in _ANYWHERE or name in names
        for arn in _arns(value)
    }
    return sorted(found, key=lambda role: role.arn)


def of_properties(service: str, pairs: Iterable[tuple[str, str]]) -> list[PassedRole]:
    """The roles that a resource of a template passes; `pairs` are the texts of its properties."""
    if service in _EXEMPT:
        return []
    return [
        PassedRole(arn, _principal(service, name))
        for name, value in pairs
        if _is_candidate(name, value) and _NAMES_ROLE.search(name)
        for arn in _arns(value)
    ]


def profiles(pairs: Iterable[tuple[str, Any]]) -> list[PassedRole]:
    """The roles of the instance profiles that parameters of EC2 name, by their whole names."""
    from ministack.services import iam

    found: list[PassedRole] = []
    for name, value in pairs:
        text = str(value[0] if isinstance(value, list) and value else value)
        if not _PROFILE.search(name) or not text:
            continue
        profile = iam._instance_profiles.get(text.rpartition("/")[2]) or {}
        for role in profile.get("Roles", []):
            found += [PassedRole(arn, "ec2.amazonaws.com") for arn in _arns(role)]
    return found


def by_ec2(role_name: str) -> list[PassedRole]:
    """The role that is put into an instance profile, and so passed to EC2."""
    return [PassedRole(arn, "ec2.amazonaws.com") for arn in _arns(role_name)]


def _is_candidate(name: str, value: str) -> bool:
    if _NAMES_OTHER.fullmatch(name):
        return False
    return bool(_ROLE_ARN.fullmatch(value) or (value and _NAMES_ROLE.search(name)))


def _arns(value: str) -> list[str]:
    """The role that a value names, and the one that a service would find by its last part."""
    from ministack.services import iam

    role = iam._roles.get(value.rpartition("/")[2])
    stored = str((role or {}).get("Arn") or "")
    if _ROLE_ARN.fullmatch(value):
        return [value, stored] if stored and stored != value else [value]
    return [stored] if stored and "/" not in value else []


def _principal(service: str, member: str) -> str:
    key = service, member[:1].lower() + member[1:]
    name = _BY_MEMBER.get(key) or _PRINCIPALS.get(service, service)
    return f"{name}.amazonaws.com"


def model_names(service: str) -> tuple[str, ...]:
    """What botocore calls a service of ministack's."""
    from ministack.core import iam_actions

    return MODELS.get(service) or (*(iam_actions._BOTOCORE_SERVICE_MAP.get(service) or [service]),)


@functools.cache
def members(service: str) -> Mapping[str, frozenset[str]]:
    """The members of each operation's input that may hold a role, by their names on the wire."""
    from ministack.core import iam_actions

    found: dict[str, frozenset[str]] = {}
    for name in model_names(service):
        model = iam_actions._load_botocore_model(name)
        shapes: Mapping[str, Any] = model.get("shapes", {})
        for operation, definition in model.get("operations", {}).items():
            shape = definition.get("input", {}).get("shape")
            found[operation] = frozenset(_texts(shapes, shape)) if shape else frozenset()
    return found


def _texts(shapes: Mapping[str, Any], root: str) -> Iterator[str]:
    """The names of the texts in a shape that can be roles, at any depth."""
    waiting, seen = [("", root)], set()
    while waiting:
        name, shape_name = waiting.pop()
        if (name, shape_name) in seen:
            continue
        seen.add((name, shape_name))
        shape = shapes.get(shape_name, {})
        kind = shape.get("type")
        if kind == "structure":
            for member, target in shape.get("members", {}).items():
                waiting.append((target.get("locationName", member), target["shape"]))
                if "locationName" in target or "queryName" in target:
                    waiting.append((member, target["shape"]))
                    waiting.append((target.get("queryName", member), target["shape"]))
        elif kind == "list":
            waiting.append((name, shape["member"]["shape"]))
        elif kind == "map":
            waiting.append((name, shape["value"]["shape"]))
        elif kind == "string" and re.search("role|arn|credential|profile|access", name, re.I):
            yield name
