import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from types_boto3_sagemaker import SageMakerClient
from types_boto3_sagemaker_runtime import SageMakerRuntimeClient

from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.conftest import aws, bucket, moto, sagemaker
from tests.unit.sagemaker.surroundings import REGION

__all__ = ["aws", "bucket", "client", "moto", "runtime", "sagemaker", "through"]


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> list[bytes]:
        return [self._body]

    def read(self, *_: object) -> bytes:
        body, self._body = self._body, b""
        return body


def through(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Answer what botocore would send, by a service; botocore itself writes and reads it."""

    def send(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        headers = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        body: Any = request.body or b""
        sent = body.encode() if isinstance(body, str) else bytes(body)
        path = urlsplit(request.url).path
        status, answered, raw = asyncio.run(handle(request.method, path, headers, sent))
        received: Any = HeadersDict(answered)
        return AWSResponse(request.url, status, received, _Raw(raw))

    return send


@pytest.fixture
def client(sagemaker: SageMakerService) -> SageMakerClient:
    found = boto3.client("sagemaker", region_name=REGION)
    found.meta.events.register_first("before-send", through(sagemaker.handle))
    return found


@pytest.fixture
def runtime(sagemaker: SageMakerService) -> SageMakerRuntimeClient:
    found = boto3.client("sagemaker-runtime", region_name=REGION)
    found.meta.events.register_first("before-send", through(sagemaker.handle_runtime))
    return found
