from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from types_boto3_s3 import S3Client

from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import BUCKET, REGION, TestAws, service


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
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
