"""`smp train`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from local.cli import workflow
from local.cli.aws import Aws
from local.cli.console import Steps, err
from local.platform.errors import PlatformError


def train(
    request: Annotated[
        Path,
        typer.Argument(help="A job request; docs/schemas/job-request.schema.json describes it."),
    ],
    wait: Annotated[
        bool, typer.Option(help="Show the workflow until it ends, or only start it.")
    ] = True,
) -> None:
    """Train, register and deploy what a job request says."""
    aws = Aws()
    execution = workflow.start(aws, read(aws, request))
    if not wait:
        typer.echo(execution)
        return
    with Steps() as steps:
        outcome = workflow.follow(aws, execution, steps)
    err.print(f"[bold green]Done:[/] {escape(outcome.job or execution)}")
    typer.echo(json.dumps(outcome.output, indent=2))


def read(aws: Aws, path: Path) -> dict[str, Any]:
    """The request in a file, with {data_bucket} replaced by the platform's own."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlatformError(
            "read the request", f"{path}: {error.strerror}.", "Name a JSON file."
        ) from None
    except ValueError as error:
        raise PlatformError(
            "read the request", f"{path} is no JSON: {error}.", "Correct the file there."
        ) from None
    if not isinstance(document, dict):
        raise PlatformError(
            "read the request",
            f"{path} holds a {type(document).__name__}.",
            "A request is a JSON object; see docs/examples.",
        )
    return with_buckets(aws, document)


def with_buckets(aws: Aws, request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the name of the data bucket filled in where it says {data_bucket}."""
    text = json.dumps(request)
    if "{data_bucket}" in text:
        text = text.replace("{data_bucket}", aws.parameter("storage/data-bucket"))
    filled: dict[str, Any] = json.loads(text)
    return filled
