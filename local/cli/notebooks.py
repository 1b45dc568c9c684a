"""`smp notebook list | start | stop | open | logs`."""

from __future__ import annotations

import time
import webbrowser
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from local.cli.aws import Aws
from local.cli.console import Steps, err, itself
from local.cli.logs import batches, follow_lines
from local.cli.output import Json, print_json, print_table
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
def listed(as_json: Json = False) -> None:
    """Show the notebook instances."""
    client, found = Aws().sagemaker, []
    for page in client.get_paginator("list_notebook_instances").paginate():
        for one in page["NotebookInstances"]:
            name, status = one["NotebookInstanceName"], one["NotebookInstanceStatus"]
            reason = ""
            if status == "Failed":
                described = client.describe_notebook_instance(NotebookInstanceName=name)
                reason = described.get("FailureReason", "")
            found.append(
                {
                    "name": name,
                    "status": status,
                    "type": one["InstanceType"],
                    "reason": reason,
                }
            )
    if as_json:
        print_json(found)
    elif found:
        print_table(["name", "status", "type", "reason"], [[*one.values()] for one in found])
    else:
        err.print("Notebook instances: none.")


@app.command()
def start(name: Name, as_json: Json = False) -> None:
    """Start a notebook instance and wait until it is in service."""
    aws = Aws()
    whole, found = _moved(aws, name, "start", "InService", "Pending")
    if found["NotebookInstanceStatus"] != "InService":
        raise PlatformError(
            f"start {whole}",
            found.get("FailureReason") or f"It is {found['NotebookInstanceStatus']}.",
            f"What its scripts printed: {itself()} notebook logs {name}",
        )
    _told(found, as_json)
    err.print(f"Open it:  {itself()} notebook open {name}")


def _told(found: DescribeNotebookInstanceOutputTypeDef, as_json: bool) -> None:
    if as_json:
        print_json(
            {"name": found["NotebookInstanceName"], "status": found["NotebookInstanceStatus"]}
        )


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
def stop(name: Name, as_json: Json = False) -> None:
    """Stop a notebook instance; what lies in SageMaker/ stays, all else of its home goes."""
    _, found = _moved(Aws(), name, "stop", "Stopped", "Stopping")
    _told(found, as_json)


@app.command("open")
def opened(
    name: Name,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open it, or only print the address.")
    ] = True,
    as_json: Json = False,
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
    if as_json:
        print_json({"name": found["NotebookInstanceName"], "url": url})
    else:
        typer.echo(url)
    if browser and not webbrowser.open(url):
        err.print("No browser could be opened here: open the address yourself.")


@app.command()
def logs(
    name: Name,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    as_json: Json = False,
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
    follow_lines(batches(tail), follow, as_json)


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
