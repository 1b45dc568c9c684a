"""Decide how long a shared log group is kept. No AWS in here."""

from collections.abc import Iterable, Mapping


def changes(
    wanted: Iterable[str], days: int, before: int | None, found: Mapping[str, int | None]
) -> dict[str, int]:
    """The retention to set, by name of log group, for those where it must change.

    Environments in one account share these groups. The longest wish of them holds: a shorter one
    changes nothing, unless what is set now is this environment's own former wish.

    Args:
        wanted: Names of the log groups.
        days: What this environment wishes.
        before: What it wished before this change.
        found: What is set now, by name; `None` keeps logs for ever, as SageMaker makes its groups.
    """
    return {name: days for name in wanted if _changes(found.get(name), days, before)}


def _changes(current: int | None, days: int, before: int | None) -> bool:
    if current is None or current == before:
        return current != days
    return current < days
