"""Reading catalogue files, with errors that name the file and the key."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from algorithms.catalog.errors import CatalogFileError

M = TypeVar("M", bound=BaseModel)

# libyaml is ten times as fast, and a file is read at the start of a function or a container.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path, model: type[M]) -> M:
    """Read a catalogue file into its model.

    Raises:
        CatalogFileError: The file does not fit; one sentence for each key that is wrong.
    """
    try:
        data = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        raise CatalogFileError([f"{path.name}: not YAML: {error}"]) from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise CatalogFileError(
            [f"{path.name}: {_place(data, one['loc'])}: {one['msg']}." for one in error.errors()]
        ) from error


def _place(data: object, location: tuple[int | str, ...]) -> str:
    """The keys that lead to an error, with the name of an entry instead of its number."""
    steps: list[str] = []
    for step in location:
        if isinstance(data, list) and isinstance(step, int):
            data = data[step]
            step = data.get("name", step) if isinstance(data, dict) else step
        elif isinstance(data, dict):
            data = data.get(step)
        steps.append(str(step))
    return ".".join(steps) or "the whole file"
