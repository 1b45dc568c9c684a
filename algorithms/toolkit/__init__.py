"""What every algorithm shares: the container contract, the data formats and the server."""

from pathlib import Path

_NOT_ALGORITHMS = {"__init__", "__main__"}


def available() -> tuple[str, ...]:
    """The algorithms that have a module here, by the names of the catalogue."""
    folder = Path(__file__).parent.parent
    return tuple(
        sorted(
            path.stem.replace("_", "-")
            for path in folder.glob("*.py")
            if path.stem not in _NOT_ALGORITHMS
        )
    )
