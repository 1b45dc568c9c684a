"""Which container images run here, and as what."""

import compileall
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from local.sagemaker import scripts
from local.sagemaker.errors import invalid


class Runtime(Protocol):
    """Runs images as processes."""

    def available(self) -> Sequence[str]:
        """Name the algorithms that can run."""

    def resolve(self, image: str) -> str | None:
        """Name the algorithm that an image URI stands for, or None."""

    def metric_definitions(self, algorithm: str) -> list[dict[str, str]]:
        """List the metrics that AWS's own image of the algorithm reports."""

    def keeps_checkpoints(self, algorithm: str) -> bool:
        """Whether AWS's own image of the algorithm goes on from checkpoints."""

    def command(self, action: str) -> Sequence[str]:
        """Give the command that acts as the image's `train` or `serve`."""

    def environment(self, algorithm: str) -> Mapping[str, str]:
        """Give what the process finds in its environment beside what SageMaker puts there."""

    def reads(self) -> Sequence[Path]:
        """Name the files and folders that the process reads, beside those of its own and Python."""


class AlgorithmsRuntime:
    """The algorithms of this project, in the place of any image of theirs."""

    def __init__(self) -> None:
        # Who runs an algorithm may not write beside it, and would compile it anew each time.
        threading.Thread(
            target=compileall.compile_dir, args=[_algorithms()], kwargs={"quiet": 2}, daemon=True
        ).start()

    def available(self) -> Sequence[str]:
        """Name the algorithms of the catalogue that have a module."""
        from algorithms import toolkit

        names: tuple[str, ...] = toolkit.available()
        return names

    def resolve(self, image: str) -> str | None:
        """Look the image up in the catalogue."""
        from algorithms import catalog

        return catalog.resolve_image(image)

    def metric_definitions(self, algorithm: str) -> list[dict[str, str]]:
        """Take the definitions of the catalogue."""
        from algorithms import catalog

        found: Sequence[Any] = catalog.algorithm(algorithm).metrics
        return [{"Name": metric.name, "Regex": metric.regex} for metric in found]

    def keeps_checkpoints(self, algorithm: str) -> bool:
        """Look the algorithm up in the catalogue."""
        from algorithms import catalog

        kept: bool = catalog.algorithm(algorithm).checkpoints
        return kept

    def command(self, action: str) -> Sequence[str]:
        """Run the toolkit under the interpreter that runs the platform.

        Isolated: neither the folder of the process nor a person's own packages are searched.
        """
        return [sys.executable, "-I", "-u", str(_algorithms() / "start.py"), action]

    def environment(self, algorithm: str) -> Mapping[str, str]:
        """Say which algorithm to run."""
        return {"ALGORITHM_NAME": algorithm}

    def reads(self) -> Sequence[Path]:
        """Name the folder of the algorithms."""
        return [_algorithms()]


def _algorithms() -> Path:
    import algorithms

    return Path(str(algorithms.__file__)).parent


def runnable(runtime: Runtime, image: str) -> str:
    """Name the algorithm behind an image.

    Raises:
        ServiceError: when the local platform cannot run the image, saying what it can.
    """
    algorithm = runtime.resolve(image)
    available = runtime.available()
    if algorithm in available and algorithm is not None:
        return algorithm
    if refusal := scripts.refusal(image):
        raise invalid(f"The local platform cannot run the image {image}: {refusal}.")
    found = f"is the algorithm {algorithm}" if algorithm else "is no image of a built-in algorithm"
    raise invalid(
        f"The local platform cannot run the image {image}: it {found}. "
        f"What runs here, under AWS's image URIs and under this project's: {', '.join(available)}."
    )


def is_own(image: str, account: str) -> bool:
    """Whether an image lies in this account's registry, and so is not one of AWS's own."""
    return image.partition(".")[0] == account
