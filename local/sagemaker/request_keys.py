"""The condition keys of requests, as AWS's Service Authorization Reference lists them by action.

An action has the keys of its own entry and no other: a policy that compares another key finds it
absent, as on AWS. A key whose member the request leaves out is absent, too.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local.sagemaker.arns import Arns

Params = Mapping[str, Any]
Keys = Mapping[str, object]


def of_request(arns: Arns, operation: str, params: Params) -> dict[str, Any]:
    """The keys that `operation` has, from parameters that are not validated yet."""
    context: dict[str, Any] = {}
    if operation.startswith("Create") or operation == "AddTags":
        context |= of_tags(params.get("Tags"))
    if operation == "DeleteTags":
        keys = _texts(params.get("TagKeys"))
        context |= {"aws:TagKeys": keys} if keys else {}
    found = _KEYS.get(operation)
    if found:
        given = {key: _text(value) for key, value in found(arns, params).items()}
        context |= {f"sagemaker:{key}": value for key, value in given.items() if value}
    return context


def of_tags(tags: object) -> dict[str, Any]:
    """`aws:RequestTag/KEY` for each tag of a request, and `aws:TagKeys`.

    Keys that differ in case alone are one condition key, which then has every value.
    """
    listed = tags if isinstance(tags, list) else []
    pairs = [tag for tag in listed if isinstance(tag, Mapping) and isinstance(tag.get("Key"), str)]
    if not pairs:
        return {}
    found = _by_key("aws:RequestTag", ((tag["Key"], str(tag.get("Value", ""))) for tag in pairs))
    return {**found, "aws:TagKeys": [tag["Key"] for tag in pairs]}


def of_resource(tags: Mapping[str, str]) -> dict[str, Any]:
    """The tags that a resource has by now, under both names that SageMaker gives them."""
    return {
        **_by_key("aws:ResourceTag", tags.items()),
        **_by_key("sagemaker:ResourceTag", tags.items()),
    }


def _by_key(prefix: str, tags: Iterable[tuple[str, str]]) -> dict[str, Any]:
    values: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for key, value in tags:
        name = names.setdefault(key.lower(), f"{prefix}/{key}")
        values.setdefault(name, []).append(value)
    return {name: given[0] if len(given) == 1 else given for name, given in values.items()}


def _training_job(arns: Arns, params: Params) -> Keys:
    resources = _section(params, "ResourceConfig")
    groups = _all(_list(resources, "InstanceGroups"), "InstanceType")
    return {
        "InstanceTypes": [*_all([resources], "InstanceType"), *groups],
        "VolumeKmsKeyArn": _key(arns, resources.get("VolumeKmsKeyId")),
        "OutputKmsKeyArn": _key(arns, _section(params, "OutputDataConfig").get("KmsKeyId")),
        "KeepAlivePeriod": resources.get("KeepAlivePeriodInSeconds"),
        "MaxRuntimeInSeconds": _section(params, "StoppingCondition").get("MaxRuntimeInSeconds"),
        "InterContainerTrafficEncryption": params.get("EnableInterContainerTrafficEncryption"),
        "NetworkIsolation": params.get("EnableNetworkIsolation"),
        "EnableRemoteDebug": _section(params, "RemoteDebugConfig").get("EnableRemoteDebug"),
        **_file_system(params),
        **_vpc(params),
    }


def _file_system(params: Params) -> Keys:
    sources = [_section(one, "DataSource") for one in _list(params, "InputDataConfig")]
    systems = [_section(one, "FileSystemDataSource") for one in sources]
    return {
        "FileSystemId": _one(_all(systems, "FileSystemId")),
        "FileSystemType": _one(_all(systems, "FileSystemType")),
        "FileSystemAccessMode": _one(_all(systems, "FileSystemAccessMode")),
        "FileSystemDirectoryPath": _one(_all(systems, "DirectoryPath")),
    }


def _model(arns: Arns, params: Params) -> Keys:
    return {"NetworkIsolation": params.get("EnableNetworkIsolation"), **_vpc(params)}


def _endpoint_config(arns: Arns, params: Params) -> Keys:
    variants = [*_list(params, "ProductionVariants"), *_list(params, "ShadowProductionVariants")]
    serverless = [_section(one, "ServerlessConfig") for one in variants]
    return {
        "AcceleratorTypes": _all(variants, "AcceleratorType"),
        "InstanceTypes": _all(variants, "InstanceType"),
        "ModelArn": _one([arns.of("model", name) for name in _all(variants, "ModelName")]),
        "NetworkIsolation": params.get("EnableNetworkIsolation"),
        "ServerlessMaxConcurrency": _one([one.get("MaxConcurrency") for one in serverless]),
        "ServerlessMemorySize": _one([one.get("MemorySizeInMB") for one in serverless]),
        "VolumeKmsKeyArn": _key(arns, params.get("KmsKeyId")),
        **_vpc(params),
    }


def _updated_notebook(arns: Arns, params: Params) -> Keys:
    metadata = _section(params, "InstanceMetadataServiceConfiguration")
    version = "MinimumInstanceMetadataServiceVersion"
    scripts = _all([params], "LifecycleConfigName")
    return {
        "AcceleratorTypes": params.get("AcceleratorTypes"),
        "InstanceTypes": _all([params], "InstanceType"),
        version: metadata.get(version),
        "NotebookInstanceLifecycleConfigArns": [
            arns.of("notebook-instance-lifecycle-config", name) for name in scripts
        ],
        "RootAccess": params.get("RootAccess"),
    }


def _notebook(arns: Arns, params: Params) -> Keys:
    return {
        **_updated_notebook(arns, params),
        "DirectInternetAccess": params.get("DirectInternetAccess"),
        "VolumeKmsKeyArn": _key(arns, params.get("KmsKeyId")),
        "VpcSubnets": _all([params], "SubnetId"),
        "VpcSecurityGroupIds": params.get("SecurityGroupIds"),
    }


def _package(arns: Arns, params: Params) -> Keys:
    properties = _section(params, "CustomerMetadataProperties")
    cycle = _section(params, "ModelLifeCycle")
    return {
        "ModelApprovalStatus": params.get("ModelApprovalStatus"),
        "ModelLifeCycle:Stage": cycle.get("Stage"),
        "ModelLifeCycle:StageStatus": cycle.get("StageStatus"),
        "CustomerMetadataPropertiesToRemove": params.get("CustomerMetadataPropertiesToRemove"),
        **{f"CustomerMetadataProperties/{name}": value for name, value in properties.items()},
    }


def _search(arns: Arns, params: Params) -> Keys:
    conditions = [one for one in _list(params, "VisibilityConditions") if isinstance(one, Mapping)]
    return {f"SearchVisibilityCondition/{one.get('Key')}": one.get("Value") for one in conditions}


def _invocation(arns: Arns, params: Params) -> Keys:
    return {"TargetModel": params.get("TargetModel")}


_KEYS: Mapping[str, Callable[[Arns, Params], Keys]] = {
    "CreateTrainingJob": _training_job,
    "CreateModel": _model,
    "CreateEndpointConfig": _endpoint_config,
    "CreateNotebookInstance": _notebook,
    "UpdateNotebookInstance": _updated_notebook,
    "CreateModelPackage": _package,
    "UpdateModelPackage": _package,
    "Search": _search,
    "InvokeEndpoint": _invocation,
    "InvokeEndpointWithResponseStream": _invocation,
}


def _vpc(params: Params) -> Keys:
    config = _section(params, "VpcConfig")
    return {
        "VpcSubnets": config.get("Subnets"),
        "VpcSecurityGroupIds": config.get("SecurityGroupIds"),
    }


def _key(arns: Arns, name: object) -> str:
    return arns.key(name) if isinstance(name, str) and name else ""


def _one(values: list[Any]) -> object:
    """What a key of one value has: the value that all parts of the request share."""
    given = list(dict.fromkeys(str(value) for value in values if value is not None))
    return given[0] if len(given) == 1 else given


def _section(params: object, name: str) -> Params:
    value = params.get(name) if isinstance(params, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _list(params: Params, name: str) -> list[Any]:
    value = params.get(name)
    return value if isinstance(value, list) else []


def _all(documents: Iterable[object], name: str) -> list[str]:
    """What each document has under `name`, without repeats."""
    found = [one.get(name) for one in documents if isinstance(one, Mapping)]
    return list(dict.fromkeys(one for one in found if isinstance(one, str) and one))


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _text(value: object) -> str | list[str]:
    """A value as policies compare it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return _texts(value)
    return str(value) if isinstance(value, str | int | float) else ""
