"""The operations on notebook instances, and what goes on in the background of each."""

import datetime
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.sagemaker import quotas, threads
from local.sagemaker.errors import REASON_LIMIT, internal_reason, invalid
from local.sagemaker.events import Events
from local.sagemaker.notebooks import checks
from local.sagemaker.notebooks.boot import BootFailed, Instance
from local.sagemaker.notebooks.home import NotebookHome
from local.sagemaker.notebooks.lifecycle import LifecycleConfigs
from local.sagemaker.notebooks.machine import end_all
from local.sagemaker.notebooks.records import Records
from local.sagemaker.notebooks.repositories import CodeRepositories
from local.sagemaker.ports import Credentials
from local.sagemaker.resources import without_tags
from local.sagemaker.roles import Role
from local.sagemaker.store import Document, Store
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.tags import Tags

# SageMaker's guide still names notebook-al2-v2, of which it has made no instance since June 2025.
_DEFAULT_PLATFORM = "notebook-al2023-v1"
_DEFAULTS = {
    "DirectInternetAccess": "Enabled",
    "IpAddressType": "ipv4",
    "VolumeSizeInGB": 5,
    "RootAccess": "Enabled",
    "PlatformIdentifier": _DEFAULT_PLATFORM,
    "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "1"},
}
_LONGEST_SESSION = 43_200
_AT_REST = ("Stopped", "Failed")
# What an update can take away, by the switch that says so.
_TAKEN_AWAY = {
    "DisassociateLifecycleConfig": "LifecycleConfigName",
    "DisassociateDefaultCodeRepository": "DefaultCodeRepository",
    "DisassociateAdditionalCodeRepositories": "AdditionalCodeRepositories",
    "DisassociateAcceleratorTypes": "AcceleratorTypes",
}
# Requests and records have other names for these.
_RECORDED = {
    "LifecycleConfigName": "NotebookInstanceLifecycleConfigName",
    "SecurityGroupIds": "SecurityGroups",
}

_log = logging.getLogger(__name__)


