"""The built-in algorithms of SageMaker, as AWS hosts them: one file each beside this one."""

from difflib import get_close_matches
from functools import cache
from pathlib import Path

from algorithms.catalog import registry
from algorithms.catalog.errors import (
    CatalogError,
    CatalogFileError,
    ChannelError,
    HyperparameterError,
    ResourceError,
    UnknownAlgorithm,
)
from algorithms.catalog.files import read
from algorithms.catalog.model import Algorithm, Channel, Hyperparameter, Metric

__all__ = [
    "Algorithm",
    "CatalogError",
    "CatalogFileError",
    "Channel",
    "ChannelError",
    "Hyperparameter",
    "HyperparameterError",
    "Metric",
    "ResourceError",
    "UnknownAlgorithm",
    "algorithm",
    "names",
    "resolve_image",
]

_FOLDER = Path(__file__).parent


@cache
def names() -> tuple[str, ...]:
    """The names of all built-in algorithms, in order."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml") if path.stem != "registries"))


@cache
def algorithm(name: str) -> Algorithm:
    """The entry of one algorithm; reads its file alone, once.

    Raises:
        UnknownAlgorithm: There is none of this name; it holds the nearest names.
    """
    if name not in names():
        near = tuple(get_close_matches(name.lower().replace("_", "-"), names(), n=3))
        raise UnknownAlgorithm(name, near, names())
    entry = read(_FOLDER / f"{name}.yaml", Algorithm)
    if entry.name != name:
        raise CatalogFileError([f"{name}.yaml: name: is {entry.name!r}, unlike the file."])
    return entry


def resolve_image(uri: str) -> str | None:
    """The algorithm behind an image: AWS's own of any tag, or this platform's; else None."""
    found = registry.parts(uri)
    if found is None:
        return None
    account, region, repository = found
    own = registry.platform_name(repository)
    if own is not None:
        return own if own in names() else None
    # A repository's name holds the algorithm's, so that one file is read here, and not all.
    for name in names():
        if name in repository:
            entry = algorithm(name)
            for image in (entry.image, *entry.former_images):
                accounts = registry.registries().accounts[image.registry]
                if image.repository == repository and accounts.get(region) == account:
                    return name
    return None
