from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from types_boto3_s3 import S3Client

from local.sagemaker.service import SageMakerService
from tests.unit.mocking import mocked_aws
from tests.unit.sagemaker.endpoint_support import Limited
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    LIMITS,
    REGION,
    TestAws,
    TestRuntime,
    archive,
    service,
)


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mocked_aws():
        yield


@pytest.fixture
def bucket() -> S3Client:
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="train/a.csv", Body=b"1,2")
    s3.put_object(Bucket=BUCKET, Key="train/deep/b.csv", Body=b"3,4")
    return s3


@pytest.fixture
def aws() -> TestAws:
    return TestAws()


@pytest.fixture
def sagemaker(aws: TestAws, bucket: S3Client, tmp_path: Path) -> Iterator[SageMakerService]:
    found = service(aws, tmp_path / "state")
    found.start()
    yield found
    found.close()


@pytest.fixture
def models(bucket: S3Client) -> None:
    for name in ("one", "two"):
        bucket.put_object(
            Bucket=BUCKET, Key=f"models/{name}.tar.gz", Body=archive({"weights": name})
        )


@pytest.fixture
def limited(aws: TestAws, bucket: S3Client, tmp_path: Path) -> Iterator[Limited]:
    begun: list[SageMakerService] = []

    def begin(**limits: Any) -> SageMakerService:
        state = tmp_path / f"limited-{len(begun)}"
        found = SageMakerService(
            aws, state, runtime=TestRuntime(), limits=replace(LIMITS, **limits)
        )
        begun.append(found)
        found.start()
        return found

    yield begin
    for one in begun:
        one.close()
