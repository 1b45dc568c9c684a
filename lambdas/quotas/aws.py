"""What SageMaker and Service Quotas say, and what is written to CloudWatch."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from common.log import decided
from quotas import table
from quotas.use import Instances, Level

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_cloudwatch.type_defs import MetricDatumTypeDef
    from types_boto3_sagemaker import SageMakerClient
    from types_boto3_service_quotas import ServiceQuotasClient

NAMESPACE = "SageMakerPlatform/Quotas"
_RUNNING_JOBS: tuple[Literal["InProgress", "Stopping"], ...] = ("InProgress", "Stopping")
# A stopped notebook has given its instance back; a failed one too.
_STOPPED_NOTEBOOKS = ("Stopped", "Failed", "Deleting")
# What SageMaker says of an endpoint or a configuration that is no more.
_GONE = "Could not find"


def instances(sagemaker: "SageMakerClient", uses: Collection[table.Use]) -> Iterator[Instances]:
    """The instances that the account has now for any of the uses."""
    if "training" in uses or "spot" in uses:
        yield from _training(sagemaker)
    if "endpoint" in uses:
        yield from _endpoints(sagemaker)
    if "notebook" in uses:
        yield from _notebooks(sagemaker)


def _training(sagemaker: "SageMakerClient") -> Iterator[Instances]:
    jobs = sagemaker.get_paginator("list_training_jobs")
    for status in _RUNNING_JOBS:
        for page in jobs.paginate(StatusEquals=status, PaginationConfig={"PageSize": 100}):
            for summary in page["TrainingJobSummaries"]:
                yield from _of_job(sagemaker, summary["TrainingJobName"])


def _of_job(sagemaker: "SageMakerClient", name: str) -> Iterator[Instances]:
    job = sagemaker.describe_training_job(TrainingJobName=name)
    use: table.Use = "spot" if job.get("EnableManagedSpotTraining") else "training"
    resources = job["ResourceConfig"]
    groups = resources.get("InstanceGroups")
    if not groups:
        yield Instances(use, resources["InstanceType"], resources["InstanceCount"])
    for group in groups or []:
        yield Instances(use, group["InstanceType"], group["InstanceCount"])


def _endpoints(sagemaker: "SageMakerClient") -> Iterator[Instances]:
    pages = sagemaker.get_paginator("list_endpoints")
    for page in pages.paginate(PaginationConfig={"PageSize": 100}):
        for summary in page["Endpoints"]:
            if summary["EndpointStatus"] != "Failed":
                yield from _of_endpoint(sagemaker, summary["EndpointName"])


def _of_endpoint(sagemaker: "SageMakerClient", name: str) -> Iterator[Instances]:
    try:
        endpoint = sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        if _GONE not in str(error):
            raise
        # Deleted since it was listed.
        return
    counts = {
        variant["VariantName"]: variant.get("CurrentInstanceCount", 0)
        for variant in endpoint.get("ProductionVariants", [])
    }
    yield from _of_config(sagemaker, endpoint["EndpointConfigName"], counts)
    pending = endpoint.get("PendingDeploymentSummary")
    if pending:
        yield from _of_config(sagemaker, pending["EndpointConfigName"], {})


def _of_config(
    sagemaker: "SageMakerClient", name: str, counts: Mapping[str, int]
) -> Iterator[Instances]:
    """What an endpoint has of a configuration: as many as it says, else as the configuration."""
    try:
        config = sagemaker.describe_endpoint_config(EndpointConfigName=name)
    except ClientError as error:
        if _GONE not in str(error):
            raise
        # The endpoint goes on without it, and nothing else knows the type of its instances.
        decided("type unknown", config=name, instances=sum(counts.values()))
        yield Instances("endpoint", "unknown type", sum(counts.values()))
        return
    for variant in config["ProductionVariants"]:
        # A serverless variant has no instances.
        if "InstanceType" in variant:
            first = variant.get("InitialInstanceCount", 0)
            count = counts.get(variant["VariantName"], first)
            yield Instances("endpoint", variant["InstanceType"], count)


def _notebooks(sagemaker: "SageMakerClient") -> Iterator[Instances]:
    pages = sagemaker.get_paginator("list_notebook_instances")
    for page in pages.paginate(PaginationConfig={"PageSize": 100}):
        for one in page["NotebookInstances"]:
            runs = one["NotebookInstanceStatus"] not in _STOPPED_NOTEBOOKS
            yield Instances("notebook", one["InstanceType"], 1, runs=runs)


def limit(quotas: "ServiceQuotasClient", name: str) -> float:
    """What the account is allowed of a quota; AWS's default where nothing was ever changed."""
    code = table.codes()[name]
    try:
        found = quotas.get_service_quota(ServiceCode=table.SERVICE, QuotaCode=code)["Quota"]
    except quotas.exceptions.NoSuchResourceException:
        found = quotas.get_aws_default_service_quota(ServiceCode=table.SERVICE, QuotaCode=code)[
            "Quota"
        ]
    return found["Value"]


def publish(cloudwatch: "CloudWatchClient", environment: str, levels: Iterable[Level]) -> None:
    """Write the level of each quota as a metric of the quota's name."""
    data: list[MetricDatumTypeDef] = [
        {
            "MetricName": level.quota,
            "Dimensions": [{"Name": "Environment", "Value": environment}],
            "Unit": "Percent",
            "Value": level.percent,
        }
        for level in levels
    ]
    if data:
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)
