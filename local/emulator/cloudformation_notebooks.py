"""The CloudFormation types of notebook instances, their scripts and their code repositories."""

from collections.abc import Callable, Mapping
from typing import Any

from local.emulator.cloudformation_sagemaker import Kind, register

NOTEBOOK = "AWS::SageMaker::NotebookInstance"
LIFECYCLE = "AWS::SageMaker::NotebookInstanceLifecycleConfig"
REPOSITORY = "AWS::SageMaker::CodeRepository"

# What a change of replaces the resource, by AWS's schemas; all else is updated in place.
REPLACING = {
    NOTEBOOK: (
        "DirectInternetAccess",
        "KmsKeyId",
        "NotebookInstanceName",
        "PlatformIdentifier",
        "SecurityGroupIds",
        "SubnetId",
    ),
    LIFECYCLE: ("NotebookInstanceLifecycleConfigName",),
    REPOSITORY: ("CodeRepositoryName",),
}
# Of a code repository's GitConfig; the secret is updated in place.
_REPLACING_GIT = ("RepositoryUrl", "Branch")
_CHANGEABLE = (
    "AcceleratorTypes",
    "AdditionalCodeRepositories",
    "DefaultCodeRepository",
    "InstanceMetadataServiceConfiguration",
    "InstanceType",
    "LifecycleConfigName",
    "RoleArn",
    "RootAccess",
    "VolumeSizeInGB",
)
_TAKEN_AWAY = {
    "AcceleratorTypes": "DisassociateAcceleratorTypes",
    "AdditionalCodeRepositories": "DisassociateAdditionalCodeRepositories",
    "DefaultCodeRepository": "DisassociateDefaultCodeRepository",
    "LifecycleConfigName": "DisassociateLifecycleConfig",
}
_AT_REST = ("Stopped", "Failed")


def install(service: Any, acting_key: Callable[[], str]) -> None:
    """Register the three types."""
    from ministack.services.cloudformation import provisioners

    classes = {NOTEBOOK: _Notebook, LIFECYCLE: _Lifecycle, REPOSITORY: _Repository}
    for resource_type, replacing in REPLACING.items():
        name = resource_type.rpartition("::")[2]
        register(resource_type, classes[resource_type](name, service, acting_key), replacing)
        # As AWS does, refuse to replace what a template names: the new one would need the name.
        provisioners._CUSTOM_NAME_REPLACEMENT[resource_type] = {"name": f"{name}Name"}
    provisioners._CUSTOM_NAME_REPLACEMENT[REPOSITORY]["requires_replacement"] = _moves


def _moves(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a code repository is another than before."""
    before, after = old.get("GitConfig") or {}, new.get("GitConfig") or {}
    return any(before.get(name) != after.get(name) for name in _REPLACING_GIT)


class _Notebook(Kind):
    """A notebook instance: made when it is in service, stopped for a change and for its end."""

    def _made(self, name: str) -> None:
        self._settled(name)

    def _change(self, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        changes = {
            key: new[key]
            for key in _CHANGEABLE
            if new.get(key) is not None and new[key] != old.get(key)
        }
        changes |= {
            switch: True for key, switch in _TAKEN_AWAY.items() if old.get(key) and not new.get(key)
        }
        if not changes:
            return
        # One that its idle time has stopped is none that a person waits for.
        runs = self._stop(name) != "Stopped"
        self._call("UpdateNotebookInstance", {**changes, "NotebookInstanceName": name})
        self._reached(name, "Stopped")
        if runs:
            self._call("StartNotebookInstance", {"NotebookInstanceName": name})
            self._settled(name)

    def _before_deletion(self, name: str) -> None:
        self._stop(name)

    def _deleted(self, name: str) -> None:
        self._gone(name)

    def _stop(self, name: str) -> str:
        """Bring it to rest; the status that it had before, once it had settled."""
        status = str(self._reached(name, "InService", *_AT_REST)["NotebookInstanceStatus"])
        if status == "InService":
            self._call("StopNotebookInstance", {"NotebookInstanceName": name})
            self._reached(name, *_AT_REST)
        return status


class _Lifecycle(Kind):
    """The scripts of notebook instances; they run from an instance's next start."""

    def _change(self, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        hooks = {hook: new.get(hook) or [] for hook in ("OnCreate", "OnStart")}
        if hooks != {hook: old.get(hook) or [] for hook in hooks}:
            given = {**hooks, "NotebookInstanceLifecycleConfigName": name}
            self._call("UpdateNotebookInstanceLifecycleConfig", given)


class _Repository(Kind):
    """A code repository; another URL or branch is another repository."""

    def update(
        self,
        physical_id: str,
        old: dict[str, Any],
        new: dict[str, Any],
        stack_name: str,
        logical_id: str | None = None,
    ) -> Any:
        """Change the secret in place, and replace the repository for all else of its git."""
        if _moves(old, new):
            from ministack.services.cloudformation import provisioners

            return provisioners._replace_resource(
                REPOSITORY, physical_id, old, new, stack_name, logical_id
            )
        return super().update(physical_id, old, new, stack_name, logical_id)

    def _change(self, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        secret = new["GitConfig"].get("SecretArn")
        if secret and secret != old["GitConfig"].get("SecretArn"):
            given = {"CodeRepositoryName": name, "GitConfig": {"SecretArn": secret}}
            self._call("UpdateCodeRepository", given)
