"""Print what an environment costs a month when idle, line by line, from its synthesized assembly.

    python scripts/cost.py cdk.out/dev [--base OTHER/cdk.out/dev] [--markdown]

The prices are those of environments/data/prices.yaml. What is unknown is said to be and never
counted: beside it stands the price of the guide region, where that is known, and below the key
that is missing and the command that fills it. What was inferred and not read is said to be, too.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from environments.prices import InvalidPrices, Prices, fill
from stacks.assembly import NoAssembly, stacks
from stacks.idle_cost import ALWAYS, DEPLOYED, RUNNING, Line, lines

_ORDER = (ALWAYS, DEPLOYED, RUNNING)
_HEAD = ("what", "count", "USD each", "USD a month")


def read(assembly: Path, table: Prices) -> list[Line]:
    """The lines of an assembly, in the order in which they are shown."""
    found = lines(((one.template(), one.region) for one in stacks(assembly).values()), table)
    return sorted(found, key=lambda line: (_state(line.when), line.what))


def regions(assembly: Path) -> str:
    """Where the stacks of an assembly are deployed, in words."""
    return ", ".join(sorted({one.region for one in stacks(assembly).values()}))


def states(found: Iterable[Line]) -> list[str]:
    """The states of the environment that lines cost in."""
    return sorted({line.when for line in found} | {ALWAYS}, key=_state)


def total(found: Iterable[Line], when: str, table: Prices) -> Decimal:
    """What the known lines of a state cost a month."""
    months = (line.month(table.hours_per_month) for line in found if line.when == when)
    return sum((month for month in months if month is not None), Decimal(0))


def rows(found: Sequence[Line], table: Prices) -> list[tuple[str, str, str, str]]:
    """The lines as they are shown."""
    hours, where = table.hours_per_month, table.guide_region
    return [
        (
            line.what,
            "unknown" if line.count is None else str(line.count),
            _known(line.price.usd, line.price.guide, where, f" /{line.unit}", places=3)
            + (" (inferred)" if line.price.inferred else ""),
            _known(line.month(hours), line.guide(hours), where, "", places=2),
        )
        for line in found
    ]


def summary(
    found: Sequence[Line], when: str, table: Prices, base: Sequence[Line] | None
) -> tuple[str, str, str, str]:
    """The last row of a state."""
    here = [line for line in found if line.when == when]
    unknown = sum(line.month(table.hours_per_month) is None for line in here)
    before = "" if base is None else f" (before: {total(base, when, table):.2f})"
    if here and unknown == len(here):
        return ("nothing known", "", "", f"unknown{before}")
    words = f"known, without {unknown} of {len(here)} lines" if unknown else "all of it"
    return (words, "", "", f"{total(found, when, table):.2f}{before}")


def notes(found: Iterable[Line], table: Prices) -> list[str]:
    """What was inferred of lines, and what fills those that are unknown."""
    told = []
    for line in found:
        if line.price.inferred:
            told.append(f"{line.what}: inferred, {line.price.inferred}")
        if line.month(table.hours_per_month) is None:
            told += [f"{line.what}: {reason}" for reason in _reasons(line)]
    return list(dict.fromkeys(told))


def _reasons(line: Line) -> list[str]:
    """Why the cost of a line is unknown, and what to do about it."""
    reasons = ["the template does not say how many"] if line.count is None else []
    if line.price.key:
        reasons.append(f"{line.price.key} is missing; fill it with: {fill(line.price.key)}")
    elif line.price.usd is None:
        reasons.append("no key of the table prices it; judge it in stacks/idle_cost.py")
    return reasons


def _known(
    usd: Decimal | None, guide: Decimal | None, where: str, unit: str, *, places: int
) -> str:
    if usd is not None:
        return f"{usd:.{places}f}{unit}"
    return "unknown" if guide is None else f"unknown ({where}: {guide:.{places}f}{unit})"


def _state(when: str) -> tuple[int, str]:
    return (_ORDER.index(when) if when in _ORDER else len(_ORDER), when)


def _text(title: str, found: Sequence[Line], table: Prices, base: Sequence[Line] | None) -> str:
    parts = [(when, [line for line in found if line.when == when]) for when in states(found)]
    shown = [(when, rows(here, table), summary(found, when, table, base)) for when, here in parts]
    every = [_HEAD, *(row for _, here, last in shown for row in (*here, last))]
    widths = [max(len(row[column]) for row in every) for column in range(len(_HEAD))]

    def row(cells: tuple[str, ...]) -> str:
        return "  " + "  ".join(map(str.ljust, cells, widths)).rstrip()

    text = [title, row(_HEAD)]
    for when, here, last in shown:
        text += [f"{when}:", *map(row, here), row(last)]
    text += [f"  {note}" for note in notes(found, table)]
    return "\n".join(text) + "\n"


def _markdown(title: str, found: Sequence[Line], table: Prices, base: Sequence[Line] | None) -> str:
    text = [f"### {title}\n"]
    for when in states(found):
        here = [line for line in found if line.when == when]
        cells = [_HEAD, ("---", "---:", "---:", "---:"), *rows(here, table)]
        last = summary(found, when, table, base)
        text += [f"**{when}**\n", *(f"| {' | '.join(row)} |" for row in cells)]
        text += [f"| **{last[0]}** | | | **{last[3]}** |\n"]
    text += [f"- {note}" for note in notes(found, table)]
    return "\n".join(text)


def main() -> None:
    """Print the cost of the assembly that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("assembly", type=Path, help="synthesized assembly, as cdk.out/dev")
    parser.add_argument("--base", type=Path, help="assembly whose totals are shown beside")
    parser.add_argument("--markdown", action="store_true", help="for a pull request")
    given = parser.parse_args()
    try:
        table = Prices.load()
        found = read(given.assembly, table)
        # An environment that a pull request brings has no assembly on the other side.
        base = read(given.base, table) if given.base and given.base.exists() else None
        where = regions(given.assembly)
    except (InvalidPrices, NoAssembly) as error:
        sys.exit(str(error))
    title = (
        f"{given.assembly.name} in {where}: cost when idle, prices of {table.read_on}"
        f" for {table.hours_per_month} hours a month"
    )
    print((_markdown if given.markdown else _text)(title, found, table, base))


if __name__ == "__main__":
    main()
