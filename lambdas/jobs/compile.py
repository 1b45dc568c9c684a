"""Turn a request into what SageMaker is asked for, or refuse it. No AWS in here."""

import hashlib
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from jobs.checks import OWN_TAGS, member_problems
from jobs.containers import Container, built_in, own
from jobs.request import CODE_CHANNEL, Channel, InvalidRequest, JobRequest
from jobs.settings import Platform

# The longest that SageMaker waits and runs, 28 days.
LONGEST_WAIT = 2419200
# Stands in for what cannot be told of a request, while its other members are checked.
_UNKNOWN = Container(
    name="unknown",
    specification={"TrainingImage": "unknown", "TrainingInputMode": "File"},
    hyperparameters={},
    isolated=True,
)
_RESPONSE_TYPES = ["text/csv", "application/json", "application/jsonlines"]


class Location(NamedTuple):
    """Something in S3 that a request names."""

    key: str
    uri: str
    bucket: str
    prefix: str


def job_name(platform: Platform, request: JobRequest, execution: str, started: str) -> str:
    """The name that every try of one execution gives its job, so that a retry finds it.

    The start is part of it because executions may share their name once AWS has forgotten the
    first, while SageMaker never lets a job's name be used again.
    """
    digest = hashlib.sha256(f"{execution} {started}".encode()).hexdigest()[:9]
    called = request.name or request.algorithm or re.split("[:@]", request.image)[0]
    # A repository's name may hold what a job's may not.
    called = re.sub("[^a-zA-Z0-9]+", "-", called)[:40].strip("-")
    return f"{platform.environment_name}-{called}-{digest}"


def compile_job(
    platform: Platform, request: JobRequest, *, execution: str, started: str
) -> dict[str, Any]:
    """All that the states after `validate` need.

    Raises:
        InvalidRequest: With every problem at once.
    """
    problems: list[str] = []
    instance_types = request.instance_types or list(platform.defaults.instance_types)
    container = _container(platform, request, instance_types, problems)
    problems += _destination_problems(platform, request)
    problems += _instance_problems(platform, request)
    problems += _network_problems(platform, container)
    problems += _wait_problems(platform, request)
    job = _job(platform, request, container or _UNKNOWN, instance_types[0], execution, started)
    problems += member_problems(platform, request, job)
    if problems:
        raise InvalidRequest(list(dict.fromkeys(problems)))
    return job


