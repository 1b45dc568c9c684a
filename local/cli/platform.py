"""`smp up | down | status | env`."""

import json
import shlex
import time
from enum import StrEnum
from typing import Annotated

import psutil
import typer
from rich.markup import escape
from rich.table import Table

from local import confinement
from local.cli.aws import Aws
from local.cli.console import Steps, err, itself, out, size
from local.platform import lifecycle, server
from local.platform.home import PREFIX, default_home
from local.platform.lifecycle import Platform


class Shell(StrEnum):
    """For whom `env` prints."""

    shell = "shell"
    fish = "fish"
    json = "json"


def up(
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help=f"Where it listens on 127.0.0.1; {server.DEFAULT_PORT} unless said.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start the platform and deploy every stack; find it, and deploy what changed, if it runs."""
    began = time.monotonic()
    platform = bring_up(port)
    words = "found and brought up to date" if platform.found else "ready"
    err.print(
        f"[bold green]The platform is {words}[/] at {platform.url}"
        f" after {time.monotonic() - began:.1f} s."
    )
    err.print(f"  Confinement:          {confinement.offered().summary}.")
    smp = itself()
    err.print(f'  Point a shell at it:  eval "$({smp} env)"')
    err.print(f"  Train on it:          {smp} demo, or {smp} train REQUEST.json")
    err.print(f"  End it:               {smp} down")


def bring_up(port: int | None = None) -> Platform:
    """Bring the platform up with its steps shown."""
    with Steps() as steps:
        return lifecycle.up(default_home(), port, steps)


def down() -> None:
    """End the platform with all its processes, and remove everything that it kept."""
    home = default_home()
    if not home.path.exists():
        err.print("No platform runs here.")
        return
    count = lifecycle.down(home, lambda text: err.print(escape(text)))
    err.print(f"Ended {count} process{'' if count == 1 else 'es'} and removed {home.path}.")


def env(
    form: Annotated[Shell, typer.Option("--format", help="For which reader.")] = Shell.shell,
    account: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="A further account, twelve digits: its own administrator, made when first named.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Print the variables that point boto3, the AWS CLI and the SDKs at the platform.

    Use it as: eval "$(smp env)"
    """
    platform = lifecycle.attach(default_home())
    key = lifecycle.further_account(platform, account) if account else platform.credentials
    variables = key.variables(platform.url)
    if form is Shell.json:
        typer.echo(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        text = (
            f"set -gx {name} {shlex.quote(value)};"
            if form is Shell.fish
            else f"export {name}={shlex.quote(value)}"
        )
        typer.echo(text)


def status() -> None:
    """Show what runs: server, stacks, endpoints, notebooks and jobs, and the memory it takes."""
    home = default_home()
    platform = lifecycle.attach(home)
    aws = Aws(platform)
    process = platform.server.process
    if process is None:
        return
    rows = [process, *process.children(recursive=True)]
    seconds = time.time() - process.create_time()
    out.print(
        f"[bold]Server[/]   {platform.url}  process {process.pid}  up"
        f" {seconds / 60:.0f} min  {size(memory(rows))} in {len(rows)} processes"
    )
    out.print(f"[bold]Folder[/]   {escape(str(home.path))}")
    out.print(f"[bold]Confinement[/]   {confinement.offered().summary}")
    _stacks(aws)
    _endpoints(aws)
    _notebooks(aws)
    _jobs(aws)


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


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _stacks(aws: Aws) -> None:
    table = _table("Stacks", "name", "status")
    pages = aws.cloudformation.get_paginator("describe_stacks").paginate()
    for stack in (stack for page in pages for stack in page["Stacks"]):
        if stack["StackName"].startswith(PREFIX):
            table.add_row(stack["StackName"], stack["StackStatus"])
    out.print(table)


def _endpoints(aws: Aws) -> None:
    table = _table("Endpoints", "name", "status", "reason")
    client = aws.sagemaker
    for endpoint in client.list_endpoints()["Endpoints"]:
        name = endpoint["EndpointName"]
        reason = ""
        if endpoint["EndpointStatus"] == "Failed":
            reason = client.describe_endpoint(EndpointName=name).get("FailureReason", "")
        table.add_row(name, endpoint["EndpointStatus"], escape(reason))
    out.print(table if table.rows else "Endpoints: none. Deploy one with: smp deploy")


def _notebooks(aws: Aws) -> None:
    table = _table("Notebook instances", "name", "status", "type")
    pages = aws.sagemaker.get_paginator("list_notebook_instances").paginate()
    for notebook in (notebook for page in pages for notebook in page["NotebookInstances"]):
        table.add_row(
            notebook["NotebookInstanceName"],
            notebook["NotebookInstanceStatus"],
            notebook["InstanceType"],
        )
    out.print(table if table.rows else "Notebook instances: none.")


def _jobs(aws: Aws) -> None:
    table = _table("Training jobs (newest first)", "name", "status", "created")
    jobs = aws.sagemaker.list_training_jobs(
        MaxResults=10, SortBy="CreationTime", SortOrder="Descending"
    )["TrainingJobSummaries"]
    for job in jobs:
        created = job["CreationTime"].astimezone().strftime("%H:%M:%S")
        table.add_row(job["TrainingJobName"], job["TrainingJobStatus"], created)
    out.print(table if table.rows else "Training jobs: none. Start one with: smp train")
