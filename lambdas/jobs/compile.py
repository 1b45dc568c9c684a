"""Turn a request into what SageMaker is asked for, or refuse it. No AWS in here."""

import hashlib
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

from algorithms.catalog import Algorithm, CatalogError, algorithm
from jobs.request import InvalidRequest, JobRequest
from jobs.settings import Platform

# The images of this platform are tagged with the version of their contract.
_PLATFORM_TAG = "1"
_RESPONSE_TYPES = ["text/csv", "application/json", "application/jsonlines"]

_T = TypeVar("_T")


class Location(NamedTuple):
    """Where a channel reads from."""

    channel: str
    uri: str
    bucket: str
    prefix: str


def job_name(platform: Platform, request: JobRequest, execution: str, started: str) -> str:
    """The name that every try of one execution gives its job, so that a retry finds it.

    The start is part of it because executions may share their name once AWS has forgotten the
    first, while SageMaker never lets a job's name be used again.
    """
    digest = hashlib.sha256(f"{execution} {started}".encode()).hexdigest()[:9]
    return f"{platform.environment_name}-{request.name or request.algorithm}-{digest}"


def compile_job(
    platform: Platform, request: JobRequest, *, execution: str, started: str
) -> dict[str, Any]:
    """All that the states after `validate` need.

    Raises:
        InvalidRequest: With every problem at once.
    """
    problems: list[str] = []
    entry = _algorithm(request)
    image = _collect(problems, lambda: _image(platform, request, entry))
    hyperparameters = _collect(problems, lambda: entry.encode(request.hyperparameters))
    problems += _channel_problems(request, entry)
    instance_types = request.instance_types or list(platform.defaults.instance_types)
    _collect(
        problems,
        lambda: entry.check_resources(
            instance_types, request.instance_count, request.hyperparameters
        ),
    )
    problems += _destination_problems(platform, request)
    if platform.subnets and request.image == "aws" and _loads_weights(entry, request):
        problems.append(
            "hyperparameters.use_pretrained_model: found 1, but AWS's image fetches the weights "
            "from a bucket of AWS, which the private network does not lead to; allowed: 0, or "
            "weights of your own in a model channel where the algorithm takes one"
        )
    if problems or image is None or hyperparameters is None:
        raise InvalidRequest(problems)
    name = job_name(platform, request, execution, started)
    output = f"s3://{platform.models_bucket}/jobs"
    parameters: dict[str, Any] = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": platform.execution_role_arn,
        "HyperParameters": hyperparameters,
        "InputDataConfig": [
            {
                "ChannelName": channel,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": given.data_type,
                        "S3Uri": given.s3_uri,
                        "S3DataDistributionType": given.distribution,
                    }
                },
                **({"ContentType": given.content_type} if given.content_type else {}),
                "InputMode": given.input_mode,
            }
            for channel, given in request.channels.items()
        ],
        "OutputDataConfig": {"S3OutputPath": output, "KmsKeyId": platform.key_arn},
        "ResourceConfig": _resources(platform, request, instance_types[0]),
        "StoppingCondition": {
            "MaxRuntimeInSeconds": request.max_runtime_seconds
            or platform.defaults.max_runtime_seconds
        },
        "EnableInterContainerTrafficEncryption": True,
        "EnableNetworkIsolation": not _loads_weights(entry, request),
        "Tags": _tags(platform, request, execution),
    }
    if platform.subnets:
        parameters["VpcConfig"] = {
            "Subnets": list(platform.subnets),
            "SecurityGroupIds": list(platform.security_groups),
        }
    job: dict[str, Any] = {
        "name": name,
        "algorithm": entry.name,
        "s3_prefix": f"{output}/{name}/",
        "parameters": parameters,
        "request": request.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    if request.register_:
        job["register"] = {
            "group": platform.groups[request.register_.group],
            "approval": request.register_.approval,
            "content_types": _content_types(request, entry),
            "response_types": _RESPONSE_TYPES,
        }
    if request.deploy:
        short = request.deploy.endpoint
        job["deploy"] = {
            "endpoint": f"sagemaker-platform-{platform.environment_name}-{short}",
            "stack": platform.endpoints[short],
        }
    return job


def locations(request: JobRequest) -> list[Location]:
    """Where the channels read from."""
    found = []
    for channel, given in request.channels.items():
        bucket, _, prefix = given.s3_uri.removeprefix("s3://").partition("/")
        found.append(Location(channel, given.s3_uri, bucket, prefix))
    return found


def nothing_found(location: Location, platform: Platform, reason: str = "") -> str:
    """What SageMaker would say of a prefix that holds nothing or that may not be read."""
    text = (
        f"channels.{location.channel}.s3_uri: No S3 objects found under S3 URL "
        f'"{location.uri}" given in input data source. Please ensure that the bucket exists in '
        f"the selected region ({platform.region}), that objects exist under that S3 prefix, and "
        f'that the role "{platform.execution_role_arn}" has "s3:ListBucket" permissions on bucket '
        f'"{location.bucket}".'
    )
    return f"{text} {reason}" if reason else text


def has_local_storage(instance_type: str) -> bool:
    """Whether the instances bring disks of their own, for which SageMaker refuses a KMS key."""
    family = instance_type.split(".")[1]
    return bool(re.fullmatch(r"[a-z]+\d[a-z]*d[a-z]*|g[5-9]\w*|p[4-9][\w-]*|trn\w+", family))


def _algorithm(request: JobRequest) -> Algorithm:
    try:
        return algorithm(request.algorithm)
    except CatalogError as error:
        raise InvalidRequest([f"algorithm: {one}" for one in error.problems]) from None


def _collect(problems: list[str], work: Callable[[], _T]) -> _T | None:
    try:
        return work()
    except CatalogError as error:
        problems += error.problems
    except ValueError as error:
        problems.append(str(error))
    return None


def _image(platform: Platform, request: JobRequest, entry: Algorithm) -> str:
    if request.image == "platform":
        return f"{platform.image_registry}/{entry.name}:{_PLATFORM_TAG}"
    return entry.image_uri(platform.region)


def _channel_problems(request: JobRequest, entry: Algorithm) -> list[str]:
    problems = [
        f"channels.{name}.input_mode: found {given.input_mode!r}, which comes with a later "
        "release; allowed: 'File'"
        for name, given in request.channels.items()
        if given.input_mode != "File"
    ]
    channels = {
        name: {
            "content_type": given.content_type,
            "distribution": given.distribution,
            # Whether the algorithm takes another mode is no question while none is allowed.
            "input_mode": "File",
        }
        for name, given in request.channels.items()
    }
    _collect(problems, lambda: entry.check_channels(channels, request.hyperparameters))
    return problems


def _destination_problems(platform: Platform, request: JobRequest) -> list[str]:
    problems = []
    if request.register_ and request.register_.group not in platform.groups:
        problems.append(
            _unknown("register.group", request.register_.group, platform.groups)
            + "; groups are declared in the environment file under training.model_package_groups"
        )
    if request.deploy:
        endpoint = request.deploy.endpoint
        if endpoint not in platform.endpoints:
            problems.append(
                _unknown("deploy.endpoint", endpoint, platform.endpoints)
                + "; endpoints are declared in the environment file"
            )
        elif not platform.endpoints[endpoint]:
            problems.append(
                f"deploy.endpoint: {endpoint!r} has model: in the environment file, which alone "
                "decides what it serves; change that line, or leave deploy out"
            )
    return problems


def _unknown(key: str, found: str, known: Mapping[str, str]) -> str:
    near = get_close_matches(found, known, n=3)
    allowed = ", ".join(known) or "none"
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{key}: found {found!r}; {meant}allowed: {allowed}"


def _resources(platform: Platform, request: JobRequest, instance_type: str) -> dict[str, Any]:
    resources: dict[str, Any] = {
        "InstanceType": instance_type,
        "InstanceCount": request.instance_count,
        "VolumeSizeInGB": request.volume_gb or platform.defaults.volume_gb,
    }
    if not has_local_storage(instance_type):
        resources["VolumeKmsKeyId"] = platform.key_arn
    return resources


def _loads_weights(entry: Algorithm, request: JobRequest) -> bool:
    """Whether the container fetches pre-trained weights, which it cannot without a network."""
    try:
        return bool(entry.parse(request.hyperparameters).get("use_pretrained_model"))
    except CatalogError:
        return False


def _tags(platform: Platform, request: JobRequest, execution: str) -> list[dict[str, str]]:
    own = {
        "sagemaker-platform:environment": platform.environment_name,
        "sagemaker-platform:execution": execution,
    }
    return [{"Key": key, "Value": value} for key, value in {**request.tags, **own}.items()]


def _content_types(request: JobRequest, entry: Algorithm) -> list[str]:
    """What the model answers to: its sample's type first, then those it was trained from."""
    trained = [one for channel in entry.channels for one in channel.content_types]
    sample = [request.sample.content_type] if request.sample else []
    plain = [one.split(";")[0].strip() for one in (*sample, *trained, *_RESPONSE_TYPES)]
    return list(dict.fromkeys(plain))
