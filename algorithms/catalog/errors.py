"""What the catalogue refuses, each with every problem it found."""

from collections.abc import Sequence


class CatalogError(ValueError):
    """Something the catalogue refuses; `problems` holds one sentence for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__(" ".join(self.problems))


class UnknownAlgorithm(CatalogError):
    """A name that is none of the built-in algorithms; `nearest` holds those spelt most like it."""

    def __init__(self, name: str, nearest: tuple[str, ...], known: tuple[str, ...]) -> None:
        self.name = name
        self.nearest = nearest
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"known: {', '.join(known)}."
        super().__init__([f"There is no built-in algorithm {name!r}: {hint}"])


class HyperparameterError(CatalogError):
    """Hyperparameters that the algorithm would refuse."""


class ChannelError(CatalogError):
    """Input channels that the algorithm would refuse."""


class ResourceError(CatalogError):
    """Instances that the algorithm cannot train on."""


class CatalogFileError(CatalogError):
    """A catalogue file that does not hold what it should."""
