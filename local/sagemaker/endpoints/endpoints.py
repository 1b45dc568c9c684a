"""The operations on endpoints, and the record and the servers of each."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.sagemaker import listing, s3
from local.sagemaker.endpoints.capture import Capture
from local.sagemaker.endpoints.deployment import DeployFailed, Deployment
from local.sagemaker.errors import invalid
from local.sagemaker.events import Events
from local.sagemaker.images import runnable
from local.sagemaker.models import EndpointConfigs, Models, too_many_instances
from local.sagemaker.roles import Role
from local.sagemaker.store import Document, Store
from local.sagemaker.tags import Tags
from local.sagemaker.training.run import Surroundings

KIND = "endpoint"
_PLAN = "endpoint-plan"
_IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_REASON_LIMIT = 1024

_log = logging.getLogger(__name__)


class LiveEndpoint:
    """An endpoint whose servers run: what invocations look at."""

    def __init__(self, deployment: Deployment, captures: Mapping[str, Capture]) -> None:
        self.deployment = deployment
        self.captures = captures


class Endpoints:
    """Creates, updates, shows and deletes endpoints."""

    def __init__(
        self,
        store: Store,
        tags: Tags,
        events: Events,
        models: Models,
        configs: EndpointConfigs,
        around: Surroundings,
        folder: Path,
    ) -> None:
        self._store = store
        self._tags = tags
        self._events = events
        self._models = models
        self._configs = configs
        self._around = around
        self._folder = folder
        self._live: dict[str, LiveEndpoint] = {}
        self._starting: set[Deployment] = set()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._closing = False

    def start(self) -> None:
        """Bring the endpoints of the store up again, each in the background."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for endpoint in self._store.all(KIND):
            name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
            plan = self._store.get(_PLAN, name)
            if status == "Deleting":
                self._forget(endpoint)
            elif status != "Failed" and plan is not None:
                if status != "Creating":
                    self._change(name, EndpointStatus="SystemUpdating")
                self._spawn(name, self._bring_up, name, plan)

    def close(self) -> None:
        """End every server; the endpoints stay in the store."""
        with self._lock:
            self._closing = True
            deployments = {live.deployment for live in self._live.values()} | self._starting
            captures = [c for live in self._live.values() for c in live.captures.values()]
            self._live.clear()
            threads = [*self._threads]
        grace = self._around.limits.close
        enders = [threading.Thread(target=d.stop, args=[0, grace]) for d in deployments]
        enders += [threading.Thread(target=capture.flush) for capture in captures]
        for thread in enders:
            thread.daemon = True
            thread.start()
        until = time.monotonic() + grace + 2
        for thread in [*enders, *threads]:
            thread.join(timeout=max(until - time.monotonic(), 0))
        shutil.rmtree(self._folder, ignore_errors=True)

    def find(self, name: str) -> LiveEndpoint | None:
        """Find an endpoint that can be asked."""
        return self._live.get(name)

    def kill(self, name: str) -> None:
        """End the server processes of an endpoint as a crash would."""
        live = self.find(name)
        for variant in live.deployment.variants if live else []:
            variant.kill()

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateEndpoint; the servers come up in the background."""
        name = params["EndpointName"]
        arn = self._around.arns.of(KIND, name)
        plan = self._plan(self._configs.get(params["EndpointConfigName"]))
        now = time.time()
        document: Document = {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": params["EndpointConfigName"],
            "EndpointStatus": "Creating",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if not self._store.add(KIND, name, document):
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        self._store.put(_PLAN, name, plan)
        self._tags.start(arn, params.get("Tags", []))
        self._events.endpoint(document, self._tags.of(arn))
        self._spawn(name, self._bring_up, name, plan, params.get("DeploymentConfig"))
        return {"EndpointArn": arn}

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeEndpoint."""
        return self._get(params["EndpointName"])

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListEndpoints."""
        found, more = listing.page(
            self._store.all(KIND), params, name="EndpointName", status="EndpointStatus"
        )
        members = (
            "EndpointName",
            "EndpointArn",
            "CreationTime",
            "LastModifiedTime",
            "EndpointStatus",
        )
        return {"Endpoints": [listing.summary(endpoint, members) for endpoint in found], **more}

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer UpdateEndpoint: new servers come up first, then take over, then the old end."""
        name = params["EndpointName"]
        self._get(name)
        plan = self._plan(self._configs.get(params["EndpointConfigName"]))
        if params.get("RetainAllVariantProperties"):
            excluded = {
                entry["VariantPropertyType"]
                for entry in params.get("ExcludeRetainedVariantProperties", [])
            }
            self._retain(plan, self._store.get(_PLAN, name) or plan, excluded)
        endpoint = self._begin(
            name,
            "Updating",
            PendingDeploymentSummary={
                "EndpointConfigName": plan["config"],
                "ProductionVariants": _shown_variants(plan),
                "StartTime": time.time(),
            },
        )
        deployment_config = params.get("DeploymentConfig")
        if params.get("RetainDeploymentConfig"):
            deployment_config = endpoint.get("LastDeploymentConfig")
        self._spawn(name, self._replace, name, plan, deployment_config)
        return {"EndpointArn": endpoint["EndpointArn"]}

    def update_weights(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer UpdateEndpointWeightsAndCapacities."""
        name = params["EndpointName"]
        self._get(name)
        plan = self._store.get(_PLAN, name) or {"variants": []}
        known = {variant["name"]: variant for variant in plan["variants"]}
        for wanted in params["DesiredWeightsAndCapacities"]:
            variant = known.get(wanted["VariantName"])
            if variant is None:
                raise invalid(
                    f"Endpoint {name} has no variant {wanted['VariantName']}. "
                    f"It has: {', '.join(known)}."
                )
            count = wanted.get("DesiredInstanceCount", variant["instances"])
            if count < 1:
                raise invalid(f"Variant {wanted['VariantName']} needs at least one instance.")
            if count > self._around.limits.instances:
                raise invalid(too_many_instances(wanted["VariantName"], count, self._around.limits))
            variant["instances"] = count
            variant["weight"] = wanted.get("DesiredWeight", variant["weight"])
        endpoint = self._begin(name, "Updating")
        self._spawn(name, self._rebalance, name, plan)
        return {"EndpointArn": endpoint["EndpointArn"]}

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteEndpoint; the answer comes when no request is taken any more."""
        name = params["EndpointName"]
        endpoint = self._begin(name, "Deleting", in_progress_ok=("Creating",))
        with self._lock:
            live = self._live.pop(name, None)
        self._spawn(name, self._tear_down, endpoint, live)
        return {}

    # What runs in the background.

    def _bring_up(
        self, name: str, plan: Document, deployment_config: Document | None = None
    ) -> None:
        try:
            deployment = self._deploy(name, plan)
        except DeployFailed as error:
            self._change(name, EndpointStatus="Failed", FailureReason=str(error))
            return
        if not self._take_over(name, deployment):
            deployment.stop(0, self._around.limits.server_stop)
            return
        self._in_service(name, plan, deployment_config)

    def _replace(self, name: str, plan: Document, deployment_config: Document | None) -> None:
        try:
            deployment = self._deploy(name, plan)
        except DeployFailed as error:
            # As on AWS, an update that fails leaves the endpoint with what it served before.
            back = "InService" if self.find(name) else "Failed"
            self._change(
                name,
                EndpointStatus=back,
                FailureReason=str(error),
                PendingDeploymentSummary=None,
            )
            return
        with self._lock:
            old = self._live.get(name)
        if not self._take_over(name, deployment):
            deployment.stop(0, self._around.limits.server_stop)
            return
        self._store.put(_PLAN, name, plan)
        self._in_service(name, plan, deployment_config)
        if old is not None:
            self._end(old)

    def _rebalance(self, name: str, plan: Document) -> None:
        live = self.find(name)
        if live is None:
            self._bring_up(name, plan)
            return
        reason = None
        before = self._store.get(_PLAN, name) or plan
        for wanted in plan["variants"]:
            variant = live.deployment.variant(wanted["name"])
            if variant is None:
                continue
            variant.weight = wanted["weight"]
            try:
                variant.scale(wanted["instances"])
            except DeployFailed as error:
                reason = str(error)
        if reason is None:
            self._store.put(_PLAN, name, plan)
        else:
            plan = before
            for wanted in plan["variants"]:
                variant = live.deployment.variant(wanted["name"])
                if variant is not None:
                    variant.weight = wanted["weight"]
                    wanted["instances"] = variant.size
        self._in_service(name, plan, reason=reason)

    def _tear_down(self, endpoint: Document, live: LiveEndpoint | None) -> None:
        if live is not None:
            self._end(live)
        # Until what was begun for this endpoint is over, its name must not be given again.
        current = threading.current_thread()
        with self._lock:
            others = [t for t in self._threads if t.name == current.name and t is not current]
        for thread in others:
            thread.join()
        self._forget(endpoint)

    def _end(self, live: LiveEndpoint) -> None:
        live.deployment.stop(self._around.limits.invocation, self._around.limits.server_stop)
        for capture in live.captures.values():
            capture.flush()

    def _deploy(self, name: str, plan: Document) -> Deployment:
        deployment = Deployment(self._around, name, plan, self._folder / name, self._given_up(name))
        with self._lock:
            if self._closing:
                raise DeployFailed("The local platform is being stopped.")
            self._starting.add(deployment)
        try:
            deployment.start()
        except DeployFailed as error:
            raise DeployFailed(str(error)[:_REASON_LIMIT]) from error
        except Exception as error:
            _log.exception("endpoint %s", name)
            raise DeployFailed(
                "We encountered an internal error. Please try again. "
                f"({type(error).__name__}: {error})"[:_REASON_LIMIT]
            ) from error
        finally:
            with self._lock:
                self._starting.discard(deployment)
        return deployment

    def _take_over(self, name: str, deployment: Deployment) -> bool:
        """Send requests to the deployment from now on, unless the endpoint is gone meanwhile."""
        live = LiveEndpoint(deployment, self._captures(name, deployment))
        with self._lock:
            endpoint = self._store.get(KIND, name)
            if self._closing or endpoint is None or endpoint["EndpointStatus"] == "Deleting":
                return False
            self._live[name] = live
        return True

    def _given_up(self, name: str) -> Callable[[Deployment, str], None]:
        def given_up(deployment: Deployment, reason: str) -> None:
            with self._lock:
                live = self._live.get(name)
                if self._closing or live is None or live.deployment is not deployment:
                    return
                del self._live[name]
            self._change(name, EndpointStatus="Failed", FailureReason=reason)
            threading.Thread(
                target=deployment.stop, args=[0, self._around.limits.server_stop], daemon=True
            ).start()

        return given_up

    # The record.

    def _get(self, name: str) -> Document:
        endpoint = self._store.get(KIND, name)
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{self._around.arns.of(KIND, name)}".')
        return endpoint

    def _begin(
        self,
        name: str,
        status: str,
        *,
        in_progress_ok: tuple[str, ...] = (),
        **changes: object,
    ) -> Document:
        """Move an endpoint that is at rest into a state of change."""
        self._get(name)

        def edit(endpoint: Document) -> None:
            before = endpoint["EndpointStatus"]
            if before in _IN_PROGRESS and before not in in_progress_ok:
                raise invalid(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
            endpoint.update(EndpointStatus=status, LastModifiedTime=time.time(), **changes)
            endpoint.pop("FailureReason", None)

        changed = self._store.change(KIND, name, edit)
        if changed is None:
            return self._get(name)
        self._events.endpoint(changed, self._tags.of(changed["EndpointArn"]))
        return changed

    def _in_service(
        self,
        name: str,
        plan: Document,
        deployment_config: Document | None = None,
        reason: str | None = None,
    ) -> None:
        changes: dict[str, Any] = {
            "EndpointConfigName": plan["config"],
            "ProductionVariants": _shown_variants(plan),
            "DataCaptureConfig": _shown_capture(plan),
            "EndpointStatus": "InService",
            "PendingDeploymentSummary": None,
            "FailureReason": reason,
        }
        if deployment_config:
            changes["LastDeploymentConfig"] = deployment_config
        self._change(name, **changes)

    def _change(self, name: str, **changes: object) -> None:
        """Write into the record, tell of a new status; None takes a member away."""
        with self._lock:
            if self._closing:
                return

        def edit(endpoint: Document) -> None:
            if endpoint["EndpointStatus"] == "Deleting":
                return
            endpoint.update(changes, LastModifiedTime=time.time())
            for member in [key for key, value in endpoint.items() if value is None]:
                del endpoint[member]

        changed = self._store.change(KIND, name, edit)
        if changed and changed["EndpointStatus"] != "Deleting":
            self._events.endpoint(changed, self._tags.of(changed["EndpointArn"]))

    def _forget(self, endpoint: Document) -> None:
        name = endpoint["EndpointName"]
        shutil.rmtree(self._folder / name, ignore_errors=True)
        self._store.delete(_PLAN, name)
        self._store.delete(KIND, name)
        self._tags.end(endpoint["EndpointArn"])

    def _spawn(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        def guarded() -> None:
            try:
                work(*arguments)
            except Exception:
                _log.exception("endpoint %s", name)
                self._change(
                    name,
                    EndpointStatus="InService" if self.find(name) else "Failed",
                    FailureReason="We encountered an internal error. Please try again.",
                )
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=guarded, name=f"endpoint-{name}", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _plan(self, config: Mapping[str, Any]) -> Document:
        """Write down all that the servers need: config and model may be deleted meanwhile."""
        variants = []
        for variant in config["ProductionVariants"]:
            model = self._models.get(variant["ModelName"])
            container = self._models.container(model)
            variants.append(
                {
                    "name": variant["VariantName"],
                    "image": container["Image"],
                    "algorithm": runnable(self._around.runtime, container["Image"]),
                    "data_url": container.get("ModelDataUrl"),
                    "environment": container.get("Environment", {}),
                    "role": model["ExecutionRoleArn"],
                    "isolated": model.get("EnableNetworkIsolation", False),
                    "instances": variant["InitialInstanceCount"],
                    "weight": variant.get("InitialVariantWeight", 1.0),
                    "startup": variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
                    "volume_key": config.get("KmsKeyId"),
                }
            )
        return {
            "config": config["EndpointConfigName"],
            "variants": variants,
            "capture": config.get("DataCaptureConfig"),
        }

    def _retain(self, plan: Document, before: Mapping[str, Any], excluded: set[str]) -> None:
        known = {variant["name"]: variant for variant in before["variants"]}
        for variant in plan["variants"]:
            old = known.get(variant["name"])
            if old and "DesiredInstanceCount" not in excluded:
                variant["instances"] = old["instances"]
            if old and "DesiredWeight" not in excluded:
                variant["weight"] = old["weight"]
        if "DataCaptureConfig" not in excluded:
            plan["capture"] = before.get("capture")

    def _captures(self, name: str, deployment: Deployment) -> dict[str, Capture]:
        config = deployment.plan.get("capture")
        if not config or not config.get("EnableCapture", False):
            return {}
        found = {}
        for variant, planned in zip(deployment.variants, deployment.plan["variants"], strict=True):
            role = Role(self._around.aws, self._around.arns, planned["role"])
            found[variant.name] = Capture(
                config,
                endpoint=name,
                variant=variant.name,
                storage=s3.Storage(role),
                folder=self._folder / "capture",
                interval=self._around.limits.capture_interval,
                on_failure=variant.note,
            )
        return found


def _shown_variants(plan: Mapping[str, Any]) -> list[Document]:
    return [
        {
            "VariantName": variant["name"],
            "DeployedImages": [
                {"SpecifiedImage": variant["image"], "ResolvedImage": variant["image"]}
            ],
            "CurrentWeight": variant["weight"],
            "DesiredWeight": variant["weight"],
            "CurrentInstanceCount": variant["instances"],
            "DesiredInstanceCount": variant["instances"],
        }
        for variant in plan["variants"]
    ]


def _shown_capture(plan: Mapping[str, Any]) -> Document | None:
    config = plan.get("capture")
    if not config:
        return None
    enabled = config.get("EnableCapture", False)
    shown = {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
    }
    if config.get("KmsKeyId"):
        shown["KmsKeyId"] = config["KmsKeyId"]
    return shown
