"""What a request names in another region, which SageMaker does not reach.

AWS refuses each such request, some at once and some when the job or the endpoint starts. Nothing
else than the platform's own region is here, so all of them are refused at once.
"""

import re
from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from local.sagemaker.errors import invalid
from local.sagemaker.validation import operation_model

# Shapes of AWS's model that hold an ARN or an image, and nothing that a person words freely.
_ARN = re.compile(r"(Arn|ArnOrName|ArnOrUri|KmsKeyId)$")
_IMAGE = re.compile(r"Image$")
_REGISTRY = re.compile(r"^\d{12}\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.")


def check(operation: str, params: dict[str, Any], region: str) -> None:
    """Check a request that has the form of the operation.

    Raises:
        ServiceError: with each member that names another region.
    """
    shape = operation_model(operation).input_shape
    found = [*_elsewhere(shape, params, "", region)] if shape else []
    if found:
        raise invalid(f"SageMaker of {region} reaches no other region: {'; '.join(found)}.")


def _elsewhere(shape: Shape, value: Any, path: str, region: str) -> Iterator[str]:  # noqa: ANN401
    if isinstance(shape, StructureShape):
        for name, item in value.items():
            yield from _elsewhere(
                shape.members[name], item, f"{path}.{name}" if path else name, region
            )
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value):
            yield from _elsewhere(shape.member, item, f"{path}[{index}]", region)
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _elsewhere(shape.value, item, f"{path}.{key}", region)
    elif isinstance(value, str):
        other = _region_of(shape.name, value)
        if other and other != region:
            yield f"{path} is {value!r}, in {other}"


def _region_of(shape: str, value: str) -> str:
    if _ARN.search(shape) and value.startswith("arn:") and value.count(":") >= 5:
        return value.split(":", 5)[3]
    registry = _REGISTRY.match(value) if _IMAGE.search(shape) else None
    return registry["region"] if registry else ""
