"""`smp status`: what runs, since when, whose it is, and what it would cost on AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psutil
from botocore.exceptions import ClientError
from rich.markup import escape

from local import confinement
from local.cli import billing
from local.cli.aws import Aws
from local.cli.console import out, size
from local.cli.output import Json, print_json, print_table
from local.platform import lifecycle
from local.platform.home import ACCOUNT, PREFIX, REGION, default_home

if TYPE_CHECKING:
    from types_boto3_sagemaker import SageMakerClient

# How many jobs that have ended are shown.
_ENDED = 10
# By this tag the workflow's jobs name what began them.
_EXECUTION = "sagemaker-platform:execution"


def status(as_json: Json = False) -> None:
    """Show what runs: server, stacks, endpoints, notebooks and jobs, and the memory it takes.

    Of what is billed on AWS it shows when it was made, who answers for it, and what it costs.
    """
    home = default_home()
    platform = lifecycle.attach(home)
    aws = Aws(platform)
    process = platform.server.process
    if process is None:
        return
    rows = [process, *process.children(recursive=True)]
    prices = billing.Prices(REGION)
    document: dict[str, Any] = {
        "url": platform.url,
        "account": ACCOUNT,
        "region": REGION,
        "home": str(home.path),
        "process": process.pid,
        "started": _moment(datetime.fromtimestamp(process.create_time(), UTC)),
        "processes": len(rows),
        "memory_bytes": memory(rows),
        "confinement": confinement.offered().summary,
        "stacks": _stacks(aws),
        "endpoints": _endpoints(aws, prices),
        "notebooks": _notebooks(aws, prices),
        "training_jobs": _jobs(aws, prices),
    }
    billed = [*document["endpoints"], *document["notebooks"], *document["training_jobs"]]
    known = [one["usd_per_hour"] for one in billed if one["usd_per_hour"] is not None]
    document |= {
        "usd_per_hour": round(sum(known), 6),
        "unknown_prices": sorted(prices.missing),
        "prices_as_of": prices.as_of,
    }
    if as_json:
        print_json(document)
    else:
        _show(document, time.time() - process.create_time())


def memory(processes: list[psutil.Process]) -> int:
    """Resident bytes, with what is shared counted once where the system tells."""
    total = 0
    for process in processes:
        try:
            full = process.memory_full_info()
            total += getattr(full, "pss", 0) or full.rss
        except psutil.Error:
            continue
    return total


def _stacks(aws: Aws) -> list[dict[str, Any]]:
    pages = aws.cloudformation.get_paginator("describe_stacks").paginate()
    return [
        {"name": stack["StackName"], "status": stack["StackStatus"]}
        for page in pages
        for stack in page["Stacks"]
        if stack["StackName"].startswith(PREFIX)
    ]


def _endpoints(aws: Aws, prices: billing.Prices) -> list[dict[str, Any]]:
    client, found = aws.sagemaker, []
    pages = client.get_paginator("list_endpoints").paginate()
    for name in [one["EndpointName"] for page in pages for one in page["Endpoints"]]:
        one = client.describe_endpoint(EndpointName=name)
        config = client.describe_endpoint_config(EndpointConfigName=one["EndpointConfigName"])
        counts = {
            variant["VariantName"]: variant.get("CurrentInstanceCount", 0)
            for variant in one.get("ProductionVariants", [])
        }
        variants = [
            billing.Instances(
                variant.get("InstanceType"),
                counts.get(variant["VariantName"], 0) or variant.get("InitialInstanceCount", 0),
                variant.get("VolumeSizeInGB", 0),
            )
            for variant in config["ProductionVariants"]
        ]
        billed = one["EndpointStatus"] != "Failed"
        found.append(
            {
                "name": name,
                "status": one["EndpointStatus"],
                "reason": one.get("FailureReason", ""),
                **_instances(variants),
                "created": _moment(one["CreationTime"]),
                "owner": _owner(_tags(client, one["EndpointArn"])),
                "billed": billed,
                "usd_per_hour": prices.hourly("endpoint", variants) if billed else 0,
            }
        )
    return found


def _notebooks(aws: Aws, prices: billing.Prices) -> list[dict[str, Any]]:
    client, found = aws.sagemaker, []
    pages = client.get_paginator("list_notebook_instances").paginate()
    names = [one["NotebookInstanceName"] for page in pages for one in page["NotebookInstances"]]
    for name in names:
        one = client.describe_notebook_instance(NotebookInstanceName=name)
        # The volume is kept, and paid for, while the instance is stopped.
        running = one["NotebookInstanceStatus"] not in ("Stopped", "Failed")
        held = [billing.Instances(one["InstanceType"], 1, one.get("VolumeSizeInGB", 0))]
        found.append(
            {
                "name": name,
                "status": one["NotebookInstanceStatus"],
                "reason": one.get("FailureReason", ""),
                **_instances(held),
                "created": _moment(one["CreationTime"]),
                "owner": _owner(_tags(client, one["NotebookInstanceArn"])),
                "billed": True,
                "usd_per_hour": prices.hourly("notebook", held, running=running),
            }
        )
    return found


def _jobs(aws: Aws, prices: billing.Prices) -> list[dict[str, Any]]:
    """All jobs that run, however old, and the newest that have ended."""
    client = aws.sagemaker
    pages = [
        page
        for running in ("InProgress", "Stopping")
        for page in client.get_paginator("list_training_jobs").paginate(StatusEquals=running)
    ]
    pages.append(
        client.list_training_jobs(MaxResults=_ENDED, SortBy="CreationTime", SortOrder="Descending")
    )
    # A job that ends meanwhile is in two of the lists.
    times = {
        one["TrainingJobName"]: one["CreationTime"]
        for page in pages
        for one in page["TrainingJobSummaries"]
    }
    found = []
    for name in sorted(times, key=lambda name: times[name], reverse=True):
        one = client.describe_training_job(TrainingJobName=name)
        resources: Mapping[str, Any] = one["ResourceConfig"]
        each: Sequence[Mapping[str, Any]] = resources.get("InstanceGroups") or [resources]
        groups = [
            billing.Instances(
                group.get("InstanceType"),
                group.get("InstanceCount", 0),
                resources.get("VolumeSizeInGB", 0),
            )
            for group in each
        ]
        billed = one["TrainingJobStatus"] in ("InProgress", "Stopping")
        tags = _tags(client, one["TrainingJobArn"])
        found.append(
            {
                "name": name,
                "status": one["TrainingJobStatus"],
                "reason": one.get("FailureReason", ""),
                **_instances(groups),
                "created": _moment(one["CreationTime"]),
                "owner": _owner(tags) or _submitter(aws, tags.get(_EXECUTION, "")),
                "billed": billed,
                "usd_per_hour": prices.hourly("training", groups) if billed else 0,
            }
        )
    return found


def _instances(groups: Sequence[billing.Instances]) -> dict[str, Any]:
    """What runs it: the types of the instances, and how many these are in all."""
    types = dict.fromkeys(group.type for group in groups if group.type)
    return {"type": ", ".join(types), "instances": sum(group.count for group in groups)}


def _tags(client: SageMakerClient, arn: str) -> dict[str, str]:
    pages = client.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def _owner(tags: Mapping[str, str]) -> str | None:
    """Who answers for a resource, as its tags say; None where none does."""
    return tags.get("OwnerTeam") or tags.get("Owner") or tags.get("owner")


def _submitter(aws: Aws, execution: str) -> str | None:
    """Who sent the request of a job that the workflow began, as the request says itself."""
    if not execution:
        return None
    try:
        found = aws.stepfunctions.describe_execution(executionArn=execution)
    except ClientError:
        # It is older than executions are kept.
        return None
    provenance = json.loads(found.get("input") or "{}").get("provenance") or {}
    return provenance.get("submitted_by")


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _show(document: Mapping[str, Any], seconds: float) -> None:
    out.print(
        f"[bold]Server[/]   {document['url']}  process {document['process']}  up"
        f" {seconds / 60:.0f} min  {size(document['memory_bytes'])} in"
        f" {document['processes']} processes"
    )
    out.print(f"[bold]Folder[/]   {escape(document['home'])}")
    out.print(f"[bold]Confinement[/]   {document['confinement']}")
    stacks = [[stack["name"], stack["status"]] for stack in document["stacks"]]
    print_table(["name", "status"], stacks, "Stacks")
    _billed("Endpoints", document["endpoints"], "none. Deploy one with: smp deploy")
    _billed("Notebook instances", document["notebooks"], "none.")
    _billed("Training jobs", document["training_jobs"], "none. Start one with: smp train")
    out.print(
        f"[bold]On AWS[/]   ${document['usd_per_hour']:.3f} an hour ({document['region']}, on"
        f" demand, prices of {document['prices_as_of']}; here nothing is billed)"
    )
    for key in document["unknown_prices"]:
        out.print(f"  not counted, since unknown: {escape(key)}; {escape(billing.remedy(key))}")


def _billed(title: str, found: Iterable[Mapping[str, Any]], none: str) -> None:
    rows = [[*map(str, _row(one))] for one in found]
    if rows:
        columns = ["name", "status", "type", "created", "owner", "USD/hour on AWS", "reason"]
        print_table(columns, rows, title)
    else:
        out.print(f"{title}: {none}")


def _row(one: Mapping[str, Any]) -> list[str]:
    created = datetime.fromisoformat(one["created"]).astimezone().strftime("%Y-%m-%d %H:%M")
    cost = one["usd_per_hour"]
    words = "unknown" if cost is None else f"{cost:.4f}" if one["billed"] else ""
    kind = f"{one['instances']} x {one['type']}" if one["type"] else ""
    return [one["name"], one["status"], kind, created, one["owner"] or "", words, one["reason"]]
