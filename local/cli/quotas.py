"""`smp quota`, `smp quota set | requests | approve | deny`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from local.cli.aws import Aws
from local.cli.console import err
from local.cli.output import Json, print_json, print_table
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
    as_json: Json = False,
) -> None:
    """Show the service quotas: what is allowed, what is used of it, and what has been changed."""
    if context.invoked_subcommand is None:
        _show(every, named, as_json)


def _show(every: bool, named: str, as_json: bool) -> None:
    rows = [
        row
        for row in _call()
        if named.lower() in row["name"].lower() and (every or named or _interesting(row))
    ]
    if as_json:
        names = ("name", "code", "limit", "used", "changed")
        print_json([{name: row[name] for name in names} for row in rows])
        return
    if not rows:
        err.print(f"No quota that is enforced here contains {named!r}.")
        return
    print_table(["quota", "code", "limit", "in use", "percent", "changed"], [*map(_row, rows)])
    if not every and not named:
        err.print("Shown are totals and what is used or changed. All: smp quota --all")


def _row(row: Mapping[str, Any]) -> list[str]:
    limit, used = row["limit"], row["used"]
    percent = f"{100 * used / limit:.0f} %" if limit else ""
    changed = "yes" if row["changed"] else ""
    return [row["name"], row["code"], str(limit), str(used), percent, changed]


def _interesting(row: Mapping[str, Any]) -> bool:
    return bool(row["used"] or row["changed"] or row["name"] in table.TOTAL.values())


@app.command("set")
def change(
    quota: Annotated[str, typer.Argument(help="The quota's name, or its code.")],
    value: Annotated[int, typer.Argument(min=0, help="How much is allowed from now on.")],
    as_json: Json = False,
) -> None:
    """Set a quota, as only AWS can; what runs already goes on, however little is allowed."""
    changed = _call({"set": table.codes().get(quota, quota), "value": value})
    if as_json:
        print_json({name: changed[name] for name in ("name", "code", "limit")})
    else:
        err.print(f"{escape(changed['name'])} ({changed['code']}) is {changed['limit']} now.")


@app.command()
def requests(as_json: Json = False) -> None:
    """Show the requests for more, newest first."""
    client = Aws().service_quotas
    pages = client.get_paginator("list_requested_service_quota_change_history").paginate()
    found = [_request(one) for page in pages for one in page["RequestedQuotas"]]
    if as_json:
        print_json(found)
    elif found:
        rows = [[f"{x:g}" if isinstance(x, float) else x for x in one.values()] for one in found]
        print_table(["request", "status", "quota", "code", "wanted", "by"], rows)
    else:
        err.print("No request. File one with: aws service-quotas request-service-quota-increase")


def _request(one: Mapping[str, Any]) -> dict[str, Any]:
    requester = json.loads(one["Requester"])["callerArn"] if "Requester" in one else ""
    return {
        "id": one["Id"],
        "status": one["Status"],
        "quota": one["QuotaName"],
        "code": one["QuotaCode"],
        "wanted": float(one["DesiredValue"]),
        "by": requester.rpartition(":")[2],
    }


@app.command()
def approve(
    request: Annotated[str, typer.Argument(help="The request's id: see smp quota requests.")],
    as_json: Json = False,
) -> None:
    """Grant a request for more, as only AWS can: the quota is what was asked for."""
    _decide("approve", request, as_json)


@app.command()
def deny(
    request: Annotated[str, typer.Argument(help="The request's id: see smp quota requests.")],
    as_json: Json = False,
) -> None:
    """Refuse a request for more, as only AWS can: the quota stays as it is."""
    _decide("deny", request, as_json)


def _decide(how: str, request: str, as_json: bool) -> None:
    decided = _call({how: request})
    if as_json:
        print_json(_request(decided))
        return
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
