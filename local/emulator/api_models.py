"""AWS's own descriptions of the services: which operation a request names, and what it takes."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from local.sagemaker.validation import service_model

# Where ministack's name of a service is not botocore's. None: no service of AWS with such an API.
_NAMES: dict[str, str | None] = {
    "airflow": "mwaa",
    "appsync-events": None,
    "documentdb": "docdb",
    "ecs-metadata": None,
    "elasticfilesystem": "efs",
    "elasticloadbalancing": "elbv2",
    "elasticmapreduce": "emr",
    "imds": None,
    "monitoring": "cloudwatch",
    "runtime.sagemaker": "sagemaker-runtime",
    "servicequotas": "service-quotas",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}
# These answer to two of botocore's services; the target, the version or the path tells which.
_BY_TARGET = {"dynamodb": {"DynamoDBStreams_20120810": "dynamodbstreams"}}


@dataclass(frozen=True)
class Asked:
    """The operation that a request names."""

    operation: OperationModel
    # How its body is written: json, query, rest-json, rest-xml or cbor.
    protocol: str

    @property
    def version(self) -> str:
        """Of the JSON protocol."""
        return str(self.operation.service_model.metadata.get("jsonVersion", "1.1"))

    def body_shape(self) -> Shape | None:
        """What a JSON body is to hold; None where it is no JSON document."""
        shape = self.operation.input_shape
        if shape is None or self.protocol == "json":
            return shape
        payload = shape.serialization.get("payload")
        if payload is None:
            return shape if _in_body(shape) else None
        member: Shape = shape.members[payload]
        return member if isinstance(member, StructureShape) else None


def model_of(service: str) -> ServiceModel | None:
    """AWS's description of one of ministack's services; None where there is none."""
    name = _NAMES.get(service, service)
    return None if name is None else _loaded(name)


@functools.cache
def _loaded(name: str) -> ServiceModel | None:
    from botocore.exceptions import UnknownServiceError

    try:
        return service_model(name)
    except UnknownServiceError:
        return None


def asked(
    service: str, method: str, path: str, headers: Mapping[str, str], query: Mapping[str, Any]
) -> Asked | None:
    """The operation that a request names; None when that cannot be told.

    `query` holds the form of a query protocol's body, too.
    """
    target = headers.get("x-amz-target", "")
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if target:
        prefix, _, name = target.rpartition(".")
        model = model_of(_BY_TARGET.get(service, {}).get(prefix, service))
        return _named(model, name, "json")
    model = model_of(service)
    if model is None:
        return None
    if kind == "application/cbor" or headers.get("smithy-protocol"):
        return _named(model, path.rsplit("/", 1)[-1], "cbor")
    if (action := query.get("Action")) and isinstance(action, list) and action[0]:
        return _named(model, str(action[0]), "query")
    protocol = str(model.metadata["protocol"])
    if not protocol.startswith("rest"):
        return None
    name = _routed(model, method, path)
    return _named(model, name, protocol) if name else None


def _named(model: ServiceModel | None, name: str, protocol: str) -> Asked | None:
    if model is None or name not in model.operation_names:
        return None
    return Asked(model.operation_model(name), protocol)


def _routed(model: ServiceModel, method: str, path: str) -> str:
    """The operation of a path, the one whose route has most fixed parts."""
    found = [
        (fixed, name)
        for verb, route, fixed, name in _routes(model)
        if verb == method and route.fullmatch(path)
    ]
    return max(found)[1] if found else ""


@functools.cache
def _routes(model: ServiceModel) -> tuple[tuple[str, re.Pattern[str], int, str], ...]:
    routes = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        uri = str(http.get("requestUri", "/")).partition("?")[0]
        parts = re.split(r"(\{[^}]+\})", uri)
        pattern = "".join(
            ("(.+)" if part.endswith("+}") else "([^/]+)")
            if part.startswith("{")
            else re.escape(part)
            for part in parts
        )
        fixed = sum(len(part) for part in parts if not part.startswith("{"))
        routes.append((str(http.get("method", "POST")), re.compile(f"{pattern}/?"), fixed, name))
    return tuple(routes)


def _in_body(shape: StructureShape) -> bool:
    return any("location" not in member.serialization for member in shape.members.values())


def form_of(body: bytes) -> dict[str, list[str]]:
    """The fields of a form.

    Raises:
        ValueError: It is no UTF-8, or has more fields than any request of AWS's.
    """
    return parse_qs(
        body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=20_000
    )
