"""`smp train`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from local.cli import digits, reading, workflow
from local.cli import source as code
from local.cli.aws import Aws
from local.cli.console import Steps, err
from local.cli.output import Json, print_json
from local.platform.errors import PlatformError
from local.platform.home import CHECKOUT

# A request of a state machine is shorter still.
_LONGEST = 1 << 20
_EXAMPLES = CHECKOUT / "docs" / "examples"


def train(
    request: Annotated[
        Path,
        typer.Argument(help="A job request; docs/schemas/job-request.schema.json describes it."),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the code, kept beside the model; an own image can run a script of it.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option(help="Show the workflow until it ends, or only start it.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Train, register and deploy what a job request says."""
    aws = Aws()
    if request.absolute().parent == _EXAMPLES:
        # What is shipped runs as it is, on a platform that is just up, too.
        digits.bring_missing(aws)
    execution = workflow.start(aws, with_origin(aws, read(aws, request), request, source))
    if not wait:
        if as_json:
            print_json({"execution": execution})
        else:
            typer.echo(execution)
        return
    with Steps() as steps:
        outcome = workflow.follow(aws, execution, steps)
    err.print(f"[bold green]Done:[/] {escape(outcome.job or execution)}")
    print_json(
        {"execution": execution, "job": outcome.job, "output": outcome.output}
        if as_json
        else outcome.output
    )


def read(aws: Aws, path: Path) -> dict[str, Any]:
    """The request in a file, with {data_bucket} replaced by the platform's own."""
    body = reading.contents(path, _LONGEST, "read the request", "Name a JSON file.")
    try:
        document = reading.document(body)
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


def with_origin(
    aws: Aws, request: dict[str, Any], path: Path, source: Path | None
) -> dict[str, Any]:
    """The request with who sends it, and with the code that it is made with.

    What the request says of itself stays. Without a source, the commit is that of its own file.
    """
    filled = dict(request)
    if source is not None:
        archive = code.pack(source)
        bucket, key = aws.parameter("storage/data-bucket"), code.key(archive)
        aws.s3.put_object(Bucket=bucket, Key=key, Body=archive, ContentType="application/gzip")
        filled["source"] = f"s3://{bucket}/{key}"
    told = {"submitted_by": aws.caller(), **code.commit(source or path.absolute().parent)}
    given = filled.get("provenance", {})
    filled["provenance"] = told | given if isinstance(given, dict) else given
    return filled


def with_buckets(aws: Aws, request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the name of the data bucket filled in where it says {data_bucket}."""
    text = json.dumps(request)
    if "{data_bucket}" in text:
        text = text.replace("{data_bucket}", aws.parameter("storage/data-bucket"))
    filled: dict[str, Any] = json.loads(text)
    return filled
