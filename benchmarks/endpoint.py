"""From CreateEndpoint to InService."""

import time

from benchmarks.measuring import RUNS, Figure
from local.cli import demo, digits, workflow
from local.cli.aws import Aws
from local.platform.progress import Silent


def measure(aws: Aws) -> list[Figure]:
    """Serve one trained model again and again."""
    request, _ = demo.upload(aws, digits.load(), Silent())
    workflow.follow(aws, workflow.start(aws, request), Silent())
    in_service = aws.sagemaker.describe_endpoint(EndpointName=demo.ENDPOINT)
    config = in_service["EndpointConfigName"]
    values = [_create(aws, config) for _ in range(RUNS)]
    return [Figure("CreateEndpoint to InService", "s", values, "aim: 2")]


def _create(aws: Aws, config: str) -> float:
    """Under the deployed endpoint's own name: its role may log under no other."""
    name = demo.ENDPOINT
    aws.sagemaker.delete_endpoint(EndpointName=name)
    while _status(aws):
        time.sleep(0.1)
    began = time.perf_counter()
    aws.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    while (status := _status(aws)) == "Creating":
        time.sleep(0.02)
    taken = time.perf_counter() - began
    if status != "InService":
        raise RuntimeError(f"{name} came out {status}")
    return taken


def _status(aws: Aws) -> str:
    """Its status; nothing when it is not there."""
    found = aws.sagemaker.list_endpoints(NameContains=demo.ENDPOINT)["Endpoints"]
    return found[0]["EndpointStatus"] if found else ""
