"""`smp quota`, `smp quota set | requests | approve | deny`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from local.cli.aws import Aws
from local.cli.console import err, out
from local.platform import control
from local.platform.home import default_home
from local.platform.lifecycle import attach
from quotas import table

app = typer.Typer(no_args_is_help=False, add_completion=False)


@app.callback(invoke_without_command=True)
def quota(
    context: typer.Context,
    every: Annotated[
        bool, typer.Option("--all", help="Every quota, also of types that nobody uses.")
    ] = False,
    named: Annotated[
        str, typer.Option("--name", help="Those whose name contains this.", show_default=False)
    ] = "",
) -> None:
    """Show the service quotas: what is allowed, what is used of it, and what has been changed."""
    if context.invoked_subcommand is None:
        _show(every, named)


def _show(every: bool, named: str) -> None:
    rows = [
        row
        for row in _call()
        if named.lower() in row["name"].lower() and (every or named or _interesting(row))
    ]
    shown = _table("Quota", "code", "limit", "in use", "percent")
    for row in rows:
        limit, used = row["limit"], row["used"]
        percent = f"{100 * used / limit:.0f} %" if limit else "-"
        name = escape(row["name"]) + (" [dim](changed)[/]" if row["changed"] else "")
        shown.add_row(name, row["code"], str(limit), str(used), percent)
    if not rows:
        err.print(f"No quota that is enforced here contains {named!r}.")
        return
    out.print(shown)
    if not every and not named:
        err.print("Shown are totals and what is used or changed. All: smp quota --all")


def _interesting(row: Mapping[str, Any]) -> bool:
    return bool(row["used"] or row["changed"] or row["name"] in table.TOTAL.values())


@app.command("set")
def change(
    quota: Annotated[str, typer.Argument(help="The quota's name, or its code.")],
    value: Annotated[int, typer.Argument(min=0, help="How much is allowed from now on.")],
) -> None:
    """Set a quota, as only AWS can; what runs already goes on, however little is allowed."""
    changed = _call({"set": table.codes().get(quota, quota), "value": value})
    err.print(f"{escape(changed['name'])} ({changed['code']}) is {changed['limit']} now.")


@app.command()
def requests() -> None:
    """Show the requests for more, newest first."""
    client = Aws().service_quotas
    pages = client.get_paginator("list_requested_service_quota_change_history").paginate()
    shown = _table("Request", "status", "quota", "code", "wanted", "by")
    for page in pages:
        for one in page["RequestedQuotas"]:
            shown.add_row(
                one["Id"],
                one["Status"],
                escape(one["QuotaName"]),
                one["QuotaCode"],
                f"{one['DesiredValue']:g}",
                json.loads(one["Requester"])["callerArn"].rpartition(":")[2],
            )
    out.print(
        shown
        if shown.rows
        else "No request. File one with: aws service-quotas request-service-quota-increase"
    )


@app.command()
def approve(
    request: Annotated[str, typer.Argument(help="The request's id: see smp quota requests.")],
) -> None:
    """Grant a request for more, as only AWS can: the quota is what was asked for."""
    _decide("approve", request)


@app.command()
def deny(
    request: Annotated[str, typer.Argument(help="The request's id: see smp quota requests.")],
) -> None:
    """Refuse a request for more, as only AWS can: the quota stays as it is."""
    _decide("deny", request)


def _decide(how: str, request: str) -> None:
    decided = _call({how: request})
    err.print(
        f"{decided['Status']}: {escape(decided['QuotaName'])} ({decided['QuotaCode']}), "
        f"{decided['DesiredValue']:g} wanted."
    )


def _call(wish: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - a JSON document
    """Ask the platform for its quotas, or to change something about them."""
    platform = attach(default_home())
    return control.asked(
        "change the quotas",
        platform.url,
        platform.credentials,
        "quotas",
        wish,
        "See names, codes and requests with: smp quota --all, smp quota requests",
    )


def _table(*columns: str) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        shown.add_column(column, overflow="fold")
    return shown
