"""What commands show: tables for people, whole lines for pipes, JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from local.cli.console import out

Json = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; docs/smp.md says what is in it.")
]


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print a document of which docs/smp.md promises names and kinds of values."""
    typer.echo(json.dumps(document, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table: folded into the width of a terminal, and one row a line everywhere else."""
    if out.is_terminal:
        table = Table(title=title or None, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(escape, row))
        out.print(table)
        return
    # A reader of lines can neither see a fold nor put it together again.
    lines = [list(columns), *([" ".join(cell.split()) or "-" for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    typer.echo("\n".join([*([title] if title else []), *text]))
