from collections.abc import Iterator

import boto3
import pytest

from jobs.settings import Defaults, Platform
from jobs.table import JobTable
from tests.unit.mocking import mocked_aws


@pytest.fixture
def platform() -> Platform:
    return Platform(
        environment_name="dev",
        region="eu-west-1",
        execution_role_arn="arn:aws:iam::111122223333:role/execution",
        key_arn="arn:aws:kms:eu-west-1:111122223333:key/1",
        models_bucket="models",
        image_registry="111122223333.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-platform-dev",
        groups={"digits": "sagemaker-platform-dev-digits"},
        endpoints={"digits": "sagemaker-platform-dev-endpoint-digits", "pinned": ""},
        defaults=Defaults(
            ("ml.m5.xlarge", "ml.m5.2xlarge"),
            30,
            3600,
            other_instance_types=("ml.g4dn.xlarge", "ml.p3.2xlarge"),
            require_isolation=False,
        ),
    )


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobTable]:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
    ):
        monkeypatch.setenv(name, value)
    with mocked_aws():
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(
            TableName="jobs",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "status", "AttributeType": "S"},
                {"AttributeName": "updated", "AttributeType": "N"},
            ],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-status",
                    "KeySchema": [
                        {"AttributeName": "status", "KeyType": "HASH"},
                        {"AttributeName": "updated", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        )
        yield JobTable(dynamodb, "jobs")
