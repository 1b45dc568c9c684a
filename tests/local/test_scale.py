"""Many endpoints at once, and many calls."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psutil
import pytest
from botocore.config import Config

from local.platform.home import Home
from local.platform.lifecycle import attach
from tests.local.support import ALGORITHMS, train
from tests.platform import LocalPlatform

COUNT = 50
CALLS = 200
# What one model server may take of its own, of k-means; measured: 29 MB.
SERVER_BYTES = 60 << 20
NAME = f"scale-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def fifty(platform: LocalPlatform, hosting_role: str) -> Iterator[list[str]]:
    """Endpoints of one model, all in service."""
    job = train(platform, NAME, "kmeans")
    sagemaker = platform.client("sagemaker")
    sagemaker.create_model(
        ModelName=NAME,
        PrimaryContainer={
            "Image": ALGORITHMS["kmeans"]["image"],
            "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
        },
        ExecutionRoleArn=hosting_role,
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=NAME,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": NAME,
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
    )
    names = [f"{NAME}-{number:02}" for number in range(COUNT)]
    for name in names:
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=NAME)
    for name in names:
        sagemaker.get_waiter("endpoint_in_service").wait(
            EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
    yield names
    for name in names:
        sagemaker.delete_endpoint(EndpointName=name)
    for name in names:
        sagemaker.get_waiter("endpoint_deleted").wait(
            EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
    sagemaker.delete_endpoint_config(EndpointConfigName=NAME)
    sagemaker.delete_model(ModelName=NAME)


def asked(runtime: Any, name: str) -> Any:
    answer = runtime.invoke_endpoint(
        EndpointName=name, Body=",".join(["1"] * 64), ContentType="text/csv"
    )
    return json.loads(answer["Body"].read())["predictions"]


def test_fifty_endpoints_are_listed_and_answer(platform: LocalPlatform, fifty: list[str]) -> None:
    pages = platform.client("sagemaker").get_paginator("list_endpoints")
    found = pages.paginate(NameContains=NAME, StatusEquals="InService")
    listed = [one["EndpointName"] for page in found for one in page["Endpoints"]]
    assert sorted(listed) == fifty
    runtime = platform.client("sagemaker-runtime")
    answers = [asked(runtime, name) for name in fifty]
    assert answers == [answers[0]] * COUNT


def test_two_hundred_calls_at_once_are_all_answered(
    platform: LocalPlatform, fifty: list[str]
) -> None:
    config = Config(max_pool_connections=CALLS, retries={"max_attempts": 0}, read_timeout=90)
    runtime = platform.client("sagemaker-runtime", config=config)
    sagemaker = platform.client("sagemaker", config=config)
    expected = asked(runtime, fifty[0])

    def call(number: int) -> bool:
        name = fifty[number % COUNT]
        if number % 2:
            return bool(asked(runtime, name) == expected)
        status = sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
        return bool(status == "InService")

    with ThreadPoolExecutor(CALLS) as pool:
        assert all(pool.map(call, range(CALLS)))


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is told apart on Linux only")
def test_the_memory_of_an_endpoint_is_bounded(platform: LocalPlatform, fifty: list[str]) -> None:
    process = attach(Home(platform.home)).server.process
    assert process is not None
    sizes = []
    for child in process.children(recursive=True):
        try:
            # Servers of other tests may be among them, and may end meanwhile.
            if NAME in child.environ().get("SAGEMAKER_BASE_DIR", ""):
                sizes.append(child.memory_full_info().pss)
        except psutil.NoSuchProcess:
            continue
    assert len(sizes) >= COUNT
    assert sum(sizes) / COUNT < SERVER_BYTES
