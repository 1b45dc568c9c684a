"""The SageMaker service: its API, its jobs and its endpoints, on one folder of state."""

import datetime
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from environments import retirement
from local.confinement import Confinement, offered
from local.sagemaker import errors, listing, permissions, regions, validation, wire
from local.sagemaker.arns import Arns
from local.sagemaker.containers import Containers
from local.sagemaker.endpoints.endpoints import Endpoints
from local.sagemaker.endpoints.invocation import Invocations
from local.sagemaker.endpoints.measures import Measures
from local.sagemaker.errors import ServiceError
from local.sagemaker.events import Events
from local.sagemaker.faults import Faults
from local.sagemaker.images import AlgorithmsRuntime, Runtime
from local.sagemaker.limits import Limits
from local.sagemaker.models import EndpointConfigs, Models
from local.sagemaker.notebooks.instances import NotebookInstances
from local.sagemaker.notebooks.lifecycle import LifecycleConfigs
from local.sagemaker.notebooks.repositories import CodeRepositories
from local.sagemaker.permissions import Permission
from local.sagemaker.ports import Aws
from local.sagemaker.processes import Processes
from local.sagemaker.programs import Programs
from local.sagemaker.quotas import Quotas
from local.sagemaker.registry import Registry
from local.sagemaker.search import Search
from local.sagemaker.service_quotas import ServiceQuotas
from local.sagemaker.store import Store
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.tags import Tags
from local.sagemaker.training.jobs import TrainingJobs

Operation = Callable[[dict[str, Any], str], dict[str, Any]]

# Operations wait for S3 and other services of the platform, which are asked over HTTP.
_AT_ONCE = 32


