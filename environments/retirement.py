"""What AWS has closed or ends, and what that means on a given day: the table `data/retired.yaml`.

Nothing here looks at the clock. Whoever asks says which day it is, so that the answer for a day
never changes unless the table does.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, model_validator

TABLE = Path(__file__).parent / "data" / "retired.yaml"

NOTICE = datetime.timedelta(days=180)
"""How long before its end the use of something is warned about."""

Kind = Literal["notebook-platform", "service", "client", "image"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fact(_Strict):
    """One thing that AWS has closed or ends."""

    name: Annotated[str, Field(min_length=1)]
    kind: Kind
    until: datetime.date
    """The last day."""
    only: str = ""
    """For whom or what it ends, where not for all."""
    successor: str = ""
    """What takes its place."""
    resources: list[str] = []
    """What the operations of the API are on that belong to it."""
    inferred: str = ""
    """What the day follows from, where AWS has announced none."""
    source: HttpUrl


class Facts(_Strict):
    """The table, with the day on which it was read."""

    read_on: datetime.date
    facts: Annotated[list[Fact], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        known = [(fact.kind, fact.name) for fact in self.facts]
        for one in known:
            if known.count(one) > 1:
                raise ValueError(f"{one[1]} stands twice among the facts of kind {one[0]}")
        return self


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said about the use of something on a day."""

    refused: bool
    """Whether it cannot be used any more."""
    sentence: str


@cache
def facts() -> Facts:
    """The table of this project."""
    return Facts.model_validate(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def verdict(
    kind: Kind, name: str, today: datetime.date, known: Iterable[Fact] | None = None
) -> Verdict | None:
    """Refuse what has ended by `today`, and warn of what ends within NOTICE; None for all else."""
    for fact in facts().facts if known is None else known:
        if (fact.kind, fact.name) == (kind, name) and today > fact.until - NOTICE:
            return Verdict(today > fact.until and not fact.inferred, _sentence(fact, today))
    return None


def of_operation(operation: str, today: datetime.date) -> Verdict | None:
    """What is to be said of an operation of the API, such as `CreateLabelingJob`."""
    for fact in facts().facts:
        if operation.removesuffix("s").endswith(tuple(fact.resources)):
            return verdict(fact.kind, fact.name, today)
    return None


def _sentence(fact: Fact, today: datetime.date) -> str:
    ended = "ended on" if today > fact.until else "ends on"
    only = f" {fact.only}" if fact.only else ""
    why = f" ({fact.inferred})" if fact.inferred else ""
    instead = f"; use {fact.successor}" if fact.successor else ""
    return f"{fact.name} {ended} {fact.until:%Y-%m-%d}{only}{why}{instead}: see {fact.source}"
