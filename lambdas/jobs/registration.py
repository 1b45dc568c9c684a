"""A model package of what a training job left. No AWS in here."""

import uuid
from collections.abc import Mapping
from typing import Any

from jobs.members import property_text

_NAMESPACE = uuid.UUID("5f0a8f1c-7a0b-4d0c-9f57-2f2c1f6ad3a8")


def package(
    job: Mapping[str, Any],
    training: Mapping[str, Any],
    *,
    execution: str,
    metrics_uri: str,
    request_uri: str,
    sample_uri: str | None,
) -> dict[str, Any]:
    """The parameters of CreateModelPackage, the same for every try of one job.

    Neither instance types nor approval by others are for the model to say, so that the package
    fits every endpoint of the environment.
    """
    wanted = job["register"]
    properties = {
        "job": job["name"],
        "algorithm": job["algorithm"],
        "execution": execution,
        "request": request_uri,
        **_origin(job),
    }
    parameters: dict[str, Any] = {
        "ModelPackageGroupName": wanted["group"],
        "ModelPackageDescription": f"{job['algorithm']} trained by {job['name']}",
        "ModelApprovalStatus": wanted["approval"],
        "InferenceSpecification": {
            "Containers": [
                {
                    "Image": job["parameters"]["AlgorithmSpecification"]["TrainingImage"],
                    "ModelDataUrl": training["model_data_url"],
                }
            ],
            "SupportedContentTypes": wanted["content_types"],
            "SupportedResponseMIMETypes": wanted["response_types"],
        },
        "ModelMetrics": {
            "ModelQuality": {
                "Statistics": {"ContentType": "application/json", "S3Uri": metrics_uri}
            }
        },
        "MetadataProperties": _metadata(job, training["job_arn"]),
        # The request itself, in `request`, has them as they were given.
        "CustomerMetadataProperties": {
            key: property_text(value) for key, value in properties.items()
        },
        # SageMaker answers the same token with the package that it has already made.
        "ClientToken": str(uuid.uuid5(_NAMESPACE, job["name"])),
    }
    if sample_uri:
        # SageMaker takes a sample only beside what the model is for.
        parameters |= {
            "Domain": "MACHINE_LEARNING",
            "Task": "OTHER",
            "SamplePayloadUrl": sample_uri,
        }
    return parameters


def _origin(job: Mapping[str, Any]) -> dict[str, str]:
    """Who asked for the model, and the code that it was made with."""
    request = job["request"]
    origin = request.get("provenance", {})
    found = {"submitted_by": origin.get("submitted_by", "")}
    if request.get("source"):
        found["source"] = f"{job['s3_prefix']}source/sourcedir.tar.gz"
    if origin.get("commit"):
        found["commit"] = origin["commit"]
        found["modified"] = "true" if origin.get("modified") else "false"
    return {key: value for key, value in found.items() if value}


def _metadata(job: Mapping[str, Any], job_arn: str) -> dict[str, str]:
    origin = job["request"].get("provenance", {})
    found = {
        "GeneratedBy": job_arn,
        "CommitId": origin.get("commit", ""),
        "Repository": origin.get("repository", ""),
    }
    return {key: value for key, value in found.items() if value}
