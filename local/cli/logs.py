"""`smp logs`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from local.cli.aws import Aws
from local.cli.output import Json
from local.cli.tailing import ENDPOINT_GROUP, FUNCTION_GROUP, TRAINING_GROUP, Line, Tail
from local.platform.errors import PlatformError
from local.platform.home import PREFIX, default_home

PAUSE = 0.5


def logs(
    target: Annotated[
        str | None,
        typer.Argument(
            help="A training job, an endpoint, a function, or a log group; the server's own log"
            " when left out.",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the log of a job, an endpoint or a function; without a name, that of the server."""
    if target is None:
        log = default_home().log
        if not log.is_file():
            raise PlatformError("read the server's log", f"There is no {log}.", "Start: smp up")
        follow_lines(_grow(log), follow, as_json)
        return
    follow_lines(batches(_tail(Aws(), target)), follow, as_json)


def batches(tail: Tail) -> Iterator[list[Line]]:
    """What a log's streams hold, then what comes to them."""
    while True:
        yield [*tail.events()]


def follow_lines(found: Iterable[list[Line]], follow: bool, as_json: bool) -> None:
    """Print the first batch of lines, or all that come until Ctrl-C; as JSON, an object a line."""
    for batch in found:
        for line in batch:
            typer.echo(json.dumps(asdict(line)) if as_json else line.message)
        if not follow:
            return
        time.sleep(PAUSE)


def _grow(log: Path) -> Iterator[list[Line]]:
    """The lines of a file, then those that are added."""
    with log.open(encoding="utf-8", errors="replace") as file:
        while True:
            # str.splitlines would also cut lines at signs within them, such as U+2028.
            text = file.read().removesuffix("\n")
            yield [Line(line) for line in text.split("\n")] if text else []


def _tail(aws: Aws, target: str) -> Tail:
    """The streams that `target` means, tried in the order in which the help names them."""
    candidates = [
        Tail(aws, TRAINING_GROUP, f"{target}/"),
        Tail(aws, ENDPOINT_GROUP + target),
        Tail(aws, f"{ENDPOINT_GROUP}{PREFIX}-{target}"),
        Tail(aws, FUNCTION_GROUP + target),
        Tail(aws, target),
    ]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise PlatformError(
        "read the log",
        f"No training job, endpoint, function or log group {target!r} has written anything.",
        "See the names of jobs and endpoints with smp status; those of functions begin with"
        f" {PREFIX}.",
    )
