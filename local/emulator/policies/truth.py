"""Truth with a third value, `None`, for what cannot be decided."""

from collections.abc import Iterable

Truth = bool | None


def all_of(values: Iterable[Truth]) -> Truth:
    """The conjunction; one False decides it, whatever is undecidable beside it."""
    result: Truth = True
    for value in values:
        if value is False:
            return False
        if value is None:
            result = None
    return result


def any_of(values: Iterable[Truth]) -> Truth:
    """The disjunction; one True decides it, whatever is undecidable beside it."""
    result: Truth = False
    for value in values:
        if value is True:
            return True
        if value is None:
            result = None
    return result


def negation(value: Truth) -> Truth:
    """The opposite; of the undecidable there is none."""
    return None if value is None else not value
