"""What AWS asks for what is kept running, where that is known: the table `data/prices.yaml`.

Nothing here can ask AWS's price list. A price that is not in the table is unknown: it comes with
that of the guide region, for whoever wants an order of magnitude, and is never counted.
"""

import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError, model_validator

from environments.instance_types import Use, instance_types, nearest

TABLE = Path(__file__).parent / "data" / "prices.yaml"
SEE = "aws.amazon.com/sagemaker/pricing"

# Regions of AWS's other partitions have price lists of their own.
_NOT_COMMERCIAL = ("cn-", "us-gov-", "us-iso", "eu-isoe-", "eusc-")

Usd = Annotated[Decimal, Field(ge=0, le=1000)]


class InvalidPrices(ValueError):
    """A table of prices that cannot be used, told so that its writer can mend it."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(_Strict):
    """What one of a thing costs for one unit, or that it is unknown."""

    usd: Decimal | None
    guide: Decimal | None = None


class Everywhere(_Strict):
    """Prices that every commercial region shares."""

    kms_key_month: Usd
    alarm_month: Usd
    metric_month: Usd
    dashboard_month: Usd


class Region(_Strict):
    """Prices of one region; what is missing is unknown."""

    endpoint_hour: dict[str, Usd] = Field(default_factory=dict)
    notebook_hour: dict[str, Usd] = Field(default_factory=dict)
    notebook_volume_gb_month: Usd | None = None
    interface_endpoint_hour: Usd | None = None
    nat_gateway_hour: Usd | None = None

    def instance_hour(self, use: Use, instance_type: str) -> Decimal | None:
        """An hour of an instance, where it is known."""
        return self._hours(use).get(instance_type)

    def _hours(self, use: Use) -> dict[str, Decimal]:
        return {"notebook": self.notebook_hour}.get(use, self.endpoint_hour)

    @model_validator(mode="after")
    def _instance_types_exist(self) -> Self:
        for use in get_args(Use):
            for name in self._hours(use) if use != "training" else ():
                if name not in instance_types(use):
                    offered = ", ".join(nearest(use, name)) or "another"
                    raise ValueError(f"{name} is no {use} instance type; did you mean {offered}?")
        return self


class Prices(_Strict):
    """The table of prices, with when and where they were read."""

    read_on: datetime.date
    sources: Annotated[list[HttpUrl], Field(min_length=1)]
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

    def shared(self, what: str, region: str) -> Price:
        """The price of a field of Everywhere in a region."""
        usd: Decimal = getattr(self.everywhere, what)
        commercial = not region.startswith(_NOT_COMMERCIAL)
        return Price(usd=usd) if commercial else Price(usd=None, guide=usd)

    def regional(self, what: str, region: str) -> Price:
        """The price of a field of Region in a region."""
        return self._known(
            getattr(self.regions.get(region, Region()), what),
            getattr(self.regions[self.guide_region], what),
        )

    def instance(self, use: Use, instance_type: str, region: str) -> Price:
        """The price of an hour of an instance in a region.

        Training and real-time inference cost the same in what the table was read from.
        """
        return self._known(
            self.regions.get(region, Region()).instance_hour(use, instance_type),
            self.regions[self.guide_region].instance_hour(use, instance_type),
        )

    @staticmethod
    def _known(usd: Decimal | None, guide: Decimal | None) -> Price:
        return Price(usd=usd, guide=guide if usd is None else None)


@cache
def prices() -> Prices:
    """The table of this project."""
    return Prices.load()


def hourly(instance_type: str, count: int) -> str:
    """In words what `count` instances of an endpoint cost in the guide region."""
    table = prices()
    each = table.instance("endpoint", instance_type, table.guide_region).usd
    if each is None:
        return f"{count} x {instance_type}: price unknown, see {SEE}"
    return (
        f"{count} x {instance_type}: ${each * count:.3f} an hour,"
        f" ${each * count * table.hours_per_month:.0f} a month"
        f" ({table.guide_region}, on demand, as of {table.read_on:%B %Y})"
    )
