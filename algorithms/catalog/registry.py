"""Where AWS keeps the images of its built-in algorithms, and what an image URI stands for."""

import re
from functools import cache
from pathlib import Path

from algorithms.catalog.files import read
from algorithms.catalog.values import Entry

_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<domain>[a-z0-9.-]+)"
    r"/(?P<repository>[a-z0-9._/-]+?)(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_PLATFORM = re.compile(r"sagemaker-platform-[a-z0-9-]+/(?P<name>[a-z0-9-]+)", re.ASCII)


class Registries(Entry):
    """The accounts of AWS that hold the images, by group of algorithms and by region."""

    domains: dict[str, str]
    accounts: dict[str, dict[str, str]]

    def domain(self, region: str) -> str:
        """The last part of the host names of a region: partitions differ in it."""
        for start, domain in self.domains.items():
            if region.startswith(start):
                return domain
        return "amazonaws.com"


@cache
def registries() -> Registries:
    """The registries of AWS, read once."""
    return read(Path(__file__).with_name("registries.yaml"), Registries)


def regions(group: str) -> tuple[str, ...]:
    """The regions in which AWS holds the images of a group."""
    return tuple(sorted(registries().accounts[group]))


def image_uri(group: str, repository: str, tag: str, region: str) -> str:
    """The URI of AWS's own image in a region.

    Raises:
        ValueError: AWS holds no such image in the region; the text names those where it does.
    """
    known = registries()
    account = known.accounts[group].get(region)
    if account is None:
        raise ValueError(
            f"AWS has no image {repository}:{tag} in region {region!r}; "
            f"it has one in: {', '.join(regions(group))}."
        )
    return f"{account}.dkr.ecr.{region}.{known.domain(region)}/{repository}:{tag}"


def parts(uri: str) -> tuple[str, str, str] | None:
    """Account, region and repository of an image in Amazon ECR; None for any other image."""
    found = _URI.fullmatch(uri)
    if found is None or found["domain"] != registries().domain(found["region"]):
        return None
    return found["account"], found["region"], found["repository"]


def platform_name(repository: str) -> str | None:
    """The last part of the name of a repository of this platform; None for any other."""
    found = _PLATFORM.fullmatch(repository)
    return None if found is None else found["name"]
