"""What an endpoint may be sent, and what may happen to it."""

import io
import json
import os
import signal
import tarfile
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.local.support import ALGORITHMS, DIGITS, train, until
from tests.platform import LocalPlatform

ROW = DIGITS.held_out[0].encode()


@pytest.fixture(scope="module")
def artifact(platform: LocalPlatform) -> str:
    """A k-means model trained on the platform."""
    job = train(platform, f"endpoint-faults-{uuid4().hex[:8]}", "kmeans")
    uri: str = job["ModelArtifacts"]["S3ModelArtifacts"]
    return uri


def create(platform: LocalPlatform, role: str, artifact: str) -> str:
    """An endpoint that is being created for the artifact."""
    sagemaker, name = platform.client("sagemaker"), f"faults-{uuid4().hex[:8]}"
    sagemaker.create_model(
        ModelName=name,
        PrimaryContainer={"Image": ALGORITHMS["kmeans"]["image"], "ModelDataUrl": artifact},
        ExecutionRoleArn=role,
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": name,
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return name


def settled(platform: LocalPlatform, name: str) -> dict[str, Any]:
    """The endpoint, once it is made or has failed."""
    sagemaker = platform.client("sagemaker")

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
        return found if found["EndpointStatus"] not in ("Creating", "Updating") else None

    result: dict[str, Any] = until(look, f"the endpoint {name}")
    return result


@pytest.fixture(scope="module")
def endpoint(platform: LocalPlatform, hosting_role: str, artifact: str) -> Iterator[str]:
    """An endpoint in service."""
    name = create(platform, hosting_role, artifact)
    assert settled(platform, name)["EndpointStatus"] == "InService"
    yield name
    platform.client("sagemaker").delete_endpoint(EndpointName=name)


def invoke(
    platform: LocalPlatform, endpoint: str, body: bytes, kind: str = "text/csv"
) -> dict[str, Any]:
    answer = platform.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, ContentType=kind, Accept="application/json", Body=body
    )
    answered: dict[str, Any] = json.loads(answer["Body"].read())
    return answered


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (ROW, "image/png", 415, ["image/png"]),
        (b"1,2,3\n", "text/csv", 400, ["3", "64"]),
        (b"1,x" + ROW[3:], "text/csv", 400, ["x"]),
    ],
    ids=["content type", "width", "text"],
)
def test_a_payload_that_the_model_refuses_is_a_model_error_with_its_sentence(
    platform: LocalPlatform, endpoint: str, body: bytes, kind: str, status: int, words: list[str]
) -> None:
    with pytest.raises(ClientError) as refused:
        invoke(platform, endpoint, body, kind)
    answer = refused.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert f"Received client error ({status}) from" in answer["Error"]["Message"]
    for word in words:
        assert word in answer["Error"]["Message"]
    assert "Traceback" not in answer["Error"]["Message"]


def test_an_empty_payload_has_an_empty_answer(platform: LocalPlatform, endpoint: str) -> None:
    answer = platform.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, ContentType="text/csv", Body=b""
    )
    assert answer["Body"].read() == b""


def test_a_payload_over_six_megabytes_never_reaches_the_model(
    platform: LocalPlatform, endpoint: str
) -> None:
    with pytest.raises(ClientError) as refused:
        invoke(platform, endpoint, b"1" * (6 * 1024 * 1024 + 1))
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert str(6 * 1024 * 1024) in answer["Error"]["Message"]


def test_an_endpoint_that_does_not_exist_is_named(platform: LocalPlatform) -> None:
    with pytest.raises(ClientError, match=r"Endpoint nobody of account 0{12} not found"):
        invoke(platform, "nobody", ROW)


@pytest.mark.parametrize(
    "entry",
    ["parent", "absolute", "symlink", "hardlink"],
)
def test_a_model_archive_that_points_outside_fails_the_endpoint_with_the_reason(
    platform: LocalPlatform, hosting_role: str, entry: str
) -> None:
    member = tarfile.TarInfo({"parent": "../evil", "absolute": "/tmp/evil"}.get(entry, "evil"))
    if entry in ("symlink", "hardlink"):
        member.type = tarfile.SYMTYPE if entry == "symlink" else tarfile.LNKTYPE
        member.linkname = "../../outside"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(member, io.BytesIO())
    models, key = platform.parameter("storage/models-bucket"), f"jobs/{uuid4().hex}/model.tar.gz"
    platform.client("s3").put_object(Bucket=models, Key=key, Body=packed.getvalue())

    found = settled(platform, create(platform, hosting_role, f"s3://{models}/{key}"))

    assert found["EndpointStatus"] == "Failed"
    assert member.name in found["FailureReason"]


def test_a_server_that_is_killed_comes_back(
    platform: LocalPlatform, hosting_role: str, artifact: str
) -> None:
    name = create(platform, hosting_role, artifact)
    assert settled(platform, name)["EndpointStatus"] == "InService"
    before = invoke(platform, name, ROW)
    victims = [
        each
        for each in psutil.process_iter(["cmdline", "environ"])
        if "serve" in (each.info["cmdline"] or [])
        and name in (each.info["environ"] or {}).get("SAGEMAKER_BASE_DIR", "")
    ]
    assert victims
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)

    def answer() -> dict[str, Any] | None:
        try:
            return invoke(platform, name, ROW)
        except ClientError as refused:
            assert refused.response["Error"]["Code"] in ("ModelError", "ServiceUnavailable")
            return None

    assert until(answer, "an answer of the healed endpoint") == before
    platform.client("sagemaker").delete_endpoint(EndpointName=name)
