"""How much of a quota is used. No AWS in here."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quotas import table


@dataclass(frozen=True, slots=True)
class Instances:
    """Instances of one type that a job, an endpoint or a notebook has."""

    use: table.Use
    instance_type: str
    count: int
    # A stopped notebook counts among all, and no more among those of its type.
    runs: bool = True


@dataclass(frozen=True, slots=True)
class Level:
    """How much of one quota is used."""

    quota: str
    used: int
    limit: float

    @property
    def percent(self) -> float:
        """Of what is allowed; where nothing is allowed, the quota is as good as used up."""
        return 100 * self.used / self.limit if self.limit else 100.0


def counted(instances: Iterable[Instances]) -> Counter[str]:
    """What is used of each quota, by its name."""
    used: Counter[str] = Counter()
    for one in instances:
        used[table.TOTAL[one.use]] += one.count
        if one.runs:
            used[table.of_type(one.use, one.instance_type)] += one.count
    return used


def levels(used: Mapping[str, int], limits: Mapping[str, float]) -> list[Level]:
    """The level of each quota whose limit is known."""
    return [Level(name, used.get(name, 0), limit) for name, limit in limits.items()]
