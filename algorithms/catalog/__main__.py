"""Write the pages of the catalogue: `python -m algorithms.catalog docs FOLDER`."""

import sys
from collections.abc import Mapping
from pathlib import Path

from algorithms.catalog import Algorithm, algorithm, names
from algorithms.catalog.pages import code, page, table

USAGE = "usage: python -m algorithms.catalog docs FOLDER"
_HEAD = """\
# The built-in algorithms

<!-- Written by `python -m algorithms.catalog docs docs`; a test holds it current. -->

What each algorithm takes is in `algorithms/catalog/NAME.yaml`: hyperparameters with their types,
ranges and defaults, channels, metrics, instances and the rules between them. A job request is
checked against it before anything is created, and the container checks it again.
"""


def pages() -> Mapping[str, str]:
    """Every page by its path: the index, and one an algorithm."""
    entries = [algorithm(name) for name in names()]
    index = "\n".join(
        [_HEAD, _overview(entries), "", _hosting(entries), "", _measured(entries), ""]
    )
    return {
        "algorithms.md": index,
        **{f"algorithms/{entry.name}.md": page(entry) for entry in entries},
    }


def _overview(entries: list[Algorithm]) -> str:
    rows = [
        (
            f"[`{entry.name}`](algorithms/{entry.name}.md)",
            entry.summary,
            code(one.name for one in entry.channels if one.required is True),
            code(one.name for one in entry.hyperparameters if one.required is True),
            len(entry.hyperparameters),
        )
        for entry in entries
    ]
    head = ("name", "what it does", "must have channels", "must be set", "hyperparameters")
    return table(head, rows, right=[4])


def _hosting(entries: list[Algorithm]) -> str:
    rows = []
    for entry in entries:
        training = entry.instances.training
        machines = " or ".join(
            name for name, has in (("CPU", training.cpu), ("GPU", training.gpu)) if has
        )
        rows.append(
            (
                f"`{entry.name}`",
                f"`{entry.image.repository}:{entry.image.tag}`",
                len(entry.regions),
                machines,
                "one or more" if entry.distributed else "one",
                len(entry.metrics),
                sum(one.objective for one in entry.metrics),
            )
        )
    head = ("name", "AWS's image", "regions", "trains on", "instances", "metrics", "tuning goals")
    return table(head, rows, right=[2, 5, 6])


def _measured(entries: list[Algorithm]) -> str:
    rows = [
        (f"`{entry.name}`", one.data, one.measure, one.value, one.reference, one.goal or "")
        for entry in entries
        for one in entry.results
    ]
    head = ("name", "data", "measure", "here", "reference, in the same run", "must reach")
    told = "What was measured of this project's own containers; each page says how to repeat it."
    return "\n\n".join(["## Measured", told, table(head, rows)])


def main(arguments: list[str]) -> None:
    """Write every page below a folder."""
    if len(arguments) != 2 or arguments[0] != "docs":
        sys.exit(USAGE)
    for path, body in pages().items():
        target = Path(arguments[1]) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(body)


if __name__ == "__main__":
    main(sys.argv[1:])
