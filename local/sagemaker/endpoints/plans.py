"""The plan of an endpoint: what its servers need, whatever becomes of its configuration."""

from collections.abc import Mapping
from typing import Any

from local.sagemaker.models import Models
from local.sagemaker.programs import Programs
from local.sagemaker.store import Document


def drawn_up(config: Mapping[str, Any], models: Models, programs: Programs) -> Document:
    """Write down all that the servers need: config and model may be deleted meanwhile."""
    variants = []
    for variant in config["ProductionVariants"]:
        model = models.get(variant["ModelName"])
        container = models.container(model)
        programs.check_serving(container["Image"], container.get("Environment", {}))
        variants.append(
            {
                "name": variant["VariantName"],
                "image": container["Image"],
                "data_url": container.get("ModelDataUrl"),
                "environment": container.get("Environment", {}),
                "role": model["ExecutionRoleArn"],
                "isolated": model.get("EnableNetworkIsolation", False),
                "instance_type": variant["InstanceType"],
                "instances": variant["InitialInstanceCount"],
                "weight": variant.get("InitialVariantWeight", 1.0),
                "startup": variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
                "volume_key": config.get("KmsKeyId"),
            }
        )
    return {
        "config": config["EndpointConfigName"],
        "variants": variants,
        "capture": config.get("DataCaptureConfig"),
    }


def retain(plan: Document, before: Mapping[str, Any], excluded: set[str]) -> None:
    """Keep in a new plan what the one before has, but for the excluded kinds of properties."""
    known = {variant["name"]: variant for variant in before["variants"]}
    for variant in plan["variants"]:
        old = known.get(variant["name"])
        if old and "DesiredInstanceCount" not in excluded:
            variant["instances"] = old["instances"]
        if old and "DesiredWeight" not in excluded:
            variant["weight"] = old["weight"]
    if "DataCaptureConfig" not in excluded:
        plan["capture"] = before.get("capture")


def shown_variants(plan: Mapping[str, Any]) -> list[Document]:
    """The variants of a plan as DescribeEndpoint shows them."""
    return [
        {
            "VariantName": variant["name"],
            "DeployedImages": [
                {"SpecifiedImage": variant["image"], "ResolvedImage": variant["image"]}
            ],
            "CurrentWeight": variant["weight"],
            "DesiredWeight": variant["weight"],
            "CurrentInstanceCount": variant["instances"],
            "DesiredInstanceCount": variant["instances"],
        }
        for variant in plan["variants"]
    ]


def shown_capture(plan: Mapping[str, Any]) -> Document | None:
    """The data capture of a plan as DescribeEndpoint shows it."""
    config = plan.get("capture")
    if not config:
        return None
    enabled = config.get("EnableCapture", False)
    shown = {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
    }
    if config.get("KmsKeyId"):
        shown["KmsKeyId"] = config["KmsKeyId"]
    return shown