class NotebookInstances:
    """Creates, starts, stops, shows and deletes notebook instances."""

    def __init__(
        self,
        store: Store,
        tags: Tags,
        events: Events,
        configs: LifecycleConfigs,
        repositories: CodeRepositories,
        around: Surroundings,
        folder: Path,
        today: Callable[[], datetime.date],
    ) -> None:
        self._today = today
        self._records = Records(store, around.arns, tags, events)
        self._configs = configs
        self._repositories = repositories
        self._around = around
        self._folder = folder
        self._live: dict[str, Instance] = {}
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._closing = False

    def start(self) -> None:
        """Take up what the store holds: what was in service starts again, without on-create."""
        for notebook in self._records.all():
            name, status = notebook["NotebookInstanceName"], notebook["NotebookInstanceStatus"]
            # A platform that was killed left them running.
            end_all(self._home(name).path, 0)
            if status == "Deleting":
                self._spawn(self._delete, name)
            elif status == "Pending" and self._records.creation(name) == "begun":
                reason = internal_reason("The local platform was stopped while OnCreate ran.")
                self._records.change(name, NotebookInstanceStatus="Failed", FailureReason=reason)
            elif status in ("Pending", "InService"):
                self._records.change(name, NotebookInstanceStatus="Pending")
                self._begin(self._records.get(name))
            elif status in ("Stopping", "Updating"):
                self._records.change(name, NotebookInstanceStatus="Stopped")

    def close(self) -> None:
        """End every process of every instance, within the time that a close may take."""
        self._records.freeze()
        with self._lock:
            self._closing = True
            live = [*self._live.values()]
            begun = [*self._threads]
        grace = self._around.limits.close / 3
        enders = [threading.Thread(target=each.end, args=[grace], daemon=True) for each in live]
        for thread in enders:
            thread.start()
        threads.join([*enders, *begun], self._around.limits.close)

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateNotebookInstance; it starts in the background."""
        name = params["NotebookInstanceName"]
        self._records.refuse_taken(name)
        checks.check(params, self._configs, self._repositories)
        platform = params.get("PlatformIdentifier", _DEFAULT_PLATFORM)
        checks.check_platform(platform, self._today())
        checks.check_folders(params)
        checks.check_role(self._role(params["RoleArn"]))
        if params.get("KmsKeyId"):
            checks.check_key(self._around.aws, params["KmsKeyId"])
        groups = checks.check_network(self._around.aws, params)
        members = {**_DEFAULTS, **_recorded(without_tags(params)), "SecurityGroups": groups}
        interface = self._join(members)
        if interface:
            members["NetworkInterfaceId"] = interface
        try:
            with self._around.quotas.room(quotas.of_notebook(params["InstanceType"], new=True)):
                notebook = self._records.create(params, members)
        except Exception:
            self._leave(interface)
            raise
        # What a notebook of this name left behind, if a removal was cut off, is none of this one's.
        self._home(name).remove()
        self._begin(notebook)
        return {"NotebookInstanceArn": notebook["NotebookInstanceArn"]}

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeNotebookInstance."""
        return self._records.get(params["NotebookInstanceName"])

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListNotebookInstances."""
        return self._records.page(
            {"SortBy": "Name", "SortOrder": "Ascending", **params},
            "NotebookInstances",
            (
                "NotebookInstanceStatus",
                "Url",
                "InstanceType",
                "LastModifiedTime",
                "NotebookInstanceLifecycleConfigName",
                "DefaultCodeRepository",
                "AdditionalCodeRepositories",
            ),
            only=lambda notebook: _listed(notebook, params),
        )

    def start_instance(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer StartNotebookInstance: a fresh home round the volume, then on-start."""
        name = params["NotebookInstanceName"]
        current = self._records.get(name)
        checks.check_platform(current["PlatformIdentifier"], self._today())
        checks.check_role(self._role(current["RoleArn"]))
        # One that runs is counted already, and is refused for its status.
        stopped = current["NotebookInstanceStatus"] in _AT_REST
        demand = quotas.of_notebook(current["InstanceType"], new=False, runs=stopped)
        with self._around.quotas.room(demand):
            notebook = self._records.begin(name, "Pending", allowed=_AT_REST, FailureReason=None)
        self._begin(notebook)
        return {}

    def stop(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer StopNotebookInstance; as on AWS, an instance that is starting refuses."""
        name = params["NotebookInstanceName"]
        self._records.begin(name, "Stopping", allowed=("InService",))
        self._spawn(self._stop, name)
        return {}

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer UpdateNotebookInstance; it shows from the next start on."""
        name = params["NotebookInstanceName"]
        current = self._records.get(name)
        checks.check(params, self._configs, self._repositories)
        if params.get("PlatformIdentifier"):
            checks.check_platform(params["PlatformIdentifier"], self._today())
        if "RoleArn" in params:
            checks.check_role(self._role(params["RoleArn"]))
        if params.get("VolumeSizeInGB", current["VolumeSizeInGB"]) < current["VolumeSizeInGB"]:
            raise invalid(
                f"VolumeSizeInGB is {params['VolumeSizeInGB']}, but a volume cannot be made "
                f"smaller than it is: {current['VolumeSizeInGB']}."
            )
        changes: dict[str, object] = {
            _RECORDED.get(key, key): value
            for key, value in params.items()
            if key not in _TAKEN_AWAY and key != "NotebookInstanceName"
        }
        for switch, member in _TAKEN_AWAY.items():
            if params.get(switch):
                if params.get(member):
                    raise invalid(f"{switch} and {member} exclude each other: give one of them.")
                changes[_RECORDED.get(member, member)] = None
        checks.check_folders({k: v for k, v in {**current, **changes}.items() if v is not None})
        self._records.begin(name, "Updating", allowed=_AT_REST)
        self._records.change(name, NotebookInstanceStatus="Stopped", FailureReason=None, **changes)
        return {}

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteNotebookInstance: its volume goes, too."""
        name = params["NotebookInstanceName"]
        self._records.begin(name, "Deleting", allowed=_AT_REST)
        self._spawn(self._delete, name)
        return {}

    def presigned_url(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreatePresignedNotebookInstanceUrl."""
        name = params["NotebookInstanceName"]
        notebook = self._records.get(name)
        instance = self._live.get(name)
        if notebook["NotebookInstanceStatus"] != "InService" or instance is None:
            raise invalid(
                f"Unable to create a presigned URL for Notebook Instance "
                f"({notebook['NotebookInstanceArn']}) in status "
                f"({notebook['NotebookInstanceStatus']}): it must be InService."
            )
        return {
            "AuthorizedUrl": instance.lab.url(
                instance.path(),
                opens_for=self._around.limits.presigned_url,
                session_seconds=params.get("SessionExpirationDurationInSeconds", _LONGEST_SESSION),
            )
        }

    def credentials(self, token: str) -> Credentials | None:
        """Give the credentials of the role whose notebook knows the token; None for no such.

        Raises:
            CallFailed: when SageMaker may not assume the role any more.
        """
        for instance in [*self._live.values()]:
            if instance.holds(token) and not instance.ended:
                return instance.role.credentials()
        return None

    def _begin(self, notebook: Document) -> None:
        """Bring an instance up in the background."""
        name = notebook["NotebookInstanceName"]
        instance = Instance(
            self._around,
            self._records,
            self._configs,
            self._repositories,
            notebook,
            self._home(name),
        )
        with self._lock:
            if self._closing:
                return
            self._live[name] = instance
        self._spawn(self._boot, name, instance)

    def _boot(self, name: str, instance: Instance) -> None:
        try:
            instance.boot()
        except BootFailed as error:
            reason = str(error)
        except Exception as error:
            _log.exception("notebook instance %s", name)
            reason = internal_reason(f"{type(error).__name__}: {error}")
        else:
            if not instance.ended:
                self._records.change(
                    name,
                    NotebookInstanceStatus="InService",
                    Url=f"127.0.0.1:{instance.lab.port}",
                )
            return
        if instance.ended and self._closing:
            return
        self._end(name)
        self._records.change(
            name, NotebookInstanceStatus="Failed", FailureReason=reason[:REASON_LIMIT]
        )

    def _stop(self, name: str) -> None:
        self._end(name)
        self._records.change(name, NotebookInstanceStatus="Stopped")

    def _delete(self, name: str) -> None:
        self._end(name)
        self._home(name).remove()
        self._leave((self._records.find(name) or {}).get("NetworkInterfaceId", ""))
        self._records.forget(name)

    def _end(self, name: str) -> None:
        with self._lock:
            instance = self._live.pop(name, None)
        if instance is not None:
            instance.end(self._around.limits.notebook_stop)

    def _join(self, members: Document) -> str:
        """Make the network interface through which the instance is in its subnet."""
        if not members.get("SubnetId"):
            return ""
        made = self._around.aws.own_client("ec2").create_network_interface(
            SubnetId=members["SubnetId"],
            Groups=members["SecurityGroups"],
            Description=f"[DO NOT DELETE] Notebook Instance {members['NotebookInstanceName']}",
        )
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def _leave(self, interface: str) -> None:
        if interface:
            try:
                self._around.aws.own_client("ec2").delete_network_interface(
                    NetworkInterfaceId=interface
                )
            except Exception:
                # Somebody deleted it by hand; the instance can go all the same.
                _log.warning("network interface %s is gone already", interface, exc_info=True)

    def _spawn(self, work: Any, *args: Any) -> None:  # noqa: ANN401
        def run() -> None:
            try:
                work(*args)
            except Exception:
                _log.exception("%s %s", work.__name__, args[0])
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, daemon=True, name=f"notebook-{args[0]}")
        with self._lock:
            if self._closing:
                return
            self._threads.add(thread)
        thread.start()

    def _role(self, arn: str) -> Role:
        return Role(self._around.aws, self._around.arns, arn)

    def _home(self, name: str) -> NotebookHome:
        return NotebookHome(self._folder / name)


def _recorded(params: Document) -> Document:
    return {_RECORDED.get(name, name): value for name, value in params.items()}


def _listed(notebook: Document, params: Document) -> bool:
    """Whether a listing wants an instance, by the filters that only notebooks have."""
    config = params.get("NotebookInstanceLifecycleConfigNameContains", "")
    default = params.get("DefaultCodeRepositoryContains", "")
    additional = params.get("AdditionalCodeRepositoryEquals")
    return (
        config.lower() in notebook.get("NotebookInstanceLifecycleConfigName", "").lower()
        and default.lower() in notebook.get("DefaultCodeRepository", "").lower()
        and (additional is None or additional in notebook.get("AdditionalCodeRepositories", []))
    )
