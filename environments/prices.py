"""What AWS asks for what is kept running, where that is known: the table `data/prices.yaml`.

Nothing here can ask AWS's price list. A price that is not in the table is unknown: it comes with
that of the guide region, for whoever wants an order of magnitude, with the key that is missing and
with the command that fills it, and is never counted.
"""

import datetime
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator

from environments.instance_types import Use, instance_types, nearest

TABLE = Path(__file__).parent / "data" / "prices.yaml"

# Regions of AWS's other partitions have price lists of their own.
_NOT_COMMERCIAL = ("cn-", "us-gov-", "us-iso", "eu-isoe-", "eusc-")


class InvalidPrices(ValueError):
    """A table of prices that cannot be used, told so that its writer can mend it."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(_Strict):
    """What one of a thing costs for one unit, or that it is unknown.

    Attributes:
        usd: The price; None where it is unknown.
        guide: That of the guide region, where the price is unknown.
        key: Where in the table it is missing; empty where no key can fill it.
        inferred: From what it was inferred, where nobody has read it.
    """

    usd: Decimal | None
    guide: Decimal | None = None
    key: str = ""
    inferred: str = ""


class Source(_Strict):
    """Where prices were read."""

    what: Annotated[str, Field(min_length=1)]
    url: HttpUrl


class Quote(_Strict):
    """One price of the table, with where and when it was read."""

    # Nothing that is in this table is free.
    usd: Annotated[Decimal, Field(gt=0, le=1000)]
    source: str
    as_of: datetime.date
    inferred: Annotated[str, Field(min_length=1)] | None = None
    """From what, for a price that is not in the source itself."""

    @property
    def price(self) -> Price:
        """It as others see it."""
        return Price(usd=self.usd, inferred=self.inferred or "")


class Everywhere(_Strict):
    """Prices that every commercial region shares."""

    kms_key_month: Quote
    alarm_month: Quote
    metric_month: Quote
    dashboard_month: Quote


class Region(_Strict):
    """Prices of one region; what is missing is unknown."""

    training_hour: dict[str, Quote] = Field(default_factory=dict)
    endpoint_hour: dict[str, Quote] = Field(default_factory=dict)
    notebook_hour: dict[str, Quote] = Field(default_factory=dict)
    ml_volume_gb_month: Quote | None = None
    """Disks of notebooks, endpoints and training jobs."""
    interface_endpoint_hour: Quote | None = None
    nat_gateway_hour: Quote | None = None

    def hours(self, use: Use) -> dict[str, Quote]:
        """What an hour of instances costs for a use."""
        found: dict[str, Quote] = getattr(self, f"{use}_hour")
        return found

    @model_validator(mode="after")
    def _instance_types_exist(self) -> Self:
        for use in get_args(Use):
            for name in self.hours(use):
                if name not in instance_types(use):
                    offered = ", ".join(nearest(use, name)) or "another"
                    raise ValueError(f"{name} is no {use} instance type; did you mean {offered}?")
        return self


class Prices(_Strict):
    """The table of prices, with when and where they were read."""

    read_on: datetime.date
    sources: Annotated[dict[str, Source], Field(min_length=1)]
    hours_per_month: Annotated[int, Field(ge=672, le=744)]
    everywhere: Everywhere
    guide_region: str
    regions: dict[Annotated[str, Field(pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d$")], Region]
    free_at_rest: dict[str, Annotated[str, Field(min_length=1)]]

    @model_validator(mode="after")
    def _guide_has_prices(self) -> Self:
        if self.guide_region not in self.regions:
            raise ValueError(
                f"guide_region {self.guide_region} has no prices; name one of "
                + ", ".join(self.regions)
            )
        return self

    @classmethod
    def load(cls, path: Path = TABLE) -> Self:
        """The table in a file; InvalidPrices says what is wrong in it, and where."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeError, yaml.YAMLError) as error:
            raise InvalidPrices(f"{path}: {error}") from error
        except ValidationError as error:
            found = "\n".join(
                f"  {'.'.join(map(str, one['loc'])) or 'the table'}: {one['msg']}"
                for one in error.errors()
            )
            raise InvalidPrices(f"{path} is no table of prices:\n{found}") from error

    @model_validator(mode="after")
    def _sources_are_named(self) -> Self:
        for key, quote in self.quotes():
            if quote.source not in self.sources:
                raise ValueError(
                    f"{key}: source {quote.source} is none of {', '.join(self.sources)}"
                )
        return self

    def quotes(self) -> Iterator[tuple[str, Quote]]:
        """Every price of the table, with its key."""
        yield from _quotes("everywhere", self.everywhere)
        for name, region in self.regions.items():
            yield from _quotes(f"regions.{name}", region)

    def shared(self, what: str, region: str) -> Price:
        """The price of a field of Everywhere in a region."""
        quote: Quote = getattr(self.everywhere, what)
        if not region.startswith(_NOT_COMMERCIAL):
            return quote.price
        return Price(usd=None, guide=quote.usd)

    def regional(self, what: str, region: str) -> Price:
        """The price of a field of Region in a region."""
        return self._known(
            f"regions.{region}.{what}",
            getattr(self.regions.get(region, Region()), what),
            getattr(self.regions[self.guide_region], what),
        )

    def instance(self, use: Use, instance_type: str, region: str) -> Price:
        """The price of an hour of an instance in a region."""
        return self._known(
            f"regions.{region}.{use}_hour.{instance_type}",
            self.regions.get(region, Region()).hours(use).get(instance_type),
            self.regions[self.guide_region].hours(use).get(instance_type),
        )

    @staticmethod
    def _known(key: str, quote: Quote | None, guide: Quote | None) -> Price:
        if quote is not None:
            return quote.price
        return Price(usd=None, guide=guide.usd if guide else None, key=key)


def _quotes(key: str, part: BaseModel) -> Iterator[tuple[str, Quote]]:
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Quote):
            yield f"{key}.{name}", value
        elif isinstance(value, dict):
            yield from ((f"{key}.{name}.{inner}", quote) for inner, quote in value.items())


def fill(key: str) -> str:
    """The command that fills a key of the table."""
    because = " --because 'WHY IT IS FREE'" if key.startswith("free_at_rest.") else ""
    return f".venv/bin/python scripts/fill_price.py {key}{because}"


@cache
def prices() -> Prices:
    """The table of this project."""
    return Prices.load()


def hourly(instance_type: str, count: int) -> str:
    """In words what `count` instances of an endpoint cost in the guide region."""
    table = prices()
    price = table.instance("endpoint", instance_type, table.guide_region)
    each = price.usd
    if each is None:
        return f"{count} x {instance_type}: price unknown; fill it with: {fill(price.key)}"
    return (
        f"{count} x {instance_type}: ${each * count:.3f} an hour,"
        f" ${each * count * table.hours_per_month:.0f} a month"
        f" ({table.guide_region}, on demand, as of {table.read_on:%B %Y})"
    )
