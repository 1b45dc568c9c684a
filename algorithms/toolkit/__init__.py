"""What every algorithm shares: the container contract, the data formats and the server."""

from pathlib import Path


def available() -> tuple[str, ...]:
    """The algorithms that have a module or a package here, by the names of the catalogue."""
    folder = Path(__file__).parent.parent
    modules = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    here = {name.replace("_", "-") for name in modules | packages}
    return tuple(sorted(here & {path.stem for path in folder.glob("catalog/*.yaml")}))
