"""`smp up | stop | down | env`."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from local import confinement, shell
from local.cli.console import Steps, err, itself
from local.cli.output import Json, print_json
from local.platform import lifecycle, server
from local.platform.errors import PlatformError
from local.platform.home import ACCOUNT, REGION, Home, default_home
from local.platform.lifecycle import Platform
from local.sagemaker.notebooks import volumes

# How many files are named of a notebook.
_NAMED = 5


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
    as_json: Json = False,
) -> None:
    """Start the platform and deploy every stack; find it, and deploy what changed, if it runs."""
    began = time.monotonic()
    platform = bring_up(port)
    seconds = time.monotonic() - began
    if as_json:
        print_json(
            {
                "url": platform.url,
                "account": ACCOUNT,
                "region": REGION,
                "home": str(platform.home.path),
                "found": platform.found,
                "seconds": round(seconds, 1),
            }
        )
        return
    words = "found and brought up to date" if platform.found else "ready"
    err.print(f"[bold green]The platform is {words}[/] at {platform.url} after {seconds:.1f} s.")
    err.print(f"  Confinement:          {confinement.offered().summary}.")
    smp = itself()
    err.print(f'  Point a shell at it:  eval "$({smp} env)"')
    err.print(f"  Train on it:          {smp} demo, or {smp} train REQUEST.json")
    err.print(f"  Pause it, or end it:  {smp} stop, {smp} down")


def bring_up(port: int | None = None) -> Platform:
    """Bring the platform up with its steps shown."""
    with Steps() as steps:
        return lifecycle.up(default_home(), port, steps)


def stop(as_json: Json = False) -> None:
    """End the platform with all its processes and keep everything: smp up takes it up again."""
    home = default_home()
    count = lifecycle.stop(home, lambda text: err.print(escape(text))) if home.path.exists() else 0
    if as_json:
        print_json({"processes": count, "home": str(home.path)})
    elif not count:
        err.print("No platform runs here.")
    else:
        err.print(f"Ended {_processes(count)} and kept {home.path}. Go on with: {itself()} up")


def down(
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, whatever notebooks hold.")
    ] = False,
    as_json: Json = False,
) -> None:
    """End the platform with all its processes, and remove everything that it kept.

    Where a notebook holds files that nobody else has, it asks first; a program says --yes.
    """
    home = default_home()
    count = 0
    if home.path.exists():
        home.check()
        if not yes:
            _ask(home)
        count = lifecycle.down(home, lambda text: err.print(escape(text)))
        if not as_json:
            err.print(f"Ended {_processes(count)} and removed {home.path}.")
    elif not as_json:
        err.print("No platform runs here.")
    if as_json:
        print_json({"processes": count, "home": str(home.path)})


def at_terminal() -> bool:
    """Whether somebody reads what is asked, and can answer."""
    return sys.stdin.isatty() and err.is_terminal


def _processes(count: int) -> str:
    return f"{count} process{'' if count == 1 else 'es'}"


def _ask(home: Home) -> None:
    """Let a person at a terminal decide about what notebooks hold.

    Raises:
        PlatformError: They keep it, or nobody is there to be asked.
    """
    lost = volumes.changed(home.notebooks)
    if not lost:
        return
    held = "\n".join(
        f"{name}: {', '.join(files[:_NAMED])}"
        + (f" and {len(files) - _NAMED} more" if len(files) > _NAMED else "")
        for name, files in lost.items()
    )
    if at_terminal():
        err.print(escape(f"These notebooks hold files that are nowhere else:\n{held}"))
        if typer.confirm("Remove them with the platform?", err=True):
            return
        raise PlatformError(
            "end the platform",
            "You keep it; nothing was removed.",
            f"Pause it with {itself()} stop, or give it up with {itself()} down",
        )
    raise PlatformError(
        "end the platform",
        f"Notebooks hold files that are nowhere else, and nobody is here to be asked:\n{held}",
        f"Keep them with {itself()} stop, or give them up with {itself()} down --yes",
    )


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
    as_json: Json = False,
) -> None:
    """Print what points boto3, the AWS CLI and the SDKs of a shell at the platform.

    Use it as: eval "$(smp env)". It sets the variables of the platform, takes out what would lead
    elsewhere (a profile, a session token, other endpoints), and adds this machine to NO_PROXY.
    """
    platform = lifecycle.attach(default_home())
    key = lifecycle.further_account(platform, account) if account else platform.credentials
    here = shell.found()
    variables = key.variables(platform.url) | shell.bypass(here)
    if as_json or form is Shell.json:
        print_json(variables)
        return
    left_over = [name for name in shell.misleading(here) if name not in variables]
    for line in _lines(form, variables, left_over):
        typer.echo(line)


def _lines(form: Shell, variables: Mapping[str, str], left_over: Sequence[str]) -> Iterator[str]:
    if form is Shell.fish:
        yield from (f"set -e {name};" for name in left_over)
        yield from (f"set -gx {name} {shlex.quote(value)};" for name, value in variables.items())
    else:
        yield f"unset {' '.join(left_over)}"
        yield from (f"export {name}={shlex.quote(value)}" for name, value in variables.items())
