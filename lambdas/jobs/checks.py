"""Whether SageMaker will take what a request becomes, asked before anything is paid for."""

from collections.abc import Iterator, Mapping
from typing import Any

from jobs import registration
from jobs.members import CREATE_MODEL_PACKAGE, CREATE_TRAINING_JOB, Violation, violations
from jobs.request import CODE_CHANNEL, JobRequest
from jobs.settings import Platform

OWN_TAGS = "sagemaker-platform:"
"""What the keys of the tags that the platform gives every job begin with."""

_CHANNEL_KEYS = {
    "S3Uri": "s3_uri",
    "ContentType": "content_type",
    "AttributeNames": "attribute_names",
}


def member_problems(platform: Platform, request: JobRequest, job: Mapping[str, Any]) -> list[str]:
    """Each member that SageMaker would refuse when it trains or registers, by the request's key."""
    parameters = job["parameters"]
    found = [
        f"{_of_job(one, request, parameters)}: {one}"
        for one in violations(CREATE_TRAINING_JOB, parameters)
    ]
    if "register" in job:
        package = _expected_package(platform, request, job)
        found += [
            f"{_of_package(one, request, package)}: {one}"
            for one in violations(CREATE_MODEL_PACKAGE, package)
        ]
    return [*found, *_tag_problems(request)]


def _tag_problems(request: JobRequest) -> Iterator[str]:
    seen: dict[str, str] = {}
    for key in request.tags:
        lower = key.lower()
        if lower.startswith(OWN_TAGS):
            yield f"tags.{key}: the platform gives jobs its own tags of this prefix; choose another"
        if lower in seen:
            yield (
                f"tags.{key}: found beside {seen[lower]!r}; SageMaker takes keys that differ in "
                "case alone for one key, so leave one of them out"
            )
        seen.setdefault(lower, key)


def _expected_package(
    platform: Platform, request: JobRequest, job: Mapping[str, Any]
) -> dict[str, Any]:
    """CreateModelPackage as it will be asked for once the job has ended."""
    _, partition, _, _, account, _ = platform.execution_role_arn.split(":", 5)
    name, folder = job["name"], f"s3://{platform.models_bucket}/jobs/{job['name']}"
    return registration.package(
        job,
        {
            "job_arn": f"arn:{partition}:sagemaker:{platform.region}:{account}:training-job/{name}",
            "model_data_url": f"{folder}/output/model.tar.gz",
        },
        execution=_execution(job),
        metrics_uri=f"{folder}/metrics.json",
        request_uri=f"{folder}/request.json",
        sample_uri=f"{folder}/sample.tar.gz" if request.sample else None,
    )


def _execution(job: Mapping[str, Any]) -> str:
    tags = {tag["Key"]: tag["Value"] for tag in job["parameters"]["Tags"]}
    return str(tags[f"{OWN_TAGS}execution"])


def _of_job(found: Violation, request: JobRequest, parameters: Mapping[str, Any]) -> str:
    """The key of the request that a member of CreateTrainingJob comes from."""
    match found.path:
        case ("HyperParameters", *rest):
            return ".".join(["hyperparameters", *map(str, rest)])
        case ("InputDataConfig", int(index), *rest):
            name = parameters["InputDataConfig"][index]["ChannelName"]
            if name == CODE_CHANNEL and name not in request.channels:
                return "source"
            keys = [_CHANNEL_KEYS[one] for one in map(str, rest) if one in _CHANNEL_KEYS]
            return ".".join(["channels", name, *keys])
        case ("InputDataConfig",):
            return "channels"
        case ("AlgorithmSpecification", "TrainingImage"):
            return "image"
        case ("AlgorithmSpecification", "MetricDefinitions", *rest):
            return ".".join(["metric_definitions", *(str(one).lower() for one in rest)])
        case ("Tags", int(index), *_):
            return f"tags.{parameters['Tags'][index]['Key']}"
        case ("Tags",):
            return "tags"
    return f"CreateTrainingJob.{'.'.join(map(str, found.path))} (a setting of the environment)"


def _of_package(found: Violation, request: JobRequest, package: Mapping[str, Any]) -> str:
    """The key of the request that a member of CreateModelPackage comes from."""
    match found.path:
        case ("MetadataProperties", "Repository"):
            return "provenance.repository"
        case ("MetadataProperties", "CommitId"):
            return "provenance.commit"
        case ("InferenceSpecification", "Containers", _, "Image"):
            return "image"
        case ("InferenceSpecification", "SupportedContentTypes", _):
            sample = request.sample
            if sample and sample.content_type.split(";")[0].strip() == found.value:
                return "sample.content_type"
            return "channels"
    return f"CreateModelPackage.{'.'.join(map(str, found.path))} (a setting of the environment)"
