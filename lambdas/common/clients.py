"""boto3 clients, made when first used and kept for the life of the process."""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_events import EventBridgeClient
    from types_boto3_s3 import S3Client
    from types_boto3_sagemaker import SageMakerClient
    from types_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from types_boto3_service_quotas import ServiceQuotasClient
    from types_boto3_sns import SNSClient
    from types_boto3_stepfunctions import SFNClient


@overload
def client(service: Literal["cloudformation"]) -> "CloudFormationClient": ...
@overload
def client(service: Literal["cloudwatch"]) -> "CloudWatchClient": ...
@overload
def client(service: Literal["dynamodb"]) -> "DynamoDBClient": ...
@overload
def client(service: Literal["events"]) -> "EventBridgeClient": ...
@overload
def client(service: Literal["s3"]) -> "S3Client": ...
@overload
def client(service: Literal["sagemaker"]) -> "SageMakerClient": ...
@overload
def client(service: Literal["sagemaker-runtime"]) -> "SageMakerRuntimeClient": ...
@overload
def client(service: Literal["service-quotas"]) -> "ServiceQuotasClient": ...
@overload
def client(service: Literal["sns"]) -> "SNSClient": ...
@overload
def client(service: Literal["stepfunctions"]) -> "SFNClient": ...
def client(service: str) -> Any:
    """The client of a service, with retries that outlast throttling and end before the function."""
    return _client(service)


@cache
def _client(service: str) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    # A function that needs no AWS in a test needs no boto3 either.
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=3,
        read_timeout=15,
    )
    return boto3.client(service, config=config)  # type: ignore[call-overload]
