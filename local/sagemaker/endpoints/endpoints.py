"""The operations on endpoints."""

import copy
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.sagemaker import quotas
from local.sagemaker.endpoints import plans
from local.sagemaker.endpoints.records import Records
from local.sagemaker.endpoints.rollouts import LiveEndpoint, Rollouts
from local.sagemaker.errors import invalid
from local.sagemaker.events import Events
from local.sagemaker.models import EndpointConfigs, Models, too_many_instances
from local.sagemaker.store import Document, Store
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.tags import Tags


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
        self._records = Records(store, around.arns, tags, events, around.quotas)
        self._rollouts = Rollouts(self._records, around, folder)
        self._models = models
        self._configs = configs
        self._around = around
        self.find = self._rollouts.find
        self.close = self._rollouts.close

    def start(self) -> None:
        """Bring the endpoints of the store up again, each in the background."""
        self._rollouts.clean()
        for endpoint in self._records.all():
            name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
            plan = self._records.plan(name)
            if status == "Deleting":
                self._records.forget(name)
            elif status != "Failed" and plan is not None:
                if status != "Creating":
                    self._records.change(name, EndpointStatus="SystemUpdating")
                self._rollouts.create(name, plan)

    def kill(self, name: str) -> None:
        """End the server processes of an endpoint as a crash would."""
        live: LiveEndpoint | None = self.find(name)
        for variant in live.deployment.variants if live else []:
            variant.kill()

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateEndpoint; the servers come up in the background."""
        plan = self._plan(self._configs.get(params["EndpointConfigName"]))
        endpoint = self._records.create(params, plan)
        self._rollouts.create(params["EndpointName"], plan, params.get("DeploymentConfig"))
        return {"EndpointArn": endpoint["EndpointArn"]}

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeEndpoint."""
        return self._records.get(params["EndpointName"])

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListEndpoints."""
        return self._records.page(params, "Endpoints", ("LastModifiedTime", "EndpointStatus"))

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer UpdateEndpoint: new servers come up first, then take over, then the old end."""
        name = params["EndpointName"]
        self._records.get(name)
        plan = self._plan(self._configs.get(params["EndpointConfigName"]))
        if params.get("RetainAllVariantProperties"):
            excluded = {
                entry["VariantPropertyType"]
                for entry in params.get("ExcludeRetainedVariantProperties", [])
            }
            plans.retain(plan, self._records.plan(name) or plan, excluded)
        endpoint = self._records.begin(
            name,
            "Updating",
            adding=quotas.of_plan(plan),
            PendingDeploymentSummary={
                "EndpointConfigName": plan["config"],
                "ProductionVariants": plans.shown_variants(plan),
                "StartTime": time.time(),
            },
        )
        deployment_config = params.get("DeploymentConfig")
        if params.get("RetainDeploymentConfig"):
            deployment_config = endpoint.get("LastDeploymentConfig")
        self._rollouts.update(name, plan, deployment_config)
        return {"EndpointArn": endpoint["EndpointArn"]}

    def update_weights(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer UpdateEndpointWeightsAndCapacities."""
        name = params["EndpointName"]
        self._records.get(name)
        plan = self._records.plan(name) or {"variants": []}
        before = copy.deepcopy(plan)
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
        adding = quotas.of_rescaling(before, plan)
        endpoint = self._records.begin(name, "Updating", adding=adding)
        self._rollouts.rebalance(name, plan)
        return {"EndpointArn": endpoint["EndpointArn"]}

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteEndpoint; the answer comes when no request is taken any more."""
        name = params["EndpointName"]
        self._records.begin(name, "Deleting", in_progress_ok=("Creating",))
        self._rollouts.delete(name)
        return {}

    def _plan(self, config: Mapping[str, Any]) -> Document:
        return plans.drawn_up(config, self._models, self._around.programs)
