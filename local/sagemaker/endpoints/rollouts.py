"""The changes of endpoints that take time: servers come up, take over and end in the background."""

import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from local.sagemaker import s3, threads
from local.sagemaker.endpoints.capture import Capture
from local.sagemaker.endpoints.deployment import DeployFailed, Deployment
from local.sagemaker.endpoints.records import Records
from local.sagemaker.errors import REASON_LIMIT, internal_reason
from local.sagemaker.roles import Role
from local.sagemaker.store import Document
from local.sagemaker.surroundings import Surroundings

# No endpoint can have this name.
_CAPTURES = ".capture"

_log = logging.getLogger(__name__)


class LiveEndpoint:
    """An endpoint whose servers run: what invocations look at."""

    def __init__(self, deployment: Deployment, captures: Mapping[str, Capture]) -> None:
        self.deployment = deployment
        self.captures = captures


class Rollouts:
    """Brings deployments up, puts one in the place of another, and ends them."""

    def __init__(self, records: Records, around: Surroundings, folder: Path) -> None:
        self._records = records
        self._around = around
        self._folder = folder
        self._live: dict[str, LiveEndpoint] = {}
        # Every deployment that may have a process: coming up, serving, or draining.
        self._running: set[LiveEndpoint] = set()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._closing = False

    def find(self, name: str) -> LiveEndpoint | None:
        """Find an endpoint that can be asked."""
        return self._live.get(name)

    def close(self) -> None:
        """End every server, and what was begun, within the time that a close may take."""
        self._records.freeze()
        with self._lock:
            self._closing = True
            running = [*self._running]
            self._live.clear()
            begun = [*self._threads]
        grace = self._around.limits.close
        enders = [
            threading.Thread(target=live.deployment.stop, args=[0, grace], daemon=True)
            for live in running
        ]
        enders += [
            threading.Thread(target=capture.flush, daemon=True)
            for live in running
            for capture in live.captures.values()
        ]
        for thread in enders:
            thread.start()
        threads.join([*enders, *begun], grace + 2)
        shutil.rmtree(self._folder, ignore_errors=True)

    def clean(self, name: str = "") -> None:
        """Remove the files of an endpoint, or of all."""
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def create(self, name: str, plan: Document, deployment_config: Document | None = None) -> None:
        """Bring the servers of an endpoint up."""
        self._spawn(name, self._bring_up, name, plan, deployment_config)

    def update(self, name: str, plan: Document, deployment_config: Document | None) -> None:
        """Put the servers of another plan in the place of those that serve."""
        self._spawn(name, self._replace, name, plan, deployment_config)

    def rebalance(self, name: str, plan: Document) -> None:
        """Give the variants the weights and instances of a plan."""
        self._spawn(name, self._rebalance, name, plan)

    def delete(self, name: str) -> None:
        """Take no request from now on, then end the servers and forget the endpoint."""
        with self._lock:
            live = self._live.pop(name, None)
        self._spawn(name, self._tear_down, name, live)

    def _bring_up(
        self, name: str, plan: Document, deployment_config: Document | None = None
    ) -> None:
        try:
            live = self._deploy(name, plan)
        except DeployFailed as error:
            self._records.change(name, EndpointStatus="Failed", FailureReason=str(error))
            return
        if self._take_over(name, live):
            self._records.in_service(name, plan, deployment_config)

    def _replace(self, name: str, plan: Document, deployment_config: Document | None) -> None:
        try:
            live = self._deploy(name, plan)
        except DeployFailed as error:
            # As on AWS, an update that fails leaves the endpoint with what it served before.
            self._records.change(
                name,
                EndpointStatus=self._status(name),
                FailureReason=str(error),
                PendingDeploymentSummary=None,
            )
            return
        old = self.find(name)
        if not self._take_over(name, live):
            return
        self._records.keep_plan(name, plan)
        self._records.in_service(name, plan, deployment_config)
        if old is not None:
            self._end(old)

    def _rebalance(self, name: str, plan: Document) -> None:
        live = self.find(name)
        if live is None:
            self._bring_up(name, plan)
            return
        reason = None
        before = self._records.plan(name) or plan
        for wanted in plan["variants"]:
            variant = live.deployment.variant(wanted["name"])
            if variant is None:
                continue
            variant.weight = wanted["weight"]
            try:
                variant.scale(wanted["instances"])
            except DeployFailed as error:
                reason = str(error)
        if self.find(name) is not live:
            # Its servers were given up meanwhile: the endpoint has failed, and stays so.
            return
        if reason is None:
            self._records.keep_plan(name, plan)
        else:
            plan = before
            for wanted in plan["variants"]:
                variant = live.deployment.variant(wanted["name"])
                if variant is not None:
                    variant.weight = wanted["weight"]
                    wanted["instances"] = variant.size
        self._records.in_service(name, plan, reason=reason)

    def _tear_down(self, name: str, live: LiveEndpoint | None) -> None:
        if live is not None:
            self._end(live)
        # Until what was begun for this endpoint is over, its name must not be given again.
        current = threading.current_thread()
        with self._lock:
            others = [t for t in self._threads if t.name == current.name and t is not current]
        for thread in others:
            thread.join()
        self.clean(name)
        self._records.forget(name)

    def _end(self, live: LiveEndpoint, *, drain: bool = True) -> None:
        limits = self._around.limits
        try:
            live.deployment.stop(limits.invocation if drain else 0, limits.server_stop)
        finally:
            with self._lock:
                self._running.discard(live)
            for capture in live.captures.values():
                capture.flush()

    def _deploy(self, name: str, plan: Document) -> LiveEndpoint:
        """Have the servers of a plan, all of them ready.

        Raises:
            DeployFailed: when they cannot be had; none is left then.
        """
        deployment = Deployment(self._around, name, plan, self._folder / name, self._given_up(name))
        try:
            live = LiveEndpoint(deployment, self._captures(name, deployment))
        except ValueError as error:
            raise DeployFailed(str(error)) from error
        with self._lock:
            if self._closing:
                raise DeployFailed("The local platform is being stopped.")
            self._running.add(live)
        try:
            deployment.start()
        except BaseException as error:
            with self._lock:
                self._running.discard(live)
            if isinstance(error, DeployFailed):
                raise DeployFailed(str(error)[:REASON_LIMIT]) from error
            _log.exception("endpoint %s", name)
            reason = internal_reason(f"{type(error).__name__}: {error}")
            raise DeployFailed(reason[:REASON_LIMIT]) from error
        return live

    def _take_over(self, name: str, live: LiveEndpoint) -> bool:
        """Send requests to the deployment from now on, or end it if the endpoint is gone."""
        with self._lock:
            endpoint = self._records.find(name)
            gone = endpoint is None or endpoint["EndpointStatus"] == "Deleting"
            if not gone and not self._closing:
                self._live[name] = live
                return True
        self._end(live, drain=False)
        return False

    def _given_up(self, name: str) -> Callable[[Deployment, str], None]:
        def given_up(deployment: Deployment, reason: str) -> None:
            with self._lock:
                live = self._live.get(name)
                if self._closing or live is None or live.deployment is not deployment:
                    return
                del self._live[name]
            self._records.change(name, EndpointStatus="Failed", FailureReason=reason)
            # Not here: this is the thread of a server, for whose end the deployment waits.
            self._spawn(name, lambda: self._end(live, drain=False))

        return given_up

    def _status(self, name: str) -> str:
        return "InService" if self.find(name) else "Failed"

    def _spawn(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        def guarded() -> None:
            try:
                work(*arguments)
            except Exception:
                _log.exception("endpoint %s", name)
                self._records.change(
                    name, EndpointStatus=self._status(name), FailureReason=internal_reason()
                )
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=guarded, name=f"endpoint-{name}", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

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
                folder=self._folder / _CAPTURES,
                interval=self._around.limits.capture_interval,
                on_failure=variant.note,
            )
        return found
