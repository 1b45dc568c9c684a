"""Models, configurations and endpoints as the tests of endpoints make and ask them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import psutil

from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    IMAGE,
    ROLE,
    until,
)

CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": f"s3://{BUCKET}/capture",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
}


def model(sagemaker: SageMakerService, name: str, key: str = "", **changes: object) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{key or f'models/{name}.tar.gz'}"}
    request = {
        "ModelName": name,
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": container,
        **changes,
    }
    sagemaker.call("CreateModel", request)


def variant(model_name: str, name: str = "AllTraffic", **changes: object) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model_name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        **changes,
    }


def config(
    sagemaker: SageMakerService, name: str, *variants: dict[str, Any], **changes: object
) -> None:
    request = {"EndpointConfigName": name, "ProductionVariants": [*variants], **changes}
    sagemaker.call("CreateEndpointConfig", request)


def described(sagemaker: SageMakerService, name: str = "e") -> dict[str, Any]:
    return sagemaker.call("DescribeEndpoint", {"EndpointName": name})


def settled(sagemaker: SageMakerService, name: str = "e") -> dict[str, Any]:
    def at_rest() -> dict[str, Any] | None:
        endpoint = described(sagemaker, name)
        return endpoint if endpoint["EndpointStatus"] in ("InService", "Failed") else None

    found = until(at_rest)
    assert found
    return found


def endpoint(
    sagemaker: SageMakerService, name: str = "e", model_name: str = "one", **changes: object
) -> dict[str, Any]:
    model(sagemaker, model_name)
    config(sagemaker, f"{name}-{model_name}", variant(model_name), **changes)
    sagemaker.call(
        "CreateEndpoint", {"EndpointName": name, "EndpointConfigName": f"{name}-{model_name}"}
    )
    return settled(sagemaker, name)


def invoke(
    sagemaker: SageMakerService, name: str = "e", body: bytes = b"1,2", **headers: str
) -> tuple[int, dict[str, str], Any]:
    sent = {"Content-Type": "text/csv"}
    sent |= {f"X-Amzn-SageMaker-{k.replace('_', '-')}": v for k, v in headers.items()}
    path = f"/endpoints/{name}/invocations"
    status, got, raw = asyncio.run(sagemaker.handle_runtime("POST", path, sent, body, {}))
    try:
        return status, got, json.loads(raw)
    except ValueError:
        return status, got, raw


Limited = Callable[..., SageMakerService]


def servers() -> list[psutil.Process]:
    return [p for p in psutil.Process().children(recursive=True) if "serve" in p.cmdline()[-1:]]
