"""The CloudFormation types of SageMaker, on the SageMaker service itself."""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from local.emulator import cloudformation_recovery, identity
from local.emulator.environment import ACCOUNT, REGION
from local.sagemaker.validation import service_model

# What a change of replaces the resource, by AWS's schemas; all else is updated in place.
REPLACING = {
    "AWS::SageMaker::Model": (
        "Containers",
        "EnableNetworkIsolation",
        "ExecutionRoleArn",
        "InferenceExecutionConfig",
        "ModelName",
        "PrimaryContainer",
        "VpcConfig",
    ),
    "AWS::SageMaker::EndpointConfig": (
        "AsyncInferenceConfig",
        "DataCaptureConfig",
        "EnableNetworkIsolation",
        "EndpointConfigName",
        "ExecutionRoleArn",
        "ExplainerConfig",
        "KmsKeyId",
        "ProductionVariants",
        "ShadowProductionVariants",
        "VpcConfig",
    ),
    "AWS::SageMaker::Endpoint": ("EndpointName",),
    "AWS::SageMaker::ModelPackageGroup": ("ModelPackageGroupName", "ModelPackageGroupDescription"),
}
ARN_KINDS = {
    "Model": "model",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "ModelPackageGroup": "model-package-group",
    "NotebookInstance": "notebook-instance",
    "NotebookInstanceLifecycleConfig": "notebook-instance-lifecycle-config",
    "CodeRepository": "code-repository",
}
_UPDATE_ONLY = (
    "ExcludeRetainedVariantProperties",
    "RetainAllVariantProperties",
    "RetainDeploymentConfig",
)
# How the operations say that there is no resource of a name.
_MISSING = ("could not find", "cannot find", "does not exist", "recordnotfound")
_FAILED = ("Failed", "OutOfService", "UpdateRollbackFailed")
_POLL_SECONDS = 0.1
_WAIT_SECONDS = 3600.0


def install(service: Any, acting_key: Callable[[], str]) -> None:
    """Register the four types."""
    for resource_type, replacing in REPLACING.items():
        kind = Kind(resource_type.rpartition("::")[2], service, acting_key)
        register(resource_type, kind, replacing)


def register(resource_type: str, kind: "Kind", replacing: tuple[str, ...]) -> None:
    """Let templates have a type, of which some properties replace the resource."""
    from ministack.services.cloudformation import provisioners

    provisioners._RESOURCE_HANDLERS[resource_type] = {
        "create": kind.create,
        "update": kind.update,
        "update_with_logical_id": True,
        "delete": kind.delete,
    }
    provisioners._STACK_TAG_PROPERTY[resource_type] = ("Tags", "list")
    provisioners._REPLACING_PROPERTIES[resource_type] = replacing


def parameters(operation: str, props: Mapping[str, Any]) -> dict[str, Any]:
    """A template's properties as the parameters of an operation.

    Templates carry numbers and booleans as strings too; the operation's model says what they are.

    Raises:
        ValueError: for a property that the type does not have.
    """
    shape: Any = service_model().operation_model(operation).input_shape
    given = {name: value for name, value in props.items() if value is not None}
    unknown = sorted(set(given) - set(shape.members))
    if unknown:
        raise ValueError(f"Encountered unsupported property {unknown[0]}")
    typed = {name: _typed(shape.members[name], value) for name, value in given.items()}
    policy = (typed.get("DeploymentConfig") or {}).get("BlueGreenUpdatePolicy") or {}
    if "TrafficRoutingConfiguration" in policy:
        # The type lets it out where there is nothing to wait for; the operation does not.
        policy["TrafficRoutingConfiguration"].setdefault("WaitIntervalInSeconds", 0)
    return typed


