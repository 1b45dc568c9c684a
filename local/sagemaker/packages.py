"""What a model package takes over from its source, and what an update changes of it."""

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from botocore.model import StructureShape

from local.sagemaker import listing
from local.sagemaker.errors import invalid
from local.sagemaker.store import Document
from local.sagemaker.validation import service_model

_MOST_SPECIFICATIONS = 15
# A package that is cloned gives what describes the model, and nothing of its approval.
_CLONED = (
    "InferenceSpecification",
    "AdditionalInferenceSpecifications",
    "ModelMetrics",
    "DriftCheckBaselines",
    "MetadataProperties",
    "CustomerMetadataProperties",
    "Domain",
    "Task",
    "SamplePayloadUrl",
)
# https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-details.html, the model package
# model card schema: that of model cards without model_package_details.
_CARD_SECTIONS = (
    "model_overview",
    "intended_uses",
    "business_details",
    "training_details",
    "evaluation_details",
    "additional_information",
)
_REPLACED = (
    "ModelApprovalStatus",
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelLifeCycle",
    "ModelPackageRegistrationType",
)


def check(params: Mapping[str, Any]) -> None:
    """Check what a creation and an update have in common.

    Raises:
        ServiceError: for an InferenceSpecification beside a SourceUri, and for a card that is none.
    """
    if "SourceUri" in params and "InferenceSpecification" in params:
        raise invalid(
            "InferenceSpecification and SourceUri cannot be given together: the source has an "
            "inference specification of its own. Create the package with one, and add the other "
            "with UpdateModelPackage."
        )
    content = params.get("ModelCard", {}).get("ModelCardContent")
    if content is None:
        return
    try:
        card = json.loads(content)
    except (ValueError, RecursionError):
        card = None
    if not isinstance(card, dict):
        raise invalid("ModelCardContent must be a JSON object of the model card schema.")
    unknown = sorted(set(card) - set(_CARD_SECTIONS))
    if unknown:
        raise invalid(
            f"ModelCardContent has {', '.join(unknown)}, which the schema of the model card of a "
            f"model package has not; it has: {', '.join(_CARD_SECTIONS)}."
        )


def from_package(source: Mapping[str, Any]) -> Document:
    """What a new package takes over when its SourceUri is another package."""
    return listing.summary(source, _CLONED)


def from_model(
    containers: list[Mapping[str, Any]], package: Callable[[str], Mapping[str, Any]]
) -> Document:
    """What a new package takes over when its SourceUri is a model.

    Raises:
        ServiceError: when a container of the model names a package that is no more.
    """
    shape = cast(StructureShape, service_model().shape_for("ModelPackageContainerDefinition"))
    found: list[Document] = []
    for container in containers:
        if name := container.get("ModelPackageName"):
            specification = package(name).get("InferenceSpecification", {})
            found += specification.get("Containers", [])
        else:
            found.append(listing.summary(container, shape.members))
    return {"InferenceSpecification": {"Containers": found}}


def change(document: Document, params: Mapping[str, Any]) -> None:
    """Change a package as UpdateModelPackage asks for.

    Raises:
        ServiceError: for additional specifications that are too many, or of one name.
    """
    specifications = [
        *document.get("AdditionalInferenceSpecifications", []),
        *params.get("AdditionalInferenceSpecificationsToAdd", []),
    ]
    check_specifications(specifications)
    document.update(listing.summary(params, _REPLACED))
    if specifications:
        document["AdditionalInferenceSpecifications"] = specifications
    if "ModelCard" in params:
        document["ModelCard"] = {
            "ModelCardStatus": "Draft",
            "ModelCardContent": "{}",
            **document.get("ModelCard", {}),
            **params["ModelCard"],
        }
    properties = document.get("CustomerMetadataProperties", {})
    properties.update(params.get("CustomerMetadataProperties", {}))
    for key in params.get("CustomerMetadataPropertiesToRemove", []):
        properties.pop(key, None)
    if properties:
        document["CustomerMetadataProperties"] = properties


def check_specifications(specifications: list[Document]) -> None:
    """Check the additional inference specifications that a package would have.

    Raises:
        ServiceError: when there are too many, or two of one name.
    """
    names = [one["Name"] for one in specifications]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise invalid(
            f"A model package has one additional inference specification of a name; {twice[0]} is "
            "taken."
        )
    if len(names) > _MOST_SPECIFICATIONS:
        raise invalid(
            f"A model package has at most {_MOST_SPECIFICATIONS} additional inference "
            f"specifications; this one would have {len(names)}."
        )
