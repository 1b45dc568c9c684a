"""Service quotas: what is allowed, what is used, and the refusal of what does not fit.

What is used is counted from the store each time, so that nothing can drift: a job that ends, an
endpoint that fails or a platform that is killed gives back what it held.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from local.sagemaker import quota_values
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.store import Store
from quotas import table

_KIND = "quota"
_ADDED = "endpoint-added"
_RUNNING_JOBS = ("InProgress", "Stopping")
_RUNNING_NOTEBOOKS = ("Pending", "InService", "Updating", "Stopping")
# How AWS names the resources of a use where it refuses a type that it does not have.
_RESOURCE: Mapping[table.Use, str] = {
    "training": "training-job",
    "spot": "training-job",
    "endpoint": "endpoint",
    "notebook": "notebook-instance",
}


@dataclass(frozen=True)
class Demand:
    """Instances that something takes, by their type, and how many it adds to those of its use."""

    use: table.Use
    types: Mapping[str, int]
    total: int
    # Set for a whole job or endpoint, whose size is limited too.
    size: int = 0

    def quotas(self) -> Iterator[tuple[str, int]]:
        """The quotas that count it, the narrowest first, and how much each is asked for."""
        for instance_type, count in self.types.items():
            yield table.of_type(self.use, instance_type), count
        yield table.TOTAL[self.use], self.total


def of_job(job: Mapping[str, Any]) -> Demand:
    """What a training job takes, by its request or its record."""
    resources = job["ResourceConfig"]
    types: Counter[str] = Counter()
    for group in resources.get("InstanceGroups") or [resources]:
        types[group["InstanceType"]] += group["InstanceCount"]
    use: table.Use = "spot" if job.get("EnableManagedSpotTraining") else "training"
    return Demand(use, types, types.total(), size=types.total())


def of_plan(plan: Mapping[str, Any]) -> Demand:
    """What the servers of an endpoint take, by its plan."""
    types: Counter[str] = Counter()
    for variant in plan["variants"]:
        types[variant["instance_type"]] += variant["instances"]
    return Demand("endpoint", types, types.total(), size=types.total())


def of_rescaling(before: Mapping[str, Any], after: Mapping[str, Any]) -> Demand:
    """What an endpoint takes in addition when its variants get other numbers of instances."""
    more, now = Counter(of_plan(after).types), of_plan(after).total
    more.subtract(of_plan(before).types)
    return Demand("endpoint", more, more.total(), size=now)


def of_notebook(instance_type: str, *, new: bool, runs: bool = True) -> Demand:
    """What a notebook instance takes: a `new` one counts among all, a running one for its type."""
    return Demand("notebook", {instance_type: int(runs)}, int(new))


class Quotas:
    """The limits of the account, and the one door through which comes what they limit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()

    def limit(self, name: str) -> int:
        """How much is allowed of an enforced quota."""
        changed = self._store.get(_KIND, table.codes()[name])
        return int(changed["value"]) if changed else quota_values.at_first(name)

    def change(self, code: str, value: int) -> None:
        """Allow so much from now on; what runs goes on, however little that is."""
        self._store.put(_KIND, code, {"code": code, "value": value})

    def changed(self) -> set[str]:
        """Codes of the quotas that somebody has changed."""
        return {document["code"] for document in self._store.all(_KIND)}

    def in_use(self) -> Counter[str]:
        """How much of each quota is used now, by the quota's name."""
        used: Counter[str] = Counter()
        for demand in self._demands():
            for name, count in demand.quotas():
                used[name] += count
        return used

    @contextmanager
    def room(self, demand: Demand) -> Iterator[None]:
        """Record within what takes `demand`, if it fits; no other thread gets in meanwhile.

        Raises:
            ServiceError: AWS's refusal, for the first quota that would be exceeded.
        """
        largest = table.LARGEST.get(demand.use)
        if largest and demand.size > self.limit(largest):
            raise _exceeded(largest, self.limit(largest), 0, demand.size)
        with self._lock:
            used = self.in_use()
            for name, more in demand.quotas():
                if name not in table.codes():
                    resource = f"{_RESOURCE[demand.use]}/{name.split()[0]}"
                    raise invalid(
                        f"The requested resource {resource} is not available in this region"
                    )
                limit = self.limit(name)
                if more > 0 and used[name] + more > limit:
                    raise _exceeded(name, limit, used[name], more)
            yield

    def add(self, endpoint: str, demand: Demand) -> None:
        """Count this beside what an endpoint serves, as long as it is being updated."""
        more = {name: count for name, count in demand.types.items() if count > 0}
        self._store.put(_ADDED, endpoint, {"types": more})

    def _demands(self) -> Iterable[Demand]:
        for job in self._store.having("training-job", "TrainingJobStatus", _RUNNING_JOBS):
            yield of_job(job)
        for endpoint in self._store.all("endpoint"):
            yield from self._of_endpoint(endpoint["EndpointName"], endpoint["EndpointStatus"])
        for notebook in self._store.all("notebook-instance"):
            runs = notebook["NotebookInstanceStatus"] in _RUNNING_NOTEBOOKS
            yield of_notebook(notebook["InstanceType"], new=True, runs=runs)

    def _of_endpoint(self, name: str, status: str) -> Iterable[Demand]:
        plan = self._store.get("endpoint-plan", name)
        if plan and status != "Failed":
            yield of_plan(plan)
        # As on AWS, an update takes new instances before it gives the old ones back.
        added = self._store.get(_ADDED, name) if status == "Updating" else None
        if added:
            yield Demand("endpoint", added["types"], sum(added["types"].values()))


def _exceeded(name: str, limit: int, used: int, more: int) -> ServiceError:
    unit = "NotebookInstances" if name == table.TOTAL["notebook"] else "Instances"
    return ServiceError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{name}' is {limit} {unit}, with current utilization of "
        f"{used} {unit} and a request delta of {more} {unit}. Please use AWS Service Quotas to "
        "request an increase for this quota. If AWS Service Quotas is not available, contact AWS "
        "support to request an increase for this quota.",
    )
