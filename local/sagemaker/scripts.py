"""Scripts of one's own in AWS's framework images: which run here, as processes, and which do not.

A script is named by hyperparameters or by variables, as SageMaker's SDKs name it. Where its image
does not read them, the image would do something else than was asked for: such a request is refused.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.sagemaker.errors import invalid

if TYPE_CHECKING:
    from algorithms.catalog.frameworks import FrameworkImage

PROGRAM = "sagemaker_program"
_PROGRAM_VARIABLE = PROGRAM.upper()


@dataclass(frozen=True)
class Script:
    """A script that runs in the place of an image: the framework, and the version in its tag."""

    framework: str
    version: str

    def variables(self) -> dict[str, str]:
        """What tells the process which script runs, and in the place of what."""
        from algorithms import scripts
        from algorithms.scripts import versions

        return {scripts.VARIABLE: self.framework, versions.VARIABLE: self.version}


def named(settings: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The script that hyperparameters or variables name; empty where neither does."""
    given = environment.get(_PROGRAM_VARIABLE, "") or settings.get(PROGRAM, "")
    try:
        # The SDK writes hyperparameters as JSON.
        value = json.loads(given) if given else ""
    except ValueError:
        value = given
    return value if isinstance(value, str) else given


def of_training(image: str, params: Mapping[str, Any]) -> Script | None:
    """The script of a training job; None where the image runs no script.

    Raises:
        ServiceError: for an image in which no script runs here, or a job that names none.
    """
    program = named(params.get("HyperParameters", {}), params.get("Environment", {}))
    found = _framework(image)
    if found is None:
        return None
    if not program and _has_an_algorithm(found):
        return None
    _check_runs(found, image)
    if not found.trains:
        raise invalid(
            f"The image {image} serves, and does not train: {found.framework.title} trains in "
            f"{found.framework.training}."
        )
    if not program:
        raise invalid(
            f"The image {image} runs a script of yours: name it in the hyperparameter {PROGRAM}, "
            "and its archive in sagemaker_submit_directory."
        )
    hosts = _hosts(params.get("ResourceConfig", {}))
    if hosts > 1:
        raise invalid(
            f"The job asks for {hosts} instances. A script runs as a process here, whose hosts "
            "cannot find one another by name: use one instance, or an image that runs in Docker."
        )
    return Script(found.framework.name, found.version)


def of_serving(image: str, environment: Mapping[str, str]) -> Script | None:
    """The script of a model; None where the image runs no script.

    Raises:
        ServiceError: for an image in which no script runs here.
    """
    found = _framework(image)
    if found is None:
        return None
    if not named({}, environment) and _has_an_algorithm(found):
        return None
    _check_runs(found, image)
    if not found.serves:
        raise invalid(
            f"The image {image} trains, and does not serve: {found.framework.title} serves in "
            f"{found.framework.serving}."
        )
    return Script(found.framework.name, found.version)


def refuse_ignored(
    image: str, algorithm: str, settings: Mapping[str, str], environment: Mapping[str, str]
) -> None:
    """Refuse a script that the built-in algorithm of an image would not run.

    Raises:
        ServiceError: naming where the script is named.
    """
    program = named(settings, environment)
    if not program:
        return
    where = (
        f"Environment {_PROGRAM_VARIABLE}"
        if environment.get(_PROGRAM_VARIABLE)
        else f"hyperparameter {PROGRAM}"
    )
    raise invalid(
        f"{where} names the script {program}, which the image {image} would not run: it is the "
        f"algorithm {algorithm}. Leave it out, or use AWS's image of {_titles()}, where scripts "
        "run."
    )


def refusal(image: str) -> str:
    """Say which of AWS's frameworks an image has that runs in Docker alone; empty for none."""
    from algorithms.catalog import frameworks

    title = frameworks.other(image)
    if not title:
        return ""
    return (
        f"it is AWS's image of {title}, which runs in Docker alone: get it with docker pull "
        f"{image} on a machine with Docker. Scripts of {_titles()} run without, as processes"
    )


def _titles() -> str:
    from algorithms.catalog.frameworks import FRAMEWORKS

    *most, last = [f"{one.title} ({one.training})" for one in FRAMEWORKS]
    return f"{', '.join(most)} and {last}"


def _framework(image: str) -> FrameworkImage | None:
    from algorithms.catalog import frameworks

    return frameworks.resolve(image)


def _has_an_algorithm(found: FrameworkImage) -> bool:
    """Whether the image is a built-in algorithm, too, which runs where no script is named."""
    return found.framework.name == "xgboost"


def _check_runs(found: FrameworkImage, image: str) -> None:
    if found.python.startswith("2"):
        raise invalid(
            f"The image {image} has Python 2, for which no script runs here: take a tag with py3."
        )
    if importlib.util.find_spec(found.framework.module) is None:
        raise invalid(
            f"The image {image} is {found.framework.title}, which is not installed here: "
            f"{found.framework.missing}."
        )


def _hosts(resources: Mapping[str, Any]) -> int:
    groups = resources.get("InstanceGroups", [])
    counts = [group.get("InstanceCount", 1) for group in groups]
    return sum(counts) if counts else int(resources.get("InstanceCount", 1))
