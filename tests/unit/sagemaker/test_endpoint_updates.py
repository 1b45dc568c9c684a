import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.endpoint_support import (
    config,
    described,
    endpoint,
    invoke,
    model,
    settled,
    variant,
)
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    archive,
    until,
)

pytestmark = pytest.mark.usefixtures("models")


def _hammer(sagemaker: SageMakerService, until_done: Callable[[], object]) -> list[Any]:
    """Invoke from several clients at once while something happens."""
    answers: list[Any] = []
    done = threading.Event()

    async def client() -> None:
        while not done.is_set():
            status, _, body = await sagemaker.handle_runtime(
                "POST", "/endpoints/e/invocations", {"content-type": "text/csv"}, b"1", {}
            )
            answers.append((status, json.loads(body)))

    async def clients() -> None:
        await asyncio.gather(*(client() for _ in range(4)))

    thread = threading.Thread(target=lambda: asyncio.run(clients()))
    thread.start()
    try:
        until(lambda: answers)
        until_done()
        seen = len(answers)
        until(lambda: len(answers) >= seen + 8)
    finally:
        done.set()
        thread.join()
    return answers


def test_an_update_drops_no_request(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    model(sagemaker, "two")
    config(sagemaker, "next", variant("two"))

    def update() -> None:
        sagemaker.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "next"})
        pending = described(sagemaker)
        assert pending["EndpointStatus"] == "Updating"
        assert pending["EndpointConfigName"] == "e-one"
        assert pending["PendingDeploymentSummary"]["EndpointConfigName"] == "next"
        with pytest.raises(ServiceError, match="Cannot update in-progress endpoint"):
            sagemaker.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "next"})
        assert settled(sagemaker)["EndpointConfigName"] == "next"

    answers = _hammer(sagemaker, update)
    assert {status for status, _ in answers} == {200}
    weights = [answer["weights"] for _, answer in answers]
    assert set(weights) == {"one", "two"}
    assert weights[-1] == "two"
    old = next(answer["pid"] for _, answer in answers if answer["weights"] == "one")
    until(lambda: not psutil.pid_exists(old))
    assert "PendingDeploymentSummary" not in described(sagemaker)


def test_an_update_lets_a_request_under_way_be_answered(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    model(sagemaker, "two")
    config(sagemaker, "next", variant("two"))
    slow: list[Any] = []
    thread = threading.Thread(
        target=lambda: slow.append(invoke(sagemaker, Custom_Attributes="sleep=0.9"))
    )
    sagemaker.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "next"})
    thread.start()
    thread.join()
    assert slow[0][0] == 200


def test_an_update_that_fails_leaves_what_was_served(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    endpoint(sagemaker)
    bucket.put_object(Bucket=BUCKET, Key="models/broken.tar.gz", Body=archive({"broken": ""}))
    model(sagemaker, "broken")
    config(sagemaker, "next", variant("broken"))
    answers = _hammer(
        sagemaker,
        lambda: (
            sagemaker.call("UpdateEndpoint", {"EndpointName": "e", "EndpointConfigName": "next"}),
            settled(sagemaker),
        ),
    )
    shown = described(sagemaker)
    assert (shown["EndpointStatus"], shown["EndpointConfigName"]) == ("InService", "e-one")
    assert "did not pass the ping health check" in shown["FailureReason"]
    assert {(status, answer["weights"]) for status, answer in answers} == {(200, "one")}


def test_an_update_can_keep_the_instances_and_weights(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    sagemaker.call(
        "UpdateEndpointWeightsAndCapacities",
        {
            "EndpointName": "e",
            "DesiredWeightsAndCapacities": [
                {"VariantName": "AllTraffic", "DesiredInstanceCount": 2, "DesiredWeight": 5.0}
            ],
        },
    )
    settled(sagemaker)
    model(sagemaker, "two")
    config(sagemaker, "next", variant("two"))
    update = {"EndpointName": "e", "EndpointConfigName": "next"}
    sagemaker.call("UpdateEndpoint", {**update, "RetainAllVariantProperties": True})
    (shown,) = settled(sagemaker)["ProductionVariants"]
    assert (shown["DesiredInstanceCount"], shown["DesiredWeight"]) == (2, 5.0)
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    sagemaker.call(
        "UpdateEndpoint",
        {
            **update,
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": excluded,
        },
    )
    (shown,) = settled(sagemaker)["ProductionVariants"]
    assert (shown["DesiredInstanceCount"], shown["DesiredWeight"]) == (1, 5.0)
    sagemaker.call("UpdateEndpoint", update)
    (shown,) = settled(sagemaker)["ProductionVariants"]
    assert (shown["DesiredInstanceCount"], shown["DesiredWeight"]) == (1, 1.0)
