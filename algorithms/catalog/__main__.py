"""Write the index of the catalogue: `python -m algorithms.catalog docs > docs/algorithms.md`."""

import sys
from collections.abc import Iterable

from algorithms.catalog import Algorithm, algorithm, names

_HEAD = """\
# The built-in algorithms

<!-- Written by `python -m algorithms.catalog docs`; a test holds it current. -->

What each algorithm takes is in `algorithms/catalog/NAME.yaml`: hyperparameters with their types,
ranges and defaults, channels, metrics, instances and the rules between them. A job request is
checked against it before anything is created.
"""


def index() -> str:
    """The whole page."""
    entries = [algorithm(name) for name in names()]
    return "\n".join([_HEAD, _overview(entries), _hosting(entries)])


def _overview(entries: list[Algorithm]) -> str:
    rows = []
    for entry in entries:
        channels = _code(one.name for one in entry.channels if one.required is True)
        settings = _code(one.name for one in entry.hyperparameters if one.required is True)
        count = len(entry.hyperparameters)
        rows.append(f"| `{entry.name}` | {entry.summary} | {channels} | {settings} | {count} |")
    head = "| name | what it does | must have channels | must be set | hyperparameters |"
    return "\n".join([head, "|---|---|---|---|---:|", *rows, ""])


def _hosting(entries: list[Algorithm]) -> str:
    rows = []
    for entry in entries:
        training = entry.instances.training
        machines = " or ".join(
            name for name, has in (("CPU", training.cpu), ("GPU", training.gpu)) if has
        )
        hosts = "one or more" if entry.distributed else "one"
        image = f"{entry.image.repository}:{entry.image.tag}"
        goals = sum(one.objective for one in entry.metrics)
        cells = (f"`{entry.name}`", f"`{image}`", len(entry.regions), machines, hosts)
        rows.append("| " + " | ".join(map(str, (*cells, len(entry.metrics), goals))) + " |")
    head = "| name | AWS's image | regions | trains on | instances | metrics | tuning goals |"
    return "\n".join([head, "|---|---|---:|---|---|---:|---:|", *rows, ""])


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    if sys.argv[1:] != ["docs"]:
        sys.exit("usage: python -m algorithms.catalog docs")
    sys.stdout.write(index())