def _job(
    platform: Platform,
    request: JobRequest,
    container: Container,
    instance_type: str,
    execution: str,
    started: str,
) -> dict[str, Any]:
    """The job of a request that may have problems, so that its other members can be checked."""
    name = job_name(platform, request, execution, started)
    output = f"s3://{platform.models_bucket}/jobs"
    parameters: dict[str, Any] = {
        "TrainingJobName": name,
        "AlgorithmSpecification": container.specification,
        "RoleArn": platform.execution_role_arn,
        "HyperParameters": container.hyperparameters,
        "InputDataConfig": [
            *(_channel(channel, given) for channel, given in request.channels.items()),
            *_code(request),
        ],
        "OutputDataConfig": {"S3OutputPath": output, "KmsKeyId": platform.key_arn},
        "ResourceConfig": _resources(platform, request, instance_type),
        "StoppingCondition": {"MaxRuntimeInSeconds": _runtime(platform, request)},
        "EnableInterContainerTrafficEncryption": True,
        "EnableNetworkIsolation": container.isolated,
        "Tags": _tags(platform, request, execution),
    }
    if request.spot:
        parameters["EnableManagedSpotTraining"] = True
        parameters["CheckpointConfig"] = {"S3Uri": f"{output}/{name}/checkpoints"}
        parameters["StoppingCondition"]["MaxWaitTimeInSeconds"] = _wait(platform, request)
    if platform.subnets:
        parameters["VpcConfig"] = {
            "Subnets": list(platform.subnets),
            "SecurityGroupIds": list(platform.security_groups),
        }
    job: dict[str, Any] = {
        "name": name,
        "algorithm": container.name,
        "s3_prefix": f"{output}/{name}/",
        "parameters": parameters,
        "request": request.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    if request.register_:
        job["register"] = {
            "group": platform.groups.get(request.register_.group, request.register_.group),
            "approval": request.register_.approval,
            "content_types": _content_types(request, container),
            "response_types": _RESPONSE_TYPES,
        }
    if request.deploy:
        short = request.deploy.endpoint
        job["deploy"] = {
            "endpoint": f"sagemaker-platform-{platform.environment_name}-{short}",
            "stack": platform.endpoints.get(short, ""),
        }
    return job


def locations(request: JobRequest) -> list[Location]:
    """Where channels and code are read from."""
    found = []
    for channel, given in request.channels.items():
        bucket, _, prefix = given.s3_uri.removeprefix("s3://").partition("/")
        found.append(Location(f"channels.{channel}.s3_uri", given.s3_uri, bucket, prefix))
    if request.source:
        bucket, _, key = request.source.removeprefix("s3://").partition("/")
        found.append(Location("source", request.source, bucket, key))
    return found


def nothing_found(location: Location, platform: Platform, reason: str = "") -> str:
    """What SageMaker would say of a prefix that holds nothing or that may not be read."""
    text = (
        f"{location.key}: No S3 objects found under S3 URL "
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


def _container(
    platform: Platform, request: JobRequest, instance_types: list[str], problems: list[str]
) -> Container | None:
    if request.own_image:
        return own(platform, request)
    return built_in(platform, request, instance_types, problems)


def _instance_problems(platform: Platform, request: JobRequest) -> list[str]:
    allowed = (*platform.defaults.instance_types, *platform.defaults.other_instance_types)
    return [
        f"instance_types.{index}: found {found!r}; allowed: {', '.join(allowed)}; further ones are "
        "declared in the environment file under training.other_instance_types"
        for index, found in enumerate(request.instance_types or ())
        if found not in allowed
    ]


def _network_problems(platform: Platform, container: Container | None) -> list[str]:
    if container is None or container.isolated:
        return []
    if platform.defaults.require_isolation:
        found = (
            "hyperparameters.use_pretrained_model: found 1, but AWS's image fetches the weights, "
            "and jobs of this environment reach no network; allowed: 0, weights of your own in a "
            "model channel where the algorithm takes one, image 'platform'"
            if container.fetches_weights
            else "isolated: found false, but jobs of this environment reach no network; allowed: "
            "true"
        )
        return [f"{found}, or training.require_isolation: false in the environment file"]
    if not platform.subnets or not container.fetches_weights:
        return []
    return [
        "hyperparameters.use_pretrained_model: found 1, but AWS's image fetches the weights from "
        "a bucket of AWS, which the private network does not lead to; allowed: 0, or weights of "
        "your own in a model channel where the algorithm takes one"
    ]


def _channel(name: str, given: Channel) -> dict[str, Any]:
    source: dict[str, Any] = {
        "S3DataType": given.data_type,
        "S3Uri": given.s3_uri,
        "S3DataDistributionType": given.distribution,
    }
    if given.attribute_names:
        source["AttributeNames"] = given.attribute_names
    channel: dict[str, Any] = {
        "ChannelName": name,
        "DataSource": {"S3DataSource": source},
        "InputMode": given.input_mode,
    }
    if given.content_type:
        channel["ContentType"] = given.content_type
    if given.record_wrapper != "None":
        channel["RecordWrapperType"] = given.record_wrapper
    if given.compression != "None":
        channel["CompressionType"] = given.compression
    if given.shuffle_seed is not None:
        channel["ShuffleConfig"] = {"Seed": given.shuffle_seed}
    return channel


def _code(request: JobRequest) -> list[dict[str, Any]]:
    """The channel of an own image's code: it reaches a container without a network, too."""
    if not request.own_image or not request.source:
        return []
    return [_channel(CODE_CHANNEL, Channel(s3_uri=f"{request.source.rpartition('/')[0]}/"))]


def _runtime(platform: Platform, request: JobRequest) -> int:
    return request.max_runtime_seconds or platform.defaults.max_runtime_seconds


def _wait(platform: Platform, request: JobRequest) -> int:
    return request.max_wait_seconds or min(2 * _runtime(platform, request), LONGEST_WAIT)


def _wait_problems(platform: Platform, request: JobRequest) -> list[str]:
    if not request.spot or request.max_wait_seconds is None or request.max_runtime_seconds:
        return []
    runtime = platform.defaults.max_runtime_seconds
    if request.max_wait_seconds >= runtime:
        return []
    return [
        f"max_wait_seconds: found {request.max_wait_seconds}; allowed: at least "
        f"max_runtime_seconds, which is {runtime} in the environment file"
    ]


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


def _tags(platform: Platform, request: JobRequest, execution: str) -> list[dict[str, str]]:
    own = {
        f"{OWN_TAGS}environment": platform.environment_name,
        f"{OWN_TAGS}execution": execution,
    }
    return [{"Key": key, "Value": value} for key, value in {**request.tags, **own}.items()]


def _content_types(request: JobRequest, container: Container) -> list[str]:
    """What the model answers to: its sample's type first, then those it was trained from."""
    sample = [request.sample.content_type] if request.sample else []
    found = (*sample, *container.content_types, *_RESPONSE_TYPES)
    plain = [one.split(";")[0].strip() for one in found]
    return list(dict.fromkeys(plain))
