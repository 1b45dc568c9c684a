"""`smp notebook list | start | stop | open | logs`."""

from __future__ import annotations

import time
import webbrowser
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from local.cli.aws import Aws
from local.cli.console import Steps, err, itself, out
from local.cli.logs import follow_lines
from local.cli.tailing import NOTEBOOK_GROUP, Tail
from local.platform.errors import PlatformError
from local.platform.home import PREFIX

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import DescribeNotebookInstanceOutputTypeDef

PAUSE = 0.2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Show notebook instances, start and stop them, open one in the browser, read its logs.",
)
Name = Annotated[
    str, typer.Argument(help="The instance's name, whole or as in the environment file.")
]


@app.command("list")
def listed() -> None:
    """Show the notebook instances."""
    client = Aws().sagemaker
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("Notebook", "status", "type", "why"):
        table.add_column(column, overflow="fold")
    for page in client.get_paginator("list_notebook_instances").paginate():
        for one in page["NotebookInstances"]:
            name, reason = one["NotebookInstanceName"], ""
            if one["NotebookInstanceStatus"] == "Failed":
                found = client.describe_notebook_instance(NotebookInstanceName=name)
                reason = found.get("FailureReason", "")
            table.add_row(name, one["NotebookInstanceStatus"], one["InstanceType"], escape(reason))
    out.print(table if table.rows else "Notebook instances: none.")


@app.command()
def start(name: Name) -> None:
    """Start a notebook instance and wait until it is in service."""
    aws = Aws()
    whole, found = _moved(aws, name, "start", "InService", "Pending")
    if found["NotebookInstanceStatus"] != "InService":
        raise PlatformError(
            f"start {whole}",
            found.get("FailureReason") or f"It is {found['NotebookInstanceStatus']}.",
            f"What its scripts printed: {itself()} notebook logs {name}",
        )
    err.print(f"Open it:  {itself()} notebook open {name}")


def _moved(
    aws: Aws, name: str, verb: Literal["start", "stop"], *there: str
) -> tuple[str, DescribeNotebookInstanceOutputTypeDef]:
    """Start or stop an instance that is not `there` yet, and wait until it has settled."""
    found = _find(aws, name)
    whole = found["NotebookInstanceName"]
    with Steps() as steps:
        step = f"{verb} {whole}"
        steps.begin(step)
        try:
            if found["NotebookInstanceStatus"] not in there:
                client = aws.sagemaker
                change = (
                    client.start_notebook_instance
                    if verb == "start"
                    else client.stop_notebook_instance
                )
                change(NotebookInstanceName=whole)
            found = _settled(aws, whole)
        except BaseException:
            steps.fail(step)
            raise
        if found["NotebookInstanceStatus"] == "Failed":
            steps.fail(step)
        else:
            steps.end(step)
    return whole, found


@app.command()
def stop(name: Name) -> None:
    """Stop a notebook instance; what lies in SageMaker/ stays, all else of its home goes."""
    _moved(Aws(), name, "stop", "Stopped", "Stopping")


@app.command("open")
def opened(
    name: Name,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open it, or only print the address.")
    ] = True,
) -> None:
    """Print an address that opens the notebook's JupyterLab for five minutes, and open it."""
    aws = Aws()
    found = _find(aws, name)
    if found["NotebookInstanceStatus"] != "InService":
        raise PlatformError(
            f"open {found['NotebookInstanceName']}",
            f"It is {found['NotebookInstanceStatus']}.",
            f"Start it: {itself()} notebook start {name}",
        )
    url = aws.sagemaker.create_presigned_notebook_instance_url(
        NotebookInstanceName=found["NotebookInstanceName"]
    )["AuthorizedUrl"]
    typer.echo(url)
    if browser and not webbrowser.open(url):
        err.print("No browser could be opened here: open the address yourself.")


@app.command()
def logs(
    name: Name,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
) -> None:
    """Print what the notebook's lifecycle scripts and its JupyterLab have printed."""
    aws = Aws()
    whole = _find(aws, name)["NotebookInstanceName"]
    tail = Tail(aws, NOTEBOOK_GROUP, f"{whole}/")
    if not tail.exists() and not follow:
        raise PlatformError(
            "read the log",
            f"{whole} has written nothing yet.",
            "A notebook whose role may not write logs has none: see its role's policies.",
        )
    follow_lines(iter(lambda: list(tail.lines()), None), follow)


def _find(aws: Aws, name: str) -> DescribeNotebookInstanceOutputTypeDef:
    """The instance of that name, or of the environment's own."""
    for candidate in (name, f"{PREFIX}-{name}"):
        try:
            return aws.sagemaker.describe_notebook_instance(NotebookInstanceName=candidate)
        except aws.sagemaker.exceptions.ClientError as error:
            if error.response["Error"].get("Message") != "RecordNotFound":
                raise
    raise PlatformError(
        "find the notebook",
        f"There is no notebook instance {name}.",
        f"See which there are: {itself()} notebook list",
    )


def _settled(aws: Aws, name: str) -> DescribeNotebookInstanceOutputTypeDef:
    while True:
        found = aws.sagemaker.describe_notebook_instance(NotebookInstanceName=name)
        if found["NotebookInstanceStatus"] in ("InService", "Stopped", "Failed"):
            return found
        time.sleep(PAUSE)