class SageMakerService:
    """SageMaker for one account and region, acting in the AWS that it is given."""

    def __init__(
        self,
        aws: Aws,
        state: Path,
        *,
        runtime: Runtime | None = None,
        containers: Containers | None = None,
        limits: Limits | None = None,
        confinement: Confinement | None = None,
        today: Callable[[], datetime.date] = lambda: datetime.datetime.now(datetime.UTC).date(),
    ) -> None:
        self.faults = Faults()
        self._today = today
        self._aws = aws
        self._arns = Arns(aws.region, aws.account)
        self._store = Store(state / "sagemaker.sqlite")
        # Beside its state, the platform's folder holds the administrator's key.
        confinement = confinement or Confinement(offered(), state.absolute().parents[1])
        self._processes = Processes(self._store, confinement)
        self.quotas = Quotas(self._store)
        limits = limits or Limits()
        self._containers = containers
        programs = Programs(aws, runtime or AlgorithmsRuntime(), self._processes, containers)
        around = Surroundings(aws, self._arns, programs, limits, self.quotas, confinement)
        self._tags = tags = Tags(self._store)
        events = Events(aws, self.faults)
        self._registry = registry = Registry(self._store, self._arns, tags, events)
        models = Models(self._store, self._arns, tags, registry, programs)
        configs = EndpointConfigs(self._store, self._arns, tags, models, limits)
        self.jobs = TrainingJobs(
            self._store, tags, events, self.faults, around, state.absolute() / "jobs"
        )
        self.endpoints = Endpoints(
            self._store, tags, events, models, configs, around, state.absolute() / "endpoints"
        )
        scripts = LifecycleConfigs(self._store, self._arns, tags)
        repositories = CodeRepositories(self._store, self._arns, tags)
        self.notebooks = NotebookInstances(
            self._store,
            tags,
            events,
            scripts,
            repositories,
            around,
            state.absolute() / "notebooks",
            today,
        )
        self._measures = Measures(aws, limits.metrics_interval)
        self._invocations = Invocations(
            self.endpoints.find,
            account=aws.account,
            region=aws.region,
            limits=limits,
            measures=self._measures,
        )
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="sagemaker")
        self.service_quotas = ServiceQuotas(
            self._store, self.quotas, self._arns, self.faults, self._workers
        )
        self._operations = _operations(
            self.jobs, models, configs, self.endpoints, registry, tags, Search(self._store, tags)
        ) | _notebook_operations(self.notebooks, scripts, repositories)

    def start(self) -> None:
        """Take up what the state holds: endpoints come back, jobs that were cut off have failed."""
        self._processes.end_left_over()
        if self._containers is not None:
            self._containers.remove_left_over()
        self.jobs.start()
        self.endpoints.start()
        self.notebooks.start()

    def close(self) -> None:
        """End every process of a job, endpoint or notebook; what is stored stays."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        self.jobs.close()
        self.notebooks.close()
        self.endpoints.close()
        self._measures.close()
        if self._containers is not None:
            self._containers.close()
        self._store.close()

    def call(
        self, operation: str, params: Mapping[str, Any], *, caller_arn: str = ""
    ) -> dict[str, Any]:
        """Do one control plane operation; times are epoch seconds.

        Raises:
            ServiceError: what AWS would answer in place of a result.
        """
        validation.operation_model(operation)
        handler = self._operations.get(operation)
        if handler is None:
            closed = retirement.of_operation(operation, self._today())
            offered = ", ".join(sorted(self._operations))
            raise errors.not_offered(operation, offered, closed.sentence if closed else "")
        self.faults.wait()
        if self.faults.throttles(operation):
            raise errors.throttled()
        given = validation.checked(operation, params)
        regions.check(operation, given, self._arns.region)
        result = handler(given, caller_arn)
        if self.faults.drops_response(operation):
            raise ServiceError("InternalFailure", "The answer was lost (an injected fault).", 500)
        return result

    def required_permissions(self, operation: str, params: Mapping[str, Any]) -> list[Permission]:
        """List what the caller must be allowed; `params` are taken as they were sent."""
        return permissions.required(
            self._arns, operation, params, self._registry.next_version, self._tags.of
        )

    async def handle(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: object = None,
        *,
        caller_arn: str = "",
    ) -> wire.Answer:
        """Answer a control plane request of the JSON 1.1 protocol."""
        return await wire.answered(
            self._workers,
            wire.operation(headers, "SageMaker.") or f"{method} {path}",
            body,
            lambda operation, params: self.call(operation, params, caller_arn=caller_arn),
        )

    async def handle_runtime(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: object = None,
    ) -> wire.Answer:
        """Answer `POST /endpoints/NAME/invocations`."""
        return await self._invocations.answer(method, path, headers, body)


def _operations(
    jobs: TrainingJobs,
    models: Models,
    configs: EndpointConfigs,
    endpoints: Endpoints,
    registry: Registry,
    tags: Tags,
    search: Search,
) -> dict[str, Operation]:
    """Name every operation that is offered."""
    without_caller: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "CreateTrainingJob": jobs.create,
        "DescribeTrainingJob": jobs.describe,
        "ListTrainingJobs": jobs.list,
        "StopTrainingJob": jobs.stop,
        "CreateModel": models.create,
        "DescribeModel": models.describe,
        "DeleteModel": models.delete,
        "ListModels": models.list,
        "CreateEndpointConfig": configs.create,
        "DescribeEndpointConfig": configs.describe,
        "DeleteEndpointConfig": configs.delete,
        "ListEndpointConfigs": configs.list,
        "CreateEndpoint": endpoints.create,
        "DescribeEndpoint": endpoints.describe,
        "UpdateEndpoint": endpoints.update,
        "UpdateEndpointWeightsAndCapacities": endpoints.update_weights,
        "DeleteEndpoint": endpoints.delete,
        "ListEndpoints": endpoints.list,
        "DescribeModelPackageGroup": registry.describe_group,
        "DeleteModelPackageGroup": registry.delete_group,
        "ListModelPackageGroups": registry.list_groups,
        "DescribeModelPackage": registry.describe_package,
        "DeleteModelPackage": registry.delete_package,
        "ListModelPackages": registry.list_packages,
        "AddTags": tags.add,
        "ListTags": tags.list,
        "DeleteTags": tags.delete,
        # There are none, since none can be created here; a listing of none is the truth.
        "ListMonitoringSchedules": lambda params: {
            "MonitoringScheduleSummaries": listing.page([], params, name="")[0]
        },
        "Search": search.search,
    }
    with_caller: dict[str, Operation] = {
        "CreateModelPackageGroup": registry.create_group,
        "CreateModelPackage": registry.create_package,
        "UpdateModelPackage": registry.update_package,
    }

    return {name: _ignoring(handler) for name, handler in without_caller.items()} | with_caller


def _notebook_operations(
    notebooks: NotebookInstances, scripts: LifecycleConfigs, repositories: CodeRepositories
) -> dict[str, Operation]:
    """Name every operation round notebook instances."""
    named: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "CreateNotebookInstance": notebooks.create,
        "DescribeNotebookInstance": notebooks.describe,
        "ListNotebookInstances": notebooks.list,
        "StartNotebookInstance": notebooks.start_instance,
        "StopNotebookInstance": notebooks.stop,
        "UpdateNotebookInstance": notebooks.update,
        "DeleteNotebookInstance": notebooks.delete,
        "CreatePresignedNotebookInstanceUrl": notebooks.presigned_url,
        "CreateNotebookInstanceLifecycleConfig": scripts.create,
        "DescribeNotebookInstanceLifecycleConfig": scripts.describe,
        "ListNotebookInstanceLifecycleConfigs": scripts.list,
        "UpdateNotebookInstanceLifecycleConfig": scripts.update,
        "DeleteNotebookInstanceLifecycleConfig": scripts.delete,
        "CreateCodeRepository": repositories.create,
        "DescribeCodeRepository": repositories.describe,
        "ListCodeRepositories": repositories.list,
        "UpdateCodeRepository": repositories.update,
        "DeleteCodeRepository": repositories.delete,
    }
    return {name: _ignoring(handler) for name, handler in named.items()}


def _ignoring(handler: Callable[[dict[str, Any]], dict[str, Any]]) -> Operation:
    return lambda params, caller: handler(params)
