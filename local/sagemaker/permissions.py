"""What a caller must be allowed for each operation, as AWS's service authorization lists it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.sagemaker import request_keys
from local.sagemaker.arns import Arns

PASSED_TO = "sagemaker.amazonaws.com"


@dataclass(frozen=True)
class Permission:
    """One action on one resource, with the condition keys of the request."""

    action: str
    resource: str
    context: Mapping[str, Any] = field(default_factory=dict)


# Operation -> the parameter that names the resource, and the resource's kind.
_NAMED = {
    "TrainingJob": ("training-job", "TrainingJobName"),
    "Model": ("model", "ModelName"),
    "EndpointConfig": ("endpoint-config", "EndpointConfigName"),
    "Endpoint": ("endpoint", "EndpointName"),
    "ModelPackageGroup": ("model-package-group", "ModelPackageGroupName"),
    "NotebookInstance": ("notebook-instance", "NotebookInstanceName"),
    "NotebookInstanceLifecycleConfig": (
        "notebook-instance-lifecycle-config",
        "NotebookInstanceLifecycleConfigName",
    ),
    "CodeRepository": ("code-repository", "CodeRepositoryName"),
}
_OPERATIONS = {
    **{
        f"{verb}{noun}": kind_and_name
        for noun, kind_and_name in _NAMED.items()
        for verb in ("Create", "Describe", "Update", "Delete", "Start", "Stop")
    },
    "CreatePresignedNotebookInstanceUrl": _NAMED["NotebookInstance"],
    "UpdateEndpointWeightsAndCapacities": _NAMED["Endpoint"],
    "InvokeEndpoint": _NAMED["Endpoint"],
    "InvokeEndpointAsync": _NAMED["Endpoint"],
    "InvokeEndpointWithResponseStream": _NAMED["Endpoint"],
    "DescribeModelPackage": ("model-package", "ModelPackageName"),
    "DeleteModelPackage": ("model-package", "ModelPackageName"),
    "UpdateModelPackage": ("model-package", "ModelPackageArn"),
}
_ROLES = ("RoleArn", "ExecutionRoleArn")
_STREAMED = "InvokeEndpointWithResponseStream"


def required(
    arns: Arns,
    operation: str,
    params: Mapping[str, Any],
    next_version: Callable[[str], int],
    tags_of: Callable[[str], Mapping[str, str]],
) -> list[Permission]:
    """The permissions that AWS would ask of the caller of `operation`.

    Args:
        arns: Account and region.
        operation: Its name; empty gives none.
        params: Anything that a caller sent: it is not validated yet.
        next_version: The version that a model package group would give next.
        tags_of: The tags of a resource by its ARN; none where there is no such resource.
    """
    if not operation:
        return []
    action = "sagemaker:" + ("InvokeEndpoint" if operation == _STREAMED else operation)
    context = request_keys.of_request(arns, operation, params)
    needed = [
        Permission(action, resource, {**context, **request_keys.of_resource(tags_of(resource))})
        for resource in _resources(arns, operation, params, next_version)
    ]
    if operation.startswith("Create") and isinstance(params.get("Tags"), list) and params["Tags"]:
        tags = request_keys.of_tags(params["Tags"])
        # Its presence is what tells tags of a creation from those of AddTags itself.
        tags["sagemaker:TaggingAction"] = operation
        needed.append(Permission("sagemaker:AddTags", needed[0].resource, tags))
    if operation == "CreateNotebookInstance":
        needed += _of_a_notebook(arns, params)
    needed += [
        Permission("iam:PassRole", role, {"iam:PassedToService": PASSED_TO})
        for role in (params.get(name) for name in _ROLES)
        if isinstance(role, str) and role
    ]
    return needed


def _of_a_notebook(arns: Arns, params: Mapping[str, Any]) -> Iterable[Permission]:
    """What a notebook instance needs of its caller in the VPC and of the key that it names.

    AWS's list is in the developer guide's "API Permissions" and in the handler permissions of
    AWS::SageMaker::NotebookInstance.
    """
    if _first([params], "SubnetId"):
        made = f"arn:aws:ec2:{arns.region}:{arns.account}:network-interface/*"
        yield Permission("ec2:CreateNetworkInterface", made)
        for kind in ("Vpcs", "Subnets", "SecurityGroups", "NetworkInterfaces"):
            yield Permission(f"ec2:Describe{kind}", "*")
    key = _first([params], "KmsKeyId")
    if key:
        via = {"kms:ViaService": f"sagemaker.{arns.region}.amazonaws.com"}
        yield Permission("kms:DescribeKey", arns.key(key), via)
        yield Permission(
            "kms:CreateGrant", arns.key(key), {**via, "kms:GrantIsForAWSResource": "true"}
        )


def _resources(
    arns: Arns, operation: str, params: Mapping[str, Any], next_version: Callable[[str], int]
) -> list[str]:
    def text(name: str) -> str:
        value = params.get(name)
        return value if isinstance(value, str) else ""

    if operation in ("AddTags", "ListTags", "DeleteTags"):
        return [text("ResourceArn") or "*"]
    if operation in ("CreateModelPackage", "ListModelPackages"):
        group = arns.name("model-package-group", text("ModelPackageGroupName"))
        if group is None:
            return [text("ModelPackageGroupName")]
        if operation == "ListModelPackages":
            return [arns.of("model-package", f"{group}/*" if group else "*")]
        name = f"{group}/{next_version(group)}" if group else text("ModelPackageName")
        return [arns.of("model-package", name)]
    if operation not in _OPERATIONS:
        return ["*"]
    kind, parameter = _OPERATIONS[operation]
    resources = [arns.resource(kind, text(parameter))]
    if operation in ("CreateEndpoint", "UpdateEndpoint"):
        resources.append(arns.of("endpoint-config", text("EndpointConfigName")))
    return resources


def _first(documents: Iterable[object], name: str) -> str:
    for document in documents:
        if isinstance(document, Mapping) and isinstance(document.get(name), str):
            return str(document[name])
    return ""
