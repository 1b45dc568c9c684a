"""From CreateEndpoint to InService."""

import time
from uuid import uuid4

from benchmarks.measuring import RUNS, Figure
from local.cli import demo, digits, workflow
from local.cli.aws import Aws
from local.cli.console import Steps
from local.platform.progress import Silent


def measure(aws: Aws) -> list[Figure]:
    """Serve one trained model again and again, under a new name each time."""
    with Steps() as steps:
        request, _ = demo.upload(aws, digits.load(), steps)
    workflow.follow(aws, workflow.start(aws, request), Silent())
    in_service = aws.sagemaker.describe_endpoint(EndpointName=demo.ENDPOINT)
    config = in_service["EndpointConfigName"]
    values = [_create(aws, config) for _ in range(RUNS)]
    return [Figure("CreateEndpoint to InService", "s", values, "aim: 2")]


def _create(aws: Aws, config: str) -> float:
    name = f"bench-{uuid4().hex[:8]}"
    began = time.perf_counter()
    aws.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    while (
        status := aws.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
    ) == "Creating":
        time.sleep(0.02)
    taken = time.perf_counter() - began
    aws.sagemaker.delete_endpoint(EndpointName=name)
    if status != "InService":
        raise RuntimeError(f"{name} came out {status}")
    return taken
