"""Patterns of AWS that Python's own regular expressions do not read."""

import pytest

from local.sagemaker.errors import ServiceError
from local.sagemaker.validation import checked

SCALED = {
    "ServiceNamespace": "sagemaker",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


@pytest.mark.parametrize(
    ("service", "operation", "request_", "member", "right", "wrong"),
    [
        (
            "sagemaker-runtime",
            "InvokeEndpoint",
            {"EndpointName": "e", "Body": b""},
            "InferenceId",
            "an id",
            " id",
        ),
        (
            "sagemaker-runtime",
            "InvokeEndpoint",
            {"EndpointName": "e", "Body": b""},
            "CustomAttributes",
            "a=b\t",
            "ä",
        ),
        (
            "application-autoscaling",
            "RegisterScalableTarget",
            SCALED,
            "ResourceId",
            "endpoint/ä\U0001f40d/variant/v",
            "endpoint\u0001",
        ),
    ],
    ids=["print", "ascii", "pairs"],
)
def test_patterns_that_are_written_for_java_are_read_as_java_reads_them(
    service: str,
    operation: str,
    request_: dict[str, object],
    member: str,
    right: str,
    wrong: str,
) -> None:
    checked(operation, {**request_, member: right}, service)
    with pytest.raises(ServiceError, match="regular expression pattern"):
        checked(operation, {**request_, member: wrong}, service)