def _typed(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        unknown = sorted(set(value) - set(shape.members))
        if unknown:
            raise ValueError(f"Encountered unsupported property {unknown[0]}")
        return {k: _typed(shape.members[k], v) for k, v in value.items() if v is not None}
    if kind == "list" and isinstance(value, list):
        return [_typed(shape.member, item) for item in value]
    if kind == "map" and isinstance(value, Mapping):
        return {str(k): _typed(shape.value, v) for k, v in value.items()}
    if kind == "boolean" and isinstance(value, str):
        return value.lower() == "true"
    if kind in ("integer", "long") and isinstance(value, str | float):
        return int(float(value))
    if kind in ("float", "double") and isinstance(value, str | int):
        return float(value)
    if kind == "string" and isinstance(value, bool):
        return str(value).lower()
    if kind == "string" and isinstance(value, int | float):
        return str(value)
    return value


class Kind:
    """One SageMaker resource type; its physical id is the resource's ARN, as on AWS."""

    def __init__(self, kind: str, service: Any, acting_key: Callable[[], str]) -> None:
        self._kind = kind
        self._service = service
        self._acting_key = acting_key

    def create(self, logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        """Make the resource; its ARN and attributes."""
        name_property = f"{self._kind}Name"
        name = str(props.get(name_property) or f"{logical_id[:50]}-{secrets.token_hex(6)}")
        if not self._exists(name):
            cloudformation_recovery.making(
                *(stack_name, logical_id, f"AWS::SageMaker::{self._kind}"),
                *(arn_of(ARN_KINDS[self._kind], name, REGION), props, {name_property: name}),
            )
        given = {
            k: v for k, v in props.items() if k not in (*_UPDATE_ONLY, "ModelPackageGroupPolicy")
        }
        answer = self._call(f"Create{self._kind}", {**given, name_property: name})
        arn = str(answer[f"{self._kind}Arn"])
        try:
            self._made(name)
            if props.get("ModelPackageGroupPolicy"):
                self._put_policy(name, props["ModelPackageGroupPolicy"])
        except Exception:
            # CloudFormation does not know of a resource whose creation failed, so nothing else
            # would delete it.
            self.delete(arn, props)
            raise
        return arn, self._attributes(arn, name)

    def update(
        self,
        physical_id: str,
        old: dict[str, Any],
        new: dict[str, Any],
        stack_name: str,
        logical_id: str | None = None,
    ) -> Any:
        """Change the resource in place; its ARN and attributes."""
        name = self._name(physical_id)
        self._change(name, old, new)
        if self._kind == "ModelPackageGroup":
            before, after = old.get("ModelPackageGroupPolicy"), new.get("ModelPackageGroupPolicy")
            if after and after != before:
                self._put_policy(name, after)
            elif before and not after:
                self._call("DeleteModelPackageGroupPolicy", {"ModelPackageGroupName": name})
        self._update_tags(physical_id, old, new)
        return physical_id, self._attributes(physical_id, name)

    def delete(self, physical_id: str, props: dict[str, Any]) -> None:
        """Delete the resource; one that is gone already is none to complain of."""
        name = self._name(physical_id)
        try:
            self._before_deletion(name)
            self._call(f"Delete{self._kind}", {f"{self._kind}Name": name})
        except ValueError as error:
            if not _is_missing(str(error)):
                raise
        self._deleted(name)

    def _made(self, name: str) -> None:
        """Wait until the resource can be used."""
        if self._kind == "Endpoint":
            self._settled(name)

    def _change(self, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Change what can be changed in place, and wait for it."""
        if self._kind == "Endpoint":
            self._update_endpoint(name, new)

    def _before_deletion(self, name: str) -> None:
        """Bring the resource into a state in which it can be deleted."""

    def _deleted(self, name: str) -> None:
        """Wait until the resource is gone."""
        if self._kind == "Endpoint":
            self._gone(name)

    def _update_endpoint(self, name: str, new: Mapping[str, Any]) -> None:
        wanted = new["EndpointConfigName"]
        current = self._describe(name)
        if current["EndpointConfigName"] == wanted and current["EndpointStatus"] == "InService":
            return
        given = {k: v for k, v in new.items() if k not in ("Tags", "EndpointName")}
        self._call("UpdateEndpoint", {**given, "EndpointName": name})
        settled = self._settled(name)
        if settled["EndpointConfigName"] != wanted:
            raise ValueError(
                settled.get("FailureReason")
                or f"Endpoint {name} went back to {settled['EndpointConfigName']}."
            )

    def _settled(self, name: str) -> dict[str, Any]:
        """The resource once it is in service; its own reason when it does not get there."""
        found = self._reached(name, "InService", *_FAILED)
        if found[f"{self._kind}Status"] in _FAILED:
            raise ValueError(
                found.get("FailureReason")
                or f"{self._kind} {name} is {found[f'{self._kind}Status']}."
            )
        return found

    def _reached(self, name: str, *statuses: str) -> dict[str, Any]:
        """The resource once it has one of the statuses."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            found = self._describe(name)
            if found[f"{self._kind}Status"] in statuses:
                return found
            time.sleep(_POLL_SECONDS)
        raise ValueError(f"{self._kind} {name} did not settle within {_WAIT_SECONDS:.0f} s.")

    def _gone(self, name: str) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            try:
                self._describe(name)
            except ValueError as error:
                if _is_missing(str(error)):
                    return
                raise
            time.sleep(_POLL_SECONDS)

    def _exists(self, name: str) -> bool:
        try:
            self._describe(name)
        except ValueError as error:
            if _is_missing(str(error)):
                return False
            raise
        return True

    def _describe(self, name: str) -> dict[str, Any]:
        return self._call(f"Describe{self._kind}", {f"{self._kind}Name": name})

    def _put_policy(self, name: str, policy: Any) -> None:
        import json

        text = policy if isinstance(policy, str) else json.dumps(policy)
        self._call(
            "PutModelPackageGroupPolicy", {"ModelPackageGroupName": name, "ResourcePolicy": text}
        )

    def _update_tags(self, arn: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        before = {tag["Key"]: tag["Value"] for tag in old.get("Tags") or []}
        after = {tag["Key"]: tag["Value"] for tag in new.get("Tags") or []}
        removed = sorted(set(before) - set(after))
        if removed:
            self._call("DeleteTags", {"ResourceArn": arn, "TagKeys": removed})
        changed = [{"Key": k, "Value": v} for k, v in after.items() if before.get(k) != v]
        if changed:
            self._call("AddTags", {"ResourceArn": arn, "Tags": changed})

    def _call(self, operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self._service.call(
                operation,
                parameters(operation, _without_own_tags(params)),
                caller_arn=identity.principal_of(self._acting_key()),
            )
        except Exception as error:
            code = getattr(error, "code", None)
            if code is None:
                raise
            message = getattr(error, "message", str(error))
            raise ValueError(
                f"{message} (Service: AmazonSageMaker; Status Code: "
                f"{getattr(error, 'status', 400)}; Error Code: {code}; Proxy: null)"
            ) from error
        return answer

    def _name(self, physical_id: str) -> str:
        return physical_id.rpartition("/")[2]

    def _attributes(self, arn: str, name: str) -> dict[str, str]:
        found = {f"{self._kind}Name": name, f"{self._kind}Arn": arn}
        if self._kind == "ModelPackageGroup":
            described = self._describe(name)
            found["ModelPackageGroupStatus"] = described.get("ModelPackageGroupStatus", "Completed")
            found["CreationTime"] = str(described.get("CreationTime", ""))
        return found


def _is_missing(message: str) -> bool:
    lowered = message.lower()
    return any(words in lowered for words in _MISSING)


def arn_of(kind: str, name: str, region: str) -> str:
    """The ARN that a SageMaker resource of this account has."""
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind}/{name}"


def _without_own_tags(props: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties without the tags that CloudFormation adds, which callers may not set."""
    if not props.get("Tags"):
        return props
    return {**props, "Tags": [t for t in props["Tags"] if not t["Key"].startswith("aws:")]}
