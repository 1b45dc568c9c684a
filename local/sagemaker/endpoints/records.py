"""What is known of each endpoint: its record, its plan, and the events of its changes."""

import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from local.sagemaker import quotas
from local.sagemaker.arns import Arns
from local.sagemaker.endpoints import plans
from local.sagemaker.errors import invalid
from local.sagemaker.events import Events
from local.sagemaker.quotas import Demand, Quotas
from local.sagemaker.resources import Resources
from local.sagemaker.store import Document, Store
from local.sagemaker.tags import Tags

KIND = "endpoint"
_PLAN = "endpoint-plan"
_IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class Records:
    """Keeps endpoints, and tells of every new status."""

    def __init__(
        self, store: Store, arns: Arns, tags: Tags, events: Events, allowed: Quotas
    ) -> None:
        self._endpoints = Resources(
            store,
            arns,
            tags,
            kind=KIND,
            noun="Endpoint",
            taken=lambda arn: invalid(f'Cannot create already existing endpoint "{arn}".'),
            missing=lambda arn: invalid(f'Could not find endpoint "{arn}".'),
            # CreateEndpoint's page: "The name is case-insensitive in CreateEndpoint, but the case
            # is preserved and must be matched in InvokeEndpoint."
            ignores_case=True,
        )
        self._store = store
        self._events = events
        self._quotas = allowed
        self._frozen = threading.Event()
        self.find = self._endpoints.find
        self.get = self._endpoints.get
        self.all = self._endpoints.all
        self.page = self._endpoints.page

    def create(self, params: Mapping[str, Any], plan: Document) -> Document:
        """Keep a new endpoint that is being created.

        Raises:
            ServiceError: when the name is taken, the tags are not allowed, or a quota is exceeded.
        """
        self._endpoints.refuse_taken(params["EndpointName"])
        with self._quotas.room(quotas.of_plan(plan)):
            endpoint = self._endpoints.create(
                params,
                {
                    "EndpointConfigName": params["EndpointConfigName"],
                    "EndpointStatus": "Creating",
                    "LastModifiedTime": time.time(),
                },
            )
            self.keep_plan(params["EndpointName"], plan)
        self._tell(endpoint)
        return endpoint

    def begin(
        self,
        name: str,
        status: str,
        *,
        in_progress_ok: tuple[str, ...] = (),
        adding: Demand | None = None,
        **changes: object,
    ) -> Document:
        """Move an endpoint that is at rest into a state of change.

        Args:
            name: The endpoint.
            status: Its state until the change is over.
            in_progress_ok: Other changes that may be cut off by this one.
            adding: The instances that it takes beside those it has, until the change is over.
            changes: What else is written into its record.

        Raises:
            ServiceError: when there is none of the name, it is not at rest, or a quota is exceeded.
        """
        self.get(name)

        def edit(endpoint: Document) -> None:
            before = endpoint["EndpointStatus"]
            if before in _IN_PROGRESS and before not in in_progress_ok:
                raise invalid(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
            endpoint.update(EndpointStatus=status, LastModifiedTime=time.time(), **changes)
            endpoint.pop("FailureReason", None)

        with self._quotas.room(adding) if adding else nullcontext():
            changed = self._endpoints.change(name, edit)
            if adding and changed:
                self._quotas.add(name, adding)
        if changed is None:
            return self.get(name)
        self._tell(changed)
        return changed

    def in_service(
        self,
        name: str,
        plan: Document,
        deployment_config: Document | None = None,
        reason: str | None = None,
    ) -> None:
        """Write down that an endpoint serves as planned, and why not as was asked."""
        changes: dict[str, Any] = {
            "EndpointConfigName": plan["config"],
            "ProductionVariants": plans.shown_variants(plan),
            "DataCaptureConfig": plans.shown_capture(plan),
            "EndpointStatus": "InService",
            "PendingDeploymentSummary": None,
            "FailureReason": reason,
        }
        if deployment_config:
            changes["LastDeploymentConfig"] = deployment_config
        self.change(name, **changes)

    def change(self, name: str, **changes: object) -> None:
        """Write into the record, tell of a new status; None takes a member away."""
        if self._frozen.is_set():
            return

        def edit(endpoint: Document) -> None:
            if endpoint["EndpointStatus"] == "Deleting":
                return
            endpoint.update(changes, LastModifiedTime=time.time())
            for member in [key for key, value in endpoint.items() if value is None]:
                del endpoint[member]

        changed = self._endpoints.change(name, edit)
        if changed and changed["EndpointStatus"] != "Deleting":
            self._tell(changed)

    def freeze(self) -> None:
        """Let no change in any more: what ends with the platform comes back at its next start."""
        self._frozen.set()

    def plan(self, name: str) -> Document | None:
        """Find what an endpoint serves, or is to serve first."""
        return self._store.get(_PLAN, name)

    def keep_plan(self, name: str, plan: Document) -> None:
        """Keep what an endpoint serves from now on."""
        self._store.put(_PLAN, name, plan)

    def forget(self, name: str) -> None:
        """Forget an endpoint that is no more."""
        self._store.delete(_PLAN, name)
        self._endpoints.delete(name)

    def _tell(self, endpoint: Document) -> None:
        self._events.endpoint(endpoint, self._endpoints.tags(endpoint["EndpointName"]))
