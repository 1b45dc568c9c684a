"""`smp logs`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from local.cli.aws import Aws
from local.cli.tailing import ENDPOINT_GROUP, FUNCTION_GROUP, TRAINING_GROUP, Tail
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
) -> None:
    """Print the log of a job, an endpoint or a function, or that of the server."""
    if target is None:
        log = default_home().log
        if not log.is_file():
            raise PlatformError("read the server's log", f"There is no {log}.", "Start: smp up")
        follow_lines(_grow(log), follow)
        return
    tail = _tail(Aws(), target)
    follow_lines(iter(lambda: list(tail.lines()), None), follow)


def follow_lines(batches: Iterator[list[str]], follow: bool) -> None:
    """Print the first batch of lines, or all that come until Ctrl-C."""
    for batch in batches:
        for line in batch:
            typer.echo(line)
        if not follow:
            return
        time.sleep(PAUSE)


def _grow(log: Path) -> Iterator[list[str]]:
    """The lines of a file, then those that are added."""
    with log.open(encoding="utf-8", errors="replace") as file:
        while True:
            # str.splitlines would also cut lines at signs within them, such as U+2028.
            text = file.read().removesuffix("\n")
            yield text.split("\n") if text else []


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
