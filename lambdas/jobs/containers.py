"""What runs in a job: a built-in algorithm by its catalogue entry, or an own image as it is."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from algorithms.catalog import Algorithm, CatalogError, algorithm
from jobs.request import CODE_CHANNEL, JobRequest
from jobs.settings import Platform

# The images of this platform are tagged with the version of their contract.
_PLATFORM_TAG = "1"
# Longer than this SageMaker does not wait for spare capacity for an algorithm that starts anew.
_LONGEST_ANEW = 3600

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Container:
    """What a job runs, as CreateTrainingJob takes it."""

    name: str
    specification: dict[str, Any]
    hyperparameters: dict[str, str]
    isolated: bool
    content_types: tuple[str, ...] = ()
    """What it was trained from, which its model may be asked in."""
    fetches_weights: bool = False
    """Whether AWS's image loads pre-trained weights, for which it needs a network."""


def built_in(
    platform: Platform, request: JobRequest, instance_types: list[str], problems: list[str]
) -> Container | None:
    """A built-in algorithm, checked against its catalogue entry.

    What is wrong goes to `problems`; None when nothing can be run.
    """
    try:
        entry = algorithm(request.algorithm or "")
    except CatalogError as error:
        problems += [f"algorithm: {one}" for one in error.problems]
        return None
    image = _collect(problems, lambda: _image(platform, request, entry))
    hyperparameters = _collect(problems, lambda: entry.encode(request.hyperparameters))
    channels = {
        name: {
            "content_type": given.content_type,
            "distribution": given.distribution,
            "input_mode": given.input_mode,
        }
        for name, given in request.channels.items()
    }
    _collect(problems, lambda: entry.check_channels(channels, request.hyperparameters))
    _collect(
        problems,
        lambda: entry.check_resources(
            instance_types, request.instance_count, request.hyperparameters
        ),
    )
    problems += _spot_problems(platform, request, entry)
    if image is None or hyperparameters is None:
        return None
    loads = _loads_weights(entry, request)
    return Container(
        name=entry.name,
        specification={"TrainingImage": image, "TrainingInputMode": "File"},
        hyperparameters=hyperparameters,
        # This platform's own images bring the weights that they were built with.
        isolated=not (loads and request.image == "aws"),
        content_types=tuple(one for channel in entry.channels for one in channel.content_types),
        fetches_weights=loads and request.image == "aws",
    )


def own(platform: Platform, request: JobRequest) -> Container:
    """An image of the environment's own repositories; what it makes of its input is its own."""
    specification: dict[str, Any] = {
        "TrainingImage": f"{platform.image_registry}/{request.image}",
        "TrainingInputMode": "File",
    }
    if request.metric_definitions:
        specification["MetricDefinitions"] = [
            {"Name": one.name, "Regex": one.regex} for one in request.metric_definitions
        ]
    given = dict(request.hyperparameters)
    if request.entry_point:
        # SageMaker's training toolkit reads every value as JSON, and its own ones by these names.
        given |= {
            "sagemaker_program": request.entry_point,
            "sagemaker_submit_directory": f"/opt/ml/input/data/{CODE_CHANNEL}/sourcedir.tar.gz",
        }
        hyperparameters = {name: json.dumps(value) for name, value in given.items()}
    else:
        hyperparameters = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in given.items()
        }
    return Container(
        name=request.image,
        specification=specification,
        hyperparameters=hyperparameters,
        isolated=request.isolated,
        content_types=tuple(
            one.content_type for one in request.channels.values() if one.content_type
        ),
    )


def _image(platform: Platform, request: JobRequest, entry: Algorithm) -> str:
    if request.image == "platform":
        return f"{platform.image_registry}/{entry.name}:{_PLATFORM_TAG}"
    return entry.image_uri(platform.region)


def _spot_problems(platform: Platform, request: JobRequest, entry: Algorithm) -> list[str]:
    """What "Managed Spot Training" in SageMaker's guide demands of built-in algorithms."""
    if not request.spot or entry.checkpoints:
        return []
    runtime = request.max_runtime_seconds or platform.defaults.max_runtime_seconds
    wait = request.max_wait_seconds or 2 * runtime
    if wait <= _LONGEST_ANEW:
        return []
    return [
        f"max_wait_seconds: {wait} for {entry.name}, which keeps no checkpoints and starts anew "
        f"after each interruption; allowed: at most {_LONGEST_ANEW}, with max_runtime_seconds no "
        "longer, or spot false"
    ]


def _loads_weights(entry: Algorithm, request: JobRequest) -> bool:
    """Whether the container fetches pre-trained weights, which it cannot without a network."""
    try:
        return bool(entry.parse(request.hyperparameters).get("use_pretrained_model"))
    except CatalogError:
        return False


def _collect(problems: list[str], work: Callable[[], _T]) -> _T | None:
    try:
        return work()
    except CatalogError as error:
        problems += error.problems
    except ValueError as error:
        problems.append(str(error))
    return None
