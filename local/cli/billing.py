"""What running resources cost an hour on AWS, as far as the table of prices knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from environments import prices
from environments.instance_types import Use
from environments.prices import Price, fill


@dataclass(frozen=True)
class Instances:
    """Instances of one type, each with a volume."""

    type: str | None
    count: int
    volume_gb: int


class Prices:
    """The prices of one region, with the keys of those that were wanted and are not known."""

    def __init__(self, region: str) -> None:
        self.missing: set[str] = set()
        self._region = region
        self._table = prices.prices()

    @property
    def as_of(self) -> str:
        """When the table was read."""
        return self._table.read_on.isoformat()

    def hourly(
        self, use: Use, groups: Sequence[Instances], *, running: bool = True
    ) -> float | None:
        """Dollars an hour of instances and their volumes; None where a price is unknown.

        What does not run keeps its volume alone.
        """
        parts = [self._group(use, group, running) for group in groups]
        known = [part for part in parts if part is not None]
        return round(float(sum(known, Decimal(0))), 6) if len(known) == len(parts) else None

    def _group(self, use: Use, group: Instances, running: bool) -> Decimal | None:
        if group.type is None:
            # By use and not by the hour, or by a pool of types.
            return None
        hour = self._usd(self._table.instance(use, group.type, self._region))
        month = self._usd(self._table.regional("ml_volume_gb_month", self._region))
        if hour is None or month is None:
            return None
        volume = month * group.volume_gb / self._table.hours_per_month
        return group.count * (volume + (hour if running else 0))

    def _usd(self, price: Price) -> Decimal | None:
        if price.usd is None and price.key:
            self.missing.add(price.key)
        return price.usd


def remedy(key: str) -> str:
    """What fills a key of the table that is missing."""
    return f"fill it with: {fill(key)}"
